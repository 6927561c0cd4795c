// SRTP (RFC 3711) by libsrtp 2, whose functions whoever has loaded the library hands over as addresses: no headers and
// nothing to link. A session owns its keys, and is used by one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vocal {

struct SrtpLibrary {
    using Change = int (*)(void* session, void* packet, int* size);
    Change unprotect = nullptr, unprotect_rtcp = nullptr, protect = nullptr, protect_rtcp = nullptr;
    int (*dealloc)(void* session) = nullptr;
};
inline SrtpLibrary srtp_library;

constexpr std::size_t SRTP_TRAILER = 148;  // room behind a packet that is protected

class SrtpSession {
  public:
    explicit SrtpSession(void* session) : session_(session) {}
    ~SrtpSession() { srtp_library.dealloc(session_); }
    SrtpSession(const SrtpSession&) = delete;

    // In place; false for what is not under these keys, or was played before.
    bool unprotect(std::uint8_t* bytes, std::size_t& size) { return change(srtp_library.unprotect, bytes, size); }
    bool unprotect_rtcp(std::uint8_t* bytes, std::size_t& size) { return change(srtp_library.unprotect_rtcp, bytes, size); }
    // In place; `bytes` has SRTP_TRAILER more.
    bool protect(std::uint8_t* bytes, std::size_t& size) { return change(srtp_library.protect, bytes, size); }
    bool protect_rtcp(std::uint8_t* bytes, std::size_t& size) { return change(srtp_library.protect_rtcp, bytes, size); }

  private:
    bool change(SrtpLibrary::Change how, std::uint8_t* bytes, std::size_t& size) {
        int length = static_cast<int>(size);
        if (how(session_, bytes, &length) != 0 || length < 0) return false;
        size = static_cast<std::size_t>(length);
        return true;
    }

    void* session_;
};

}  // namespace vocal
