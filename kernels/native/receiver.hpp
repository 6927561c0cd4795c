// One stream's packets, in the clear, into its playout. No sockets, no threads, no clock of its own.
//
//   RTP ─► source (SSRC) ─► payload type ─┬─► audio ─► 8 kHz ─► playout
//                                         ├─► keys: told, and their time is silence
//                                         ├─► comfort noise: nothing follows
//                                         └─► what is decoded elsewhere (Opus, G.729): set aside
//
// All of it takes its sequence number in the playout, so that what is no audio is not taken for lost.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "g711.hpp"
#include "keys.hpp"
#include "rtp.hpp"
#include "shared.hpp"

namespace vocal {

enum class Coding : std::uint8_t { none, pcmu, pcma, l16, g722, comfort_noise, keys, aside };

struct Payload {
    Coding coding = Coding::none;
    int clock_hz = 8000;  // of its timestamps
};
using Payloads = std::array<Payload, 128>;

struct ReceiverCounts {
    std::int64_t packets = 0, octets = 0;    // taken, with all their headers; of their payloads
    std::int64_t malformed = 0;              // no RTP, or a payload that cannot be what it says
    std::int64_t unknown = 0;                // payload types that were not agreed on
    std::int64_t other_source = 0;           // of a second SSRC while the first one sends
    std::int64_t sources = 0;                // SSRCs that were followed
    std::int64_t payload_changes = 0;        // of audio, in mid-stream
    std::int64_t comfort_noise = 0, keys = 0, masked = 0, held = 0;
    std::int64_t aside_dropped = 0;
};

struct Key {
    char key = 0;
    double at_ms = 0.0, duration_ms = 0.0;
};

// A packet for a decoder elsewhere. Its timestamp is at 8 kHz.
struct Aside {
    std::uint8_t payload_type;
    std::uint16_t sequence;
    std::uint32_t timestamp, ssrc;
    double arrival_ms;
    std::vector<std::uint8_t> payload;
};

// How a source's packets came (RFC 3550, A.3 and A.8), for the reports to it.
struct Reception {
    std::uint32_t ssrc = 0;
    std::uint32_t base = 0, highest = 0;  // extended sequence numbers
    std::int64_t received = 0;
    double jitter_ms = 0.0;
    std::int64_t expected_before = 0, received_before = 0;  // at the report before

    std::int64_t lost() const { return received == 0 ? 0 : static_cast<std::int64_t>(highest) - base + 1 - received; }
};

class Receiver {
  public:
    Receiver(std::shared_ptr<SharedPlayout> playout, const Payloads& payloads)
        : playout_(std::move(playout)), payloads_(payloads) {}

    void set_payloads(const Payloads& payloads) { payloads_ = payloads; }
    // While a call is held there is music, or nothing: neither is the caller's audio, nor is it lost.
    void set_held(bool is_held) {
        if (is_held && !is_held_) playout_->rest();
        is_held_ = is_held;
    }

    // What each packet touches on its way.
    void prefetch() const { prefetch_bytes(this, reinterpret_cast<const char*>(&payloads_)); }
    void prefetch_playout() const { playout_->prefetch(); }

    // Whether it was a packet of this stream.
    bool push(const std::uint8_t* bytes, std::size_t size, double arrival_ms) {
        RtpPacket packet;
        if (!parse_rtp(bytes, size, packet)) return ++counts_.malformed, false;
        const auto& payload = payloads_[packet.payload_type];
        if (payload.coding == Coding::none) return ++counts_.unknown, false;
        if (payload.coding == Coding::keys && packet.ssrc != ssrc_) {
            // Keys of a source of their own: the audio's goes on.
            ++counts_.packets;
            take_key(packet, payload, arrival_ms, false);
            return true;
        }
        if (!heard_ || packet.ssrc != ssrc_) {
            if (!follow(packet, bytes, size, arrival_ms)) return true;
        }
        take(packet, payload, arrival_ms);
        return true;
    }

    // What time alone decides; a few times a second.
    void sweep(double now_ms) {
        if (key_.key != 0 && !key_told_ && now_ms - key_heard_ms_ > KEY_GONE_MS) tell_key();
    }

    const ReceiverCounts& counts() const { return counts_; }
    Reception& reception() { return reception_; }
    bool heard() const { return heard_; }
    std::uint32_t ssrc() const { return ssrc_; }
    int clock_hz() const { return clock_hz_; }

