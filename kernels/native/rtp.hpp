// RTP packets (RFC 3550, 5.1): what one says, or why it is none. Points into the packet; nothing is copied.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vocal {

inline std::uint16_t read_u16(const std::uint8_t* at) { return static_cast<std::uint16_t>(at[0] << 8 | at[1]); }
inline std::uint32_t read_u32(const std::uint8_t* at) {
    return static_cast<std::uint32_t>(read_u16(at)) << 16 | read_u16(at + 2);
}
inline void write_u16(std::uint8_t* at, std::uint32_t value) {
    at[0] = static_cast<std::uint8_t>(value >> 8);
    at[1] = static_cast<std::uint8_t>(value);
}
inline void write_u32(std::uint8_t* at, std::uint32_t value) {
    write_u16(at, value >> 16);
    write_u16(at + 2, value & 0xffff);
}

constexpr std::size_t RTP_HEADER = 12;

struct RtpPacket {
    std::uint8_t payload_type = 0;
    bool marker = false;
    std::uint16_t sequence = 0;
    std::uint32_t timestamp = 0, ssrc = 0;
    const std::uint8_t* payload = nullptr;
    std::size_t size = 0;  // of the payload
};

// What a datagram is, by its first bytes (RFC 7983; RFC 5761, 4 for RTP beside RTCP).
enum class Datagram { rtp, rtcp, stun, unknown };

inline Datagram datagram_kind(const std::uint8_t* bytes, std::size_t size) {
    if (size >= 20 && bytes[0] < 4 && read_u32(bytes + 4) == 0x2112a442) return Datagram::stun;
    if (size < 4 || bytes[0] >> 6 != 2) return Datagram::unknown;
    return bytes[1] >= 192 && bytes[1] <= 223 ? Datagram::rtcp : Datagram::rtp;
}

// False where lengths contradict each other.
inline bool parse_rtp(const std::uint8_t* bytes, std::size_t size, RtpPacket& packet) {
    if (size < RTP_HEADER || bytes[0] >> 6 != 2) return false;
    std::size_t begin = RTP_HEADER + 4u * (bytes[0] & 0x0f);  // contributing sources
    if (bytes[0] & 0x10) {                                    // an extension
        if (size < begin + 4) return false;
        begin += 4 + 4u * read_u16(bytes + begin + 2);
    }
    if (size < begin) return false;
    std::size_t padding = 0;
    if (bytes[0] & 0x20) {
        padding = size > begin ? bytes[size - 1] : 0;
        if (padding == 0 || begin + padding > size) return false;
    }
    packet.marker = bytes[1] & 0x80;
    packet.payload_type = bytes[1] & 0x7f;
    packet.sequence = read_u16(bytes + 2);
    packet.timestamp = read_u32(bytes + 4);
    packet.ssrc = read_u32(bytes + 8);
    packet.payload = bytes + begin;
    packet.size = size - begin - padding;
    return true;
}

// The header of a packet that is sent; its payload follows.
inline void write_rtp(const RtpPacket& packet, std::uint8_t* bytes) {
    bytes[0] = 0x80;
    bytes[1] = static_cast<std::uint8_t>((packet.marker ? 0x80 : 0) | packet.payload_type);
    write_u16(bytes + 2, packet.sequence);
    write_u32(bytes + 4, packet.timestamp);
    write_u32(bytes + 8, packet.ssrc);
}

}  // namespace vocal
