// RTCP (RFC 3550, 6): what a sender says of itself and of what it hears, and what we say of what came from it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "rtp.hpp"

namespace vocal {

constexpr std::uint8_t RTCP_SR = 200, RTCP_RR = 201, RTCP_SDES = 202, RTCP_BYE = 203;
constexpr std::size_t REPORT_BLOCK = 24;
constexpr double NTP_EPOCH_S = 2'208'988'800.0;  // 1970 since 1900

inline std::uint64_t ntp_of(double unix_s) {
    const double since_s = unix_s + NTP_EPOCH_S;
    const auto whole = static_cast<std::uint64_t>(since_s);
    return whole << 32 | static_cast<std::uint64_t>((since_s - static_cast<double>(whole)) * 4294967296.0);
}
inline double unix_of(std::uint64_t ntp) {
    return static_cast<double>(ntp >> 32) - NTP_EPOCH_S + static_cast<double>(ntp & 0xffffffff) / 4294967296.0;
}

struct ReportBlock {
    std::uint32_t ssrc = 0;           // whom it is about
    std::uint8_t fraction_lost = 0;   // of 256, since the report before
    std::int32_t lost = 0;            // in all, 24 bits
    std::uint32_t highest = 0, jitter = 0, last_report = 0, delay = 0;
};

// What a compound packet says, as far as it concerns a stream.
struct RtcpPacket {
    std::uint32_t ssrc = 0;
    bool is_sender = false, is_bye = false, has_block = false;
    std::uint64_t ntp = 0;
    std::uint32_t timestamp = 0;  // at `ntp`
    ReportBlock block;            // the first one
};

inline ReportBlock read_block(const std::uint8_t* at) {
    ReportBlock block;
    block.ssrc = read_u32(at);
    block.fraction_lost = at[4];
    const auto lost = read_u32(at + 4) & 0xffffff;
    block.lost = static_cast<std::int32_t>(lost & 0x800000 ? lost | 0xff000000 : lost);
    block.highest = read_u32(at + 8);
    block.jitter = read_u32(at + 12);
    block.last_report = read_u32(at + 16);
    block.delay = read_u32(at + 20);
    return block;
}

// False for what is no compound packet (RFC 3550, A.2).
inline bool parse_rtcp(const std::uint8_t* bytes, std::size_t size, RtcpPacket& packet) {
    if (size < 8 || (bytes[1] != RTCP_SR && bytes[1] != RTCP_RR)) return false;
    for (std::size_t at = 0; at < size;) {
        if (size - at < 4 || bytes[at] >> 6 != 2) return false;
        const std::size_t length = 4u * (read_u16(bytes + at + 2) + 1u);
        if (length > size - at) return false;
        const auto* one = bytes + at;
        const std::size_t count = one[0] & 0x1f;
        const std::size_t fixed = one[1] == RTCP_SR ? 28 : 8;
        if (one[1] == RTCP_SR || one[1] == RTCP_RR) {
            if (length < fixed + count * REPORT_BLOCK) return false;
            packet.ssrc = read_u32(one + 4);
            if (one[1] == RTCP_SR) {
                packet.is_sender = true;
                packet.ntp = static_cast<std::uint64_t>(read_u32(one + 8)) << 32 | read_u32(one + 12);
                packet.timestamp = read_u32(one + 16);
            }
            if (count > 0 && !packet.has_block) {
                packet.has_block = true;
                packet.block = read_block(one + fixed);
            }
        } else if (one[1] == RTCP_BYE) {
            packet.is_bye = true;
        }
        at += length;
    }
    return true;
}

inline std::size_t write_block(const ReportBlock& block, std::uint8_t* at) {
    write_u32(at, block.ssrc);
    write_u32(at + 4, static_cast<std::uint32_t>(std::clamp(block.lost, -0x800000, 0x7fffff)) & 0xffffff);
    at[4] = block.fraction_lost;
    write_u32(at + 8, block.highest);
    write_u32(at + 12, block.jitter);
    write_u32(at + 16, block.last_report);
    write_u32(at + 20, block.delay);
    return REPORT_BLOCK;
}

// Who speaks: a canonical name, which is wanted in each compound packet.
inline std::size_t write_name(std::uint32_t ssrc, const char* name, std::uint8_t* at) {
    const std::size_t length = std::min<std::size_t>(std::strlen(name), 255);
    const std::size_t words = (4 + 2 + length + 1 + 3) / 4;  // the source, the item, at least one zero
    std::memset(at, 0, 4 + 4 * words);
    at[0] = 0x81;
    at[1] = RTCP_SDES;
    write_u16(at + 2, static_cast<std::uint32_t>(words));
    write_u32(at + 4, ssrc);
    at[8] = 1;  // CNAME
    at[9] = static_cast<std::uint8_t>(length);
    std::memcpy(at + 10, name, length);
    return 4 + 4 * words;
}

inline std::size_t write_receiver_report(std::uint32_t ssrc, const ReportBlock* block, const char* name, std::uint8_t* at) {
    std::size_t size = 8;
    if (block != nullptr) size += write_block(*block, at + 8);
    at[0] = block != nullptr ? 0x81 : 0x80;
    at[1] = RTCP_RR;
    write_u16(at + 2, static_cast<std::uint32_t>(size / 4 - 1));
    write_u32(at + 4, ssrc);
    return size + write_name(ssrc, name, at + size);
}

inline std::size_t write_sender_report(std::uint32_t ssrc, std::uint64_t ntp, std::uint32_t timestamp, std::uint32_t packets,
                                       std::uint32_t octets, const char* name, std::uint8_t* at) {
    at[0] = 0x80;
    at[1] = RTCP_SR;
    write_u16(at + 2, 6);
    write_u32(at + 4, ssrc);
    write_u32(at + 8, static_cast<std::uint32_t>(ntp >> 32));
    write_u32(at + 12, static_cast<std::uint32_t>(ntp));
    write_u32(at + 16, timestamp);
    write_u32(at + 20, packets);
    write_u32(at + 24, octets);
    return 28 + write_name(ssrc, name, at + 28);
}

inline std::size_t write_bye(std::uint32_t ssrc, std::uint8_t* at) {
    at[0] = 0x81;
    at[1] = RTCP_BYE;
    write_u16(at + 2, 1);
    write_u32(at + 4, ssrc);
    return 8;
}

}  // namespace vocal