    // When a packet of this timestamp came, or would have come, as fast as the fastest of late; NaN: not known.
    double came_ms(std::uint32_t timestamp) {
        if (fastest_.clock_hz == 0) return std::numeric_limits<double>::quiet_NaN();
        const double found_ms = fastest_.arrival_ms + ms_between(timestamp, fastest_.timestamp, fastest_.clock_hz);
        fastest_ = {};
        return found_ms;
    }

    std::vector<Key> take_keys() { return std::exchange(keys_, {}); }
    std::vector<Aside> take_aside() { return std::exchange(aside_, {}); }

  private:
    static constexpr double SOURCE_GONE_MS = 200.0;  // a source that was silent for so long is replaced at once
    static constexpr double KEY_GONE_MS = 250.0;
    static constexpr std::size_t MOST_KEYS = 100, MOST_ASIDE = 100, MOST_SAMPLES = WideDecoder::MOST;
    static constexpr std::int64_t FIRST_TIME = std::int64_t{1} << 40;  // so that none is negative

    // Whether a packet of another source begins a new stream. Where the old one still sends, two in a row must come.
    bool follow(const RtpPacket& packet, const std::uint8_t* bytes, std::size_t size, double arrival_ms) {
        if (heard_ && arrival_ms - arrival_ms_ < SOURCE_GONE_MS) {
            const auto step = static_cast<std::int16_t>(static_cast<std::uint16_t>(packet.sequence - candidate_.sequence));
            const bool follows = !held_back_.empty() && candidate_.ssrc == packet.ssrc && step != 0 && std::abs(step) <= 3;
            if (!follows || arrival_ms_ > candidate_ms_) {
                if (!held_back_.empty()) ++counts_.other_source;
                held_back_.assign(bytes, bytes + size);
                candidate_ = packet;
                candidate_ms_ = arrival_ms;
                return false;
            }
        } else {
            held_back_.clear();
        }
        begin_source(packet);
        if (!held_back_.empty()) {
            RtpPacket first;
            const auto kept = std::exchange(held_back_, {});
            if (parse_rtp(kept.data(), kept.size(), first) && payloads_[first.payload_type].coding != Coding::none) {
                if (static_cast<std::int16_t>(static_cast<std::uint16_t>(first.sequence - packet.sequence)) < 0) begin_source(first);
                take(first, payloads_[first.payload_type], candidate_ms_);
            }
        }
        return true;
    }

    void begin_source(const RtpPacket& packet) {
        if (!heard_ || ssrc_ != packet.ssrc) ++counts_.sources;
        heard_ = true;
        ssrc_ = packet.ssrc;
        clock_hz_ = observed_clock_hz_ = 0;
        fastest_ = {};
        timestamp_ = packet.timestamp;
        reception_ = {};
        reception_.ssrc = ssrc_;
        reception_.base = reception_.highest = packet.sequence;
    }

    void take(const RtpPacket& packet, const Payload& payload, double arrival_ms) {
        ++counts_.packets;
        counts_.octets += static_cast<std::int64_t>(packet.size);
        observe(packet, payload, arrival_ms);
        switch (payload.coding) {
            case Coding::keys:
                take_key(packet, payload, arrival_ms, true);
                return;
            case Coding::comfort_noise:
                ++counts_.comfort_noise;
                // Its clock is the audio's (RFC 3389, 4), whatever its rtpmap says.
                play(packet.sequence, time_of(packet.timestamp, clock_hz_ ? clock_hz_ : payload.clock_hz), nullptr, 0, arrival_ms);
                return;
            default:
                take_audio(packet, payload, arrival_ms);
        }
    }

