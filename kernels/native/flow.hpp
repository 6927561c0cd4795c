// A stream that is sent: coded packets at their times, with what goes wrong on the way. No sockets, no clock.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "keys.hpp"
#include "rtp.hpp"

namespace vocal {

// A recording as packets of equal time; one that is empty is not sent (DTX). Shared by all streams that play it.
struct Recording {
    std::vector<std::uint8_t> bytes;
    std::vector<std::size_t> ends;

    std::size_t size() const { return ends.size(); }
    const std::uint8_t* at(std::size_t n) const { return bytes.data() + (n == 0 ? 0 : ends[n - 1]); }
    std::size_t bytes_of(std::size_t n) const { return ends[n] - (n == 0 ? 0 : ends[n - 1]); }
    std::size_t least() const {
        std::size_t found = bytes_of(0);
        for (std::size_t n = 1; n < size(); ++n) found = std::min(found, bytes_of(n));
        return found;
    }
};

struct FlowSettings {
    int payload_type = 0;
    int clock_hz = 8000, timestamps = 160;  // of a packet
    std::size_t first_packet = 0;           // of the recording: not all streams say the same at the same time
    std::size_t packets = 0;                // to send, from its beginning again where it ends; 0: it is sent once
    double start_ms = 0.0;
    double loss = 0.0, reorder = 0.0, duplicates = 0.0;  // shares of packets, 0 to 1
    double jitter_ms = 0.0, drift_ppm = 0.0;
    std::size_t change_source_at = 0;  // the packet from which another SSRC sends; 0: none does
    int key_payload_type = 101;
    int noise_payload_type = -1;  // of comfort noise (RFC 3389), which is sent once where packets begin to be empty; -1: nothing is
    std::vector<std::pair<std::size_t, int>> keys;  // (packet, code of RFC 4733): sounds for KEY_PACKETS in place of audio
    std::uint32_t seed = 1;
};

constexpr std::size_t KEY_PACKETS = 5, MOST_PAYLOAD = 1400, KEY_ENDS = 3;
constexpr std::int32_t KEY = -1, NOISE = -2;
constexpr std::uint8_t NOISE_LEVEL = 70;  // -dBov

// One datagram, due at `at_ms`.
struct Due {
    double at_ms;
    std::uint16_t sequence;
    std::uint32_t timestamp, ssrc;
    std::int32_t packet;       // of the recording, or KEY, or NOISE
    std::uint8_t key = 0;
    bool is_key_end = false, marker = false;
    std::uint16_t key_duration = 0;
};

class Flow {
  public:
    Flow(std::shared_ptr<const Recording> recording, FlowSettings settings)
        : recording_(std::move(recording)), settings_(std::move(settings)), random_(settings_.seed * 2654435761u | 1u),
          sequence_(static_cast<std::uint16_t>(next_random())), timestamp_(next_random()), ssrc_(next_random()) {
        if (settings_.clock_hz < 1000 || settings_.timestamps < 1)
            throw std::invalid_argument("wanted clock_hz of at least 1000 and timestamps of at least 1");
        if (settings_.packets == 0) settings_.packets = recording_->size();
    }

    bool is_done() const { return number_ >= settings_.packets; }
    // When the next packet is sent, before anything goes wrong.
    double next_ms() const { return settings_.start_ms + time_ms(number_); }

