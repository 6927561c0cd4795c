// G.711 decoding (ITU-T G.711, tables 1a and 2a) by table, straight into one lane of a block.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace vocal {

// The standard's decoder output at 16 bits: A-law 13 bits shifted left by 3, mu-law 14 bits by 2.
constexpr std::int16_t alaw_sample(std::uint8_t code) {
    code ^= 0x55;  // even bits travel inverted
    const int exponent = (code & 0x70) >> 4;
    int magnitude = ((code & 0x0f) << 4) + 8;
    if (exponent > 0) magnitude = (magnitude + 0x100) << (exponent - 1);
    return static_cast<std::int16_t>((code & 0x80) ? magnitude : -magnitude);
}

constexpr std::int16_t ulaw_sample(std::uint8_t code) {
    code = static_cast<std::uint8_t>(~code);
    const int exponent = (code & 0x70) >> 4;
    const int magnitude = ((((code & 0x0f) << 3) + 0x84) << exponent) - 0x84;
    return static_cast<std::int16_t>((code & 0x80) ? -magnitude : magnitude);
}

template <std::int16_t (*decode)(std::uint8_t)>
constexpr std::array<float, 256> table() {
    std::array<float, 256> values{};
    for (int code = 0; code < 256; ++code)
        values[static_cast<std::size_t>(code)] = static_cast<float>(decode(static_cast<std::uint8_t>(code))) / 32768.0f;
    return values;
}

inline constexpr auto alaw_table = table<alaw_sample>();
inline constexpr auto ulaw_table = table<ulaw_sample>();

// Writes `length` samples, each `stride` floats after the one before.
inline void decode(const std::array<float, 256>& values, const std::uint8_t* payload, std::size_t length, float* out,
                   std::size_t stride) {
    for (std::size_t i = 0; i < length; ++i) out[i * stride] = values[payload[i]];
}

}  // namespace vocal