    void take_audio(const RtpPacket& packet, const Payload& payload, double arrival_ms) {
        if (payload_type_ != packet.payload_type) {
            if (payload_type_ >= 0) ++counts_.payload_changes;
            payload_type_ = packet.payload_type;
        }
        const auto time = time_of(packet.timestamp, payload.clock_hz);
        if (is_held_) {
            ++counts_.held;
            play(packet.sequence, time, nullptr, 0, arrival_ms);
            return;
        }
        const bool is_silenced = is_masked(packet.timestamp, arrival_ms);
        if (is_silenced) ++counts_.masked;
        if (payload.coding == Coding::aside) {
            if (is_silenced) {
                play(packet.sequence, time, nullptr, 0, arrival_ms);
            } else if (aside_.size() >= MOST_ASIDE) {
                ++counts_.aside_dropped;
            } else {
                aside_.push_back({packet.payload_type, packet.sequence, time, source_, arrival_ms,
                                  {packet.payload, packet.payload + packet.size}});
            }
            return;
        }
        const auto wide = payload.coding == Coding::g722                                ? Wide::g722
                          : payload.coding == Coding::l16 && payload.clock_hz == 16000 ? Wide::l16
                                                                                       : Wide::none;
        const std::size_t sample_bytes = wide == Wide::l16 ? 4 : payload.coding == Coding::l16 ? 2 : 1;
        const std::size_t count = packet.size / sample_bytes;
        if (count == 0 || packet.size % sample_bytes || count > MOST_SAMPLES) {
            ++counts_.malformed;
            return;
        }
        if (is_silenced) {
            std::fill_n(samples_.begin(), count, 0.0f);
        } else if (wide != Wide::none) {
            playout_->push_wide(packet.sequence, time, source_, wide, packet.payload, packet.size, arrival_ms);
            return;
        } else if (payload.coding == Coding::l16) {
            for (std::size_t i = 0; i < count; ++i)
                samples_[i] = static_cast<float>(static_cast<std::int16_t>(read_u16(packet.payload + 2 * i))) / 32768.0f;
        } else {
            decode(payload.coding == Coding::pcma ? alaw_table : ulaw_table, packet.payload, count, samples_.data(), 1);
        }
        play(packet.sequence, time, samples_.data(), count, arrival_ms);
    }

    void play(std::uint16_t sequence, std::uint32_t time, const float* samples, std::size_t count, double arrival_ms) {
        playout_->push(sequence, time, source_, samples, count, arrival_ms);
    }

    // A timestamp at 8 kHz. Another clock in mid-stream says nothing about its beginning (RFC 7160): a new source.
    std::uint32_t time_of(std::uint32_t timestamp, int clock_hz) {
        if (clock_hz != clock_hz_) {
            clock_hz_ = clock_hz;
            time_ = FIRST_TIME;
            timestamp_ = timestamp;
            source_ = ssrc_ ^ static_cast<std::uint32_t>(clock_hz);
        }
        const auto time = time_ + static_cast<std::int32_t>(timestamp - timestamp_);
        if (time > time_) {
            time_ = time;
            timestamp_ = timestamp;
        }
        return static_cast<std::uint32_t>(time * 8000 / clock_hz);
    }

    void observe(const RtpPacket& packet, const Payload& payload, double arrival_ms) {
        const auto step = static_cast<std::int16_t>(static_cast<std::uint16_t>(packet.sequence - static_cast<std::uint16_t>(reception_.highest)));
        if (step > 0) reception_.highest += static_cast<std::uint32_t>(step);
        ++reception_.received;
        if (payload.coding == Coding::keys) {  // whose timestamp stands still
            arrival_ms_ = arrival_ms;
            return;
        }
        if (payload.clock_hz == observed_clock_hz_) {
            const double d_ms = std::abs(arrival_ms - observed_ms_ - ms_between(packet.timestamp, observed_timestamp_, payload.clock_hz));
            if (reception_.received > 1 && d_ms < 1000.0) reception_.jitter_ms += (d_ms - reception_.jitter_ms) / 16.0;
        }
        observed_timestamp_ = packet.timestamp;
        observed_clock_hz_ = payload.clock_hz;
        observed_ms_ = arrival_ms_ = arrival_ms;
        if (fastest_.clock_hz != payload.clock_hz
            || arrival_ms - fastest_.arrival_ms < ms_between(packet.timestamp, fastest_.timestamp, payload.clock_hz))
            fastest_ = {payload.clock_hz, packet.timestamp, arrival_ms};
    }

    static double ms_between(std::uint32_t later, std::uint32_t earlier, int clock_hz) {
        return static_cast<double>(static_cast<std::int32_t>(later - earlier)) * 1000.0 / clock_hz;
    }

    // Keys