    // The next packet's datagrams: none where it is lost or not sent.
    void next(std::vector<Due>& out) {
        const std::size_t n = number_++;
        if (settings_.change_source_at != 0 && n == settings_.change_source_at) {
            sequence_ = static_cast<std::uint16_t>(next_random());
            timestamp_ = next_random() - static_cast<std::uint32_t>(n) * static_cast<std::uint32_t>(settings_.timestamps);
            ssrc_ = next_random();
        }
        const double at_ms = settings_.start_ms + time_ms(n);
        const auto timestamp = timestamp_ + static_cast<std::uint32_t>(n) * static_cast<std::uint32_t>(settings_.timestamps);
        if (next_key_ < settings_.keys.size() && n >= settings_.keys[next_key_].first + KEY_PACKETS) ++next_key_;
        if (next_key_ < settings_.keys.size() && n >= settings_.keys[next_key_].first) {
            const auto done = n - settings_.keys[next_key_].first + 1;
            const auto begin = timestamp - static_cast<std::uint32_t>(done - 1) * static_cast<std::uint32_t>(settings_.timestamps);
            const bool is_end = done == KEY_PACKETS;
            for (std::size_t i = 0; i < (is_end ? KEY_ENDS : 1); ++i)
                send({at_ms, sequence_++, begin, ssrc_, KEY, static_cast<std::uint8_t>(settings_.keys[next_key_].second), is_end,
                      done == 1, static_cast<std::uint16_t>(done * static_cast<std::size_t>(settings_.timestamps))},
                     out, n);
            was_silent_ = true;
            return;
        }
        const auto packet = (settings_.first_packet + n) % recording_->size();
        if (recording_->bytes_of(packet) == 0) {
            // Also where a stream begins, so that its time does.
            if (settings_.noise_payload_type >= 0 && (n == 0 || !was_silent_)) send({at_ms, sequence_++, timestamp, ssrc_, NOISE}, out, n);
            else ++silent;
            was_silent_ = true;
            return;
        }
        send({at_ms, sequence_++, timestamp, ssrc_, static_cast<std::int32_t>(packet), 0, false, was_silent_, 0}, out, n);
        was_silent_ = false;
    }

    // Into `bytes`, of at least RTP_HEADER + MOST_PAYLOAD; its size.
    std::size_t write(const Due& due, std::uint8_t* bytes) const {
        RtpPacket packet;
        packet.payload_type = static_cast<std::uint8_t>(due.packet == KEY     ? settings_.key_payload_type
                                                        : due.packet == NOISE ? settings_.noise_payload_type
                                                                              : settings_.payload_type);
        packet.marker = due.marker;
        packet.sequence = due.sequence;
        packet.timestamp = due.timestamp;
        packet.ssrc = due.ssrc;
        write_rtp(packet, bytes);
        if (due.packet == NOISE) {
            bytes[RTP_HEADER] = NOISE_LEVEL;
            return RTP_HEADER + 1;
        }
        if (due.packet == KEY) {
            write_event(due.key, due.is_key_end, due.key_duration, bytes + RTP_HEADER);
            return RTP_HEADER + EVENT_SIZE;
        }
        const auto at = static_cast<std::size_t>(due.packet);
        const auto size = std::min(recording_->bytes_of(at), MOST_PAYLOAD);
        std::copy_n(recording_->at(at), size, bytes + RTP_HEADER);
        return RTP_HEADER + size;
    }

    const FlowSettings& settings() const { return settings_; }
    std::uint32_t ssrc() const { return ssrc_; }
    std::uint32_t timestamp_now() const { return timestamp_ + static_cast<std::uint32_t>(number_) * static_cast<std::uint32_t>(settings_.timestamps); }
    const std::vector<std::int64_t>& lost() const { return lost_; }

    std::int64_t sent = 0, octets = 0;
    std::int64_t silent = 0;  // packets that were empty, and so not sent

  private:
    double time_ms(std::size_t n) const {
        return 1000.0 * static_cast<double>(n) * settings_.timestamps / settings_.clock_hz / (1.0 + 1e-6 * settings_.drift_ppm);
    }

    void send(Due due, std::vector<Due>& out, std::size_t n) {
        // Never the first one: with it the receiver's time begins.
        if (settings_.loss > 0.0 && chance() < settings_.loss && n > 0) {
            lost_.push_back(static_cast<std::int64_t>(n));
            return;
        }
        if (settings_.jitter_ms > 0.0) due.at_ms += chance() * settings_.jitter_ms;
        if (settings_.reorder > 0.0 && chance() < settings_.reorder)
            due.at_ms += 1500.0 * settings_.timestamps / settings_.clock_hz;
        out.push_back(due);
        if (settings_.duplicates > 0.0 && chance() < settings_.duplicates) out.push_back(due);
    }

    std::uint32_t next_random() {  // xorshift
        random_ ^= random_ << 13;
        random_ ^= random_ >> 17;
        random_ ^= random_ << 5;
        return random_;
    }
    double chance() { return next_random() / 4294967296.0; }

    std::shared_ptr<const Recording> recording_;
    FlowSettings settings_;
    std::uint32_t random_;
    std::uint16_t sequence_;
    std::uint32_t timestamp_, ssrc_;
    std::size_t number_ = 0, next_key_ = 0;
    bool was_silent_ = true;
    std::vector<std::int64_t> lost_;
};

}  // namespace vocal
