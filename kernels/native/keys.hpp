// Keys that sound as telephone events (RFC 4733, 2.5): packets of one event, which repeat themselves, become one key.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vocal {

constexpr std::size_t EVENT_SIZE = 4;
constexpr char KEYS[] = "0123456789*#ABCD";

struct KeyEvent {
    char key = 0;
    bool is_end = false;
    std::uint16_t duration = 0;  // so far, in the clock of its timestamp
};

// False for what is no event; `key` is 0 for events that are no keys, such as flash or fax tones.
inline bool parse_event(const std::uint8_t* payload, std::size_t size, KeyEvent& event) {
    if (size < EVENT_SIZE) return false;
    event.key = payload[0] < 16 ? KEYS[payload[0]] : '\0';
    event.is_end = payload[1] & 0x80;
    event.duration = static_cast<std::uint16_t>(payload[2] << 8 | payload[3]);
    return true;
}

inline void write_event(std::uint8_t code, bool is_end, std::uint16_t duration, std::uint8_t* payload) {
    payload[0] = code;
    payload[1] = static_cast<std::uint8_t>((is_end ? 0x80 : 0) | 10);  // -10 dBm0
    payload[2] = static_cast<std::uint8_t>(duration >> 8);
    payload[3] = static_cast<std::uint8_t>(duration);
}

}  // namespace vocal