    void take_key(const RtpPacket& packet, const Payload& payload, double arrival_ms, bool is_own_source) {
        KeyEvent event;
        if (!parse_event(packet.payload, packet.size, event)) {
            ++counts_.malformed;
            return;
        }
        ++counts_.keys;
        if (key_.key == 0 || key_timestamp_ != packet.timestamp || key_ssrc_ != packet.ssrc) {
            if (key_.key != 0 && !key_told_) tell_key();
            key_ = {event.key, arrival_ms, 0.0};
            key_timestamp_ = packet.timestamp;
            key_ssrc_ = packet.ssrc;
            key_told_ = key_ended_ = false;
            key_covered_ = 0;
            key_clock_hz_ = payload.clock_hz;
            key_apart_ = static_cast<std::uint32_t>(payload.clock_hz / 20);
        }
        key_heard_ms_ = arrival_ms;
        key_.duration_ms = std::max(key_.duration_ms, 1000.0 * event.duration / payload.clock_hz);
        key_ended_ = key_ended_ || event.is_end;
        if (event.is_end && !key_told_) tell_key();
        if (!is_own_source) return;
        if (clock_hz_ != 0 && clock_hz_ != payload.clock_hz) {
            // Where it lies is told in another clock than the audio's: it takes its number, and no time.
            play(packet.sequence, time_of(timestamp_, clock_hz_), nullptr, 0, arrival_ms);
            return;
        }
        // The packets of an event share a timestamp; each one covers what it adds to the one before.
        const auto upto = std::max<std::uint32_t>(event.duration, key_covered_);
        const auto from = std::max(key_covered_, upto - std::min<std::uint32_t>(upto, MOST_SAMPLES / 2));
        key_covered_ = upto;
        const auto begin = time_of(packet.timestamp + from, payload.clock_hz);
        const auto count = std::min<std::size_t>(static_cast<std::size_t>(upto - from) * 8000u / static_cast<unsigned>(payload.clock_hz), MOST_SAMPLES);
        std::fill_n(samples_.begin(), count, 0.0f);
        play(packet.sequence, begin, samples_.data(), count, arrival_ms);
    }

    bool is_masked(std::uint32_t timestamp, double arrival_ms) const {
        if (key_ssrc_ != ssrc_ || key_clock_hz_ != clock_hz_) return key_heard_ms_ >= 0.0 && !key_ended_ && arrival_ms - key_heard_ms_ < KEY_GONE_MS;
        const auto since = static_cast<std::int32_t>(timestamp - key_timestamp_);
        if (key_heard_ms_ < 0.0 || since < 0) return false;
        // Their packets may be 50 ms apart (RFC 4733, 2.5.1.2).
        return static_cast<std::uint32_t>(since) < key_covered_ + (key_ended_ ? 0u : key_apart_);
    }

    void tell_key() {
        key_told_ = true;
        if (key_.key != 0 && keys_.size() < MOST_KEYS) keys_.push_back(key_);
    }

    std::shared_ptr<SharedPlayout> playout_;
    ReceiverCounts counts_;
    Reception reception_;
    bool heard_ = false, is_held_ = false;
    std::uint32_t ssrc_ = 0, source_ = 0;
    int payload_type_ = -1;

    std::int64_t time_ = 0;  // of timestamp_, unwrapped
    std::uint32_t timestamp_ = 0, observed_timestamp_ = 0;
    int clock_hz_ = 0, observed_clock_hz_ = 0;
    double arrival_ms_ = 0.0, observed_ms_ = 0.0;
    struct {
        int clock_hz = 0;
        std::uint32_t timestamp = 0;
        double arrival_ms = 0.0;
    } fastest_;  // since the sender's report before

    // The first packet of a source that may follow.
    RtpPacket candidate_;
    std::vector<std::uint8_t> held_back_;
    double candidate_ms_ = 0.0;

    Key key_;
    std::uint32_t key_timestamp_ = 0, key_ssrc_ = 0, key_covered_ = 0, key_apart_ = 0;
    int key_clock_hz_ = 0;
    double key_heard_ms_ = -1.0;
    bool key_told_ = true, key_ended_ = true;

    std::vector<Key> keys_;
    std::vector<Aside> aside_;
    Payloads payloads_;  // behind what each packet touches
    // What a packet is decoded into: of the thread, so that it stays in its cache.
    static inline thread_local std::array<float, MOST_SAMPLES> samples_{};
};

}  // namespace vocal
