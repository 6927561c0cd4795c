// Playout of one channel: packets in whatever order they come become exactly 160 samples a tick, released by deadline.
//
//   packets ─► order (sequence, timestamp unwrapped) ─► waiting packets by position ─► one tick of samples
//
// Positions are samples at 8 kHz since the channel's first packet. A packet is due `lag` after the first one of its
// stream came, plus its distance from it in the sender's time: what has not come by then is lost, and costs what it
// held, never a stall. Single-threaded; the binding locks.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <vector>

#include "wide.hpp"

namespace vocal {

constexpr int TICK_SAMPLES = 160;
constexpr double TICK_MS = 20.0;
constexpr double SAMPLES_PER_MS = 8.0;

enum class Arrival { taken = 0, late = 1, duplicate = 2, refused = 3 };
enum class Played { waiting = 0, audio = 1, lost = 2, silent = 3, closed = 4 };

struct PlayoutSettings {
    double clock_hz = 8000.0;      // of the timestamps
    double lag_ms = 60.0;          // from the arrival of a packet on time to its playing
    double most_lag_ms = 200.0;    // the lag grows to this at most, where packets come late
    double hold_ms = 200.0;        // where nothing comes any more: lost for so long, then nothing was sent
    bool reliable = false;         // a stream over TCP: what comes late is played late and not dropped
};

struct PlayoutCounts {
    std::int64_t received = 0, lost = 0, late = 0, duplicate = 0, reordered = 0, refused = 0;
    std::int64_t dtx = 0;          // gaps in which nothing was sent
    std::int64_t restarts = 0;     // the sender began anew: another SSRC, a jump of sequence or timestamp
    std::int64_t adjusted = 0;     // samples left out (or, negative, put in) against the drift of clocks
};

class Playout {
  public:
    explicit Playout(const PlayoutSettings& settings) : settings_(settings) { seen_.fill(NONE); }

    // Samples are at 8 kHz; none of them: a packet that says «nothing follows», as comfort noise does.
    Arrival push(std::uint16_t sequence, std::uint32_t timestamp, std::uint32_t ssrc, const float* samples,
                 std::size_t count, double arrival_ms) {
        return take(sequence, timestamp, ssrc, {samples, count}, arrival_ms);
    }

    // A packet at 16 kHz as it came, to be decoded when it is its turn; `size` within WideDecoder::MOST samples.
    Arrival push_wide(std::uint16_t sequence, std::uint32_t timestamp, std::uint32_t ssrc, Wide coding,
                      const std::uint8_t* bytes, std::size_t size, double arrival_ms) {
        return take(sequence, timestamp, ssrc, {nullptr, WideDecoder::samples_in(coding, size), coding, bytes, size}, arrival_ms);
    }

    // Begin with the tick at `now_ms` if a packet has come at all, even where its time is not yet.
    void begin(double now_ms) {
        if (heard_) due_ms_ = std::min(due_ms_, now_ms);
    }

    // Until audio comes again nothing is sent, so that nothing is lost either: a call on hold.
    void rest() {
        rests_ = true;
        rested_number_ = newest_number_;
    }

    void close() { closed_ = true; }

    // One tick into out[0], out[stride], ...; `count` becomes 160, or fewer at the very end.
    Played pull(double now_ms, float* out, std::size_t stride, int& count) {
        count = 0;
        if (!begun_) {
            if (heard_ && (now_ms >= due_ms_ - 1e-6 || closed_)) begun_ = true;
            else {
                for (int i = 0; i < TICK_SAMPLES; ++i) out[static_cast<std::size_t>(i) * stride] = 0.0f;
                return closed_ ? Played::closed : Played::waiting;
            }
        }
        const auto left = waiting_.empty() ? 0 : waiting_.back().position + static_cast<std::int64_t>(waiting_.back().samples.size()) - play_;
        if (closed_ && left <= 0) {
            for (int i = 0; i < TICK_SAMPLES; ++i) out[static_cast<std::size_t>(i) * stride] = 0.0f;
            return Played::closed;
        }
        count = closed_ ? static_cast<int>(std::min<std::int64_t>(left, TICK_SAMPLES)) : TICK_SAMPLES;
        next_pull_ms_ = now_ms + TICK_MS;
        bool any_audio = false, any_lost = false;
        render(TICK_SAMPLES + 1, any_audio, any_lost);
        const int taken = any_lost || closed_ ? TICK_SAMPLES : TICK_SAMPLES + correction();
        if (taken == TICK_SAMPLES) {
            for (int i = 0; i < TICK_SAMPLES; ++i) out[static_cast<std::size_t>(i) * stride] = tick_[static_cast<std::size_t>(i)];
        } else {
            // A sample more or fewer than there is room for, over the whole tick: nobody hears it.
            for (int i = 0; i < TICK_SAMPLES; ++i) {
                const double at = static_cast<double>(i) * taken / TICK_SAMPLES;
                const auto before = static_cast<std::size_t>(at);
                const auto share = static_cast<float>(at - static_cast<double>(before));
                out[static_cast<std::size_t>(i) * stride] = tick_[before] + share * (tick_[before + 1] - tick_[before]);
            }
            adjust(taken - TICK_SAMPLES);
        }
        consume(taken);
        return any_lost ? Played::lost : any_audio ? Played::audio : Played::silent;
    }

    // Up to here lies what each packet and each tick touch.
    const void* end_of_hot() const { return &tick_; }

    bool heard() const { return heard_; }
    bool begun() const { return begun_; }
    double due_ms() const { return heard_ ? due_ms_ : std::numeric_limits<double>::infinity(); }
    const PlayoutCounts& counts() const { return counts_; }
    double lag_ms() const { return settings_.lag_ms + extra_ms_; }
    // Audio that waits to be played.
    double depth_ms() const { return heard_ ? std::max(0.0, static_cast<double>(newest_end_ - play_) / SAMPLES_PER_MS) : 0.0; }

    // How much faster (or, negative, slower) the sender's clock runs than ours.
    double drift_ppm() const {
        if (trend_.size() < 4) return 0.0;
        double at = 0.0, value = 0.0;
        for (const auto& point : trend_) at += point.at_ms, value += point.ahead_ms;
        at /= static_cast<double>(trend_.size()), value /= static_cast<double>(trend_.size());
        double above = 0.0, below = 0.0;
        for (const auto& point : trend_) {
            above += (point.at_ms - at) * (point.ahead_ms - value);
            below += (point.at_ms - at) * (point.at_ms - at);
        }
        return below > 0.0 ? 1e6 * above / below : 0.0;
    }

  private:
    struct Packet {
        std::int64_t number, position;
        std::vector<float> samples;
        Wide coding;  // of bytes, which become the samples when it is their turn
        std::vector<std::uint8_t> bytes;
        int stream;
        std::int64_t end() const { return position + static_cast<std::int64_t>(samples.size()); }
    };
    struct Point {
        double at_ms, ahead_ms;
    };

    static constexpr std::int64_t NONE = std::numeric_limits<std::int64_t>::min();
    static constexpr int MOST_DROPPED = 3000, MOST_MISORDERED = 200;
    static constexpr double JUMP_MS = 1500.0;          // a timestamp this far ahead of its time is a jump
    static constexpr double MOVED_MS = 200.0;          // late for so long without a break: the path has changed
    static constexpr int SLACK_SAMPLES = 8;            // a clock's rounding is no gap
    static constexpr int QUIET_SAMPLES = 1600;
    static constexpr int MOST_BEFORE_SAMPLES = 8000;   // that an overtaken packet lies before the first one
    static constexpr float QUIET = 0.005f;
    static constexpr double WINDOW_MS = 2000.0;        // the fastest packet in it tells where the clocks stand
    static constexpr std::size_t WINDOWS = 3, TREND_WINDOWS = 60;
    static constexpr double DRIFTED_QUIET_MS = 4.0, DRIFTED_MS = 10.0;

    struct Content {
        const float* samples;
        std::size_t count;
        Wide coding = Wide::none;  // else in place of samples:
        const std::uint8_t* bytes = nullptr;
        std::size_t size = 0;
    };

    Arrival take(std::uint16_t sequence, std::uint32_t timestamp, std::uint32_t ssrc, const Content& content,
                 double arrival_ms) {
        const auto count = content.count;
        ++counts_.received;
        if (closed_) return refuse();
        if (!heard_) {
            heard_ = true;
            due_ms_ = next_pull_ms_ = arrival_ms + settings_.lag_ms;
            begin_stream(sequence, timestamp, ssrc, 0, arrival_ms);
        } else if (ssrc != ssrc_) {
            restart(sequence, timestamp, ssrc, arrival_ms);
        }
        const auto step = static_cast<std::int16_t>(static_cast<std::uint16_t>(sequence - newest_sequence_));
        if (step > MOST_DROPPED || step < -MOST_MISORDERED) {
            // RFC 3550, A.1: one such packet is a stray, two in a row are a sender that began anew.
            if (!suspects_ || sequence != suspect_) {
                suspects_ = true;
                suspect_ = static_cast<std::uint16_t>(sequence + 1);
                return refuse();
            }
            restart(sequence, timestamp, ssrc, arrival_ms);
        }
        suspects_ = false;
        std::int64_t number = newest_number_ + static_cast<std::int16_t>(static_cast<std::uint16_t>(sequence - newest_sequence_));
        auto media_ms = [&] {
            return static_cast<double>(static_cast<std::int32_t>(timestamp - newest_timestamp_)) * 1000.0 / settings_.clock_hz;
        };
        const double ahead_ms = media_ms() - (arrival_ms - newest_arrival_ms_);
        if (number > newest_number_ && !settings_.reliable && (media_ms() < 0.0 || ahead_ms > JUMP_MS)) {
            restart(sequence, timestamp, ssrc, arrival_ms);
            number = newest_number_;
        }
        auto& seen = seen_[static_cast<std::size_t>(number) % seen_.size()];
        if (seen == number) {
            ++counts_.duplicate;
            return Arrival::duplicate;
        }
        const std::int64_t time = newest_time_ + static_cast<std::int32_t>(timestamp - newest_timestamp_);
        std::int64_t position = position_of(time, number);
        if (position + static_cast<std::int64_t>(count) > play_ + most_ahead()) return refuse();
        if (!begun_ && position < play_ - MOST_BEFORE_SAMPLES) return refuse();
        if (!begun_) play_ = std::min(play_, position);
        seen = number;
        if (number < newest_number_) ++counts_.reordered;
        const bool follows = number == newest_number_ + 1;
        const bool talkspurt = follows && position > newest_end_ + SLACK_SAMPLES;
        if (talkspurt) ++counts_.dtx;
        if (talkspurt || (number > newest_number_ && newest_end_ - quiet_since_ >= QUIET_SAMPLES)) position = wait_longer(number, position);
        double margin_ms = next_pull_ms_ + static_cast<double>(position - play_) / SAMPLES_PER_MS - arrival_ms;
        const auto end = position + static_cast<std::int64_t>(count);
        bool is_late = begun_ && (end < play_ || (end == play_ && count > 0));
        if (is_late && must_move(arrival_ms, number, count)) {
            shift_from_ = number;
            shift_before_ = shift_;
            const auto moved = landing(arrival_ms) - position;
            shift_ += moved;
            position += moved;
            margin_ms += static_cast<double>(moved) / SAMPLES_PER_MS;
            forget_margins();
            ++counts_.restarts;
            is_late = false;
        }
        if (number >= newest_number_) {
            newest_number_ = number;
            newest_sequence_ = sequence;
            newest_time_ = time;
            newest_timestamp_ = timestamp;
            newest_arrival_ms_ = arrival_ms;
            newest_end_ = position + static_cast<std::int64_t>(count);
            if (count > 0) rests_ = false;
            if (rests_) rested_number_ = number;
        }
        listen(content, position);
        if (is_late) {
            ++counts_.late;
            if (!is_late_run_) late_since_ms_ = arrival_ms;
            is_late_run_ = true;
            const double lateness_ms = -margin_ms + static_cast<double>(count) / SAMPLES_PER_MS;
            if (count > 0 && lateness_ms < 2.0 * settings_.most_lag_ms)
                wanted_ms_ = std::max(wanted_ms_, std::min(lateness_ms, settings_.most_lag_ms - settings_.lag_ms - extra_ms_));
            if (number < played_number_) {
                if (counts_.lost > 0) --counts_.lost;  // it was given up
                return Arrival::late;
            }
        } else {
            is_late_run_ = false;
            if (!settings_.reliable || std::abs(margin_ms - settings_.lag_ms) < 250.0) measure(arrival_ms, margin_ms, time);
        }
        keep(make_packet(number, position, content));
        return is_late ? Arrival::late : Arrival::taken;
    }

    Arrival refuse() {
        ++counts_.refused;
        return Arrival::refused;
    }

    std::int64_t most_ahead() const { return settings_.reliable ? 8000 * 30 : 8000 * 4; }

    void begin_stream(std::uint16_t sequence, std::uint32_t timestamp, std::uint32_t ssrc, std::int64_t position,
                      double arrival_ms) {
        ++stream_;
        ssrc_ = ssrc;
        newest_sequence_ = sequence;
        newest_timestamp_ = timestamp;
        newest_arrival_ms_ = arrival_ms;
        base_time_ = newest_time_;
        base_position_ = position;
        shift_ = shift_before_ = 0;
        shift_from_ = NONE;
        suspects_ = false;
        forget_margins();
        trend_.clear();
    }

    void restart(std::uint16_t sequence, std::uint32_t timestamp, std::uint32_t ssrc, double arrival_ms) {
        ++counts_.restarts;
        newest_number_ += 1;
        begin_stream(sequence, timestamp, ssrc, landing(arrival_ms), arrival_ms);
    }

    // Where a packet that comes now and is on time belongs, behind what waits already.
    std::int64_t landing(double arrival_ms) const {
        const double due = arrival_ms + (settings_.reliable ? TICK_MS : settings_.lag_ms + extra_ms_);
        const auto position = play_ + static_cast<std::int64_t>(std::llround((due - next_pull_ms_) * SAMPLES_PER_MS));
        return std::max({position, play_, waiting_.empty() ? play_ : waiting_.back().end()});
    }

    std::int64_t position_of(std::int64_t time, std::int64_t number) const {
        const auto samples = static_cast<std::int64_t>(std::llround(static_cast<double>(time - base_time_) * 8000.0 / settings_.clock_hz));
        return base_position_ + samples + (number >= shift_from_ ? shift_ : shift_before_);
    }

    // Silence is made longer, so that what came late hitherto would be on time from here on.
    std::int64_t wait_longer(std::int64_t number, std::int64_t position) {
        if (wanted_ms_ <= 0.0) return position;
        const auto moved = static_cast<std::int64_t>(std::llround(wanted_ms_ * SAMPLES_PER_MS));
        extra_ms_ += wanted_ms_;
        for (auto& margin : margins_) margin += wanted_ms_;
        window_margin_ms_ += wanted_ms_;
        reference_ms_ += wanted_ms_;
        wanted_ms_ = 0.0;
        shift_before_ = shift_;
        shift_ += moved;
        shift_from_ = number;
        return position + moved;
    }

    // Whether what comes late is so for good: over TCP at once, else when nothing was on time for a while.
    bool must_move(double arrival_ms, std::int64_t number, std::size_t count) const {
        if (number < newest_number_ || count == 0) return false;
        return settings_.reliable || (is_late_run_ && arrival_ms - late_since_ms_ >= MOVED_MS);
    }

    // How long it has been quiet, as far as is known: what waits at 16 kHz is not decoded yet.
    void listen(const Content& content, std::int64_t position) {
        float loudest = content.coding == Wide::none ? 0.0f : 1.0f;
        if (content.coding == Wide::none)
            for (std::size_t i = 0; i < content.count; ++i) loudest = std::max(loudest, std::abs(content.samples[i]));
        if (loudest >= QUIET) quiet_since_ = std::max(quiet_since_, position + static_cast<std::int64_t>(content.count));
    }

    void keep(Packet packet) {
        auto place = waiting_.end();
        while (place != waiting_.begin() && std::prev(place)->number > packet.number) --place;
        waiting_.insert(place, std::move(packet));
    }

    Packet make_packet(std::int64_t number, std::int64_t position, const Content& content) {
        Packet packet{number, position, {}, content.coding, {}, stream_};
        if (!spare_.empty()) {
            packet.samples = std::move(spare_.back());
            spare_.pop_back();
        }
        if (content.coding == Wide::none) {
            packet.samples.assign(content.samples, content.samples + content.count);
        } else {
            packet.samples.resize(content.count);
            packet.bytes.assign(content.bytes, content.bytes + content.size);
        }
        return packet;
    }

    void decode(Packet& packet) {
        if (!wide_ || packet.stream != wide_stream_) {
            wide_ = std::make_unique<WideDecoder>();
            wide_stream_ = packet.stream;
        }
        wide_->decode(packet.coding, packet.bytes.data(), packet.bytes.size(), packet.samples.data());
        packet.coding = Wide::none;
    }

    // The next `count` samples into tick_, without going on.
    void render(int count, bool& any_audio, bool& any_lost) {
        std::int64_t number = played_number_, end = played_end_, length = played_length_;
        auto next = waiting_.begin();
        int done = 0;
        while (done < count) {
            const auto at = play_ + done;
            if (next != waiting_.end() && next->position <= at) {
                if (next->coding != Wide::none) decode(*next);
                const auto upto = std::min<std::int64_t>(next->end() - at, count - done);
                if (upto > 0) {
                    std::copy_n(next->samples.begin() + (at - next->position), upto, tick_.begin() + done);
                    any_audio = any_audio || done < TICK_SAMPLES;
                    done += static_cast<int>(upto);
                }
                if (next->end() <= play_ + done) {
                    number = next->number;
                    end = std::max(end, next->end());
                    length = static_cast<std::int64_t>(next->samples.size());
                    ++next;
                } else if (upto <= 0) {
                    ++next;
                }
                continue;
            }
            // A gap: up to the next packet, or with no end in sight.
            const bool is_open = next == waiting_.end();
            std::int64_t lost_until = end;
            if (is_open) {
                if (length > 0 && !closed_ && !rests_) lost_until = end + static_cast<std::int64_t>(settings_.hold_ms * SAMPLES_PER_MS);
            } else {
                const auto missing = number == NONE || number == rested_number_ ? 0 : next->number - number - 1;
                const auto usual = length > 0 ? length : std::max<std::int64_t>(1, static_cast<std::int64_t>(next->samples.size()));
                lost_until = missing > 0 ? end + missing * usual : end;
                if (missing > 0 && next->position - lost_until < usual / 2) lost_until = next->position;
            }
            const auto stop = is_open ? count : static_cast<int>(std::min<std::int64_t>(next->position - play_, count));
            for (; done < stop; ++done) {
                const bool is_lost = play_ + done < lost_until;
                any_lost = any_lost || (is_lost && done < TICK_SAMPLES);
                tick_[static_cast<std::size_t>(done)] = is_lost ? std::numeric_limits<float>::quiet_NaN() : 0.0f;
            }
        }
    }

    void consume(int count) {
        play_ += count;
        while (!waiting_.empty() && waiting_.front().end() <= play_ && waiting_.front().position <= play_) {
            auto& packet = waiting_.front();
            if (played_number_ != NONE && played_number_ != rested_number_) counts_.lost += std::max<std::int64_t>(0, packet.number - played_number_ - 1);
            played_number_ = packet.number;
            played_end_ = std::max(played_end_, packet.end());
            played_length_ = static_cast<std::int64_t>(packet.samples.size());
            spare_.push_back(std::move(packet.samples));
            waiting_.pop_front();
        }
    }

    // Drift

    void forget_margins() {
        margins_.clear();
        has_reference_ = false;
        window_from_ms_ = -1.0;
    }

    void measure(double arrival_ms, double margin_ms, std::int64_t time) {
        const double ahead_ms = static_cast<double>(time - base_time_) * 1000.0 / settings_.clock_hz - arrival_ms;
        if (window_from_ms_ < 0.0) {
            window_from_ms_ = arrival_ms;
            window_margin_ms_ = margin_ms;
            window_ahead_ = {arrival_ms, ahead_ms};
            return;
        }
        window_margin_ms_ = std::max(window_margin_ms_, margin_ms);
        if (ahead_ms > window_ahead_.ahead_ms) window_ahead_ = {arrival_ms, ahead_ms};
        if (arrival_ms - window_from_ms_ < WINDOW_MS) return;
        margins_.push_back(window_margin_ms_);
        if (margins_.size() > WINDOWS) margins_.pop_front();
        trend_.push_back(window_ahead_);
        if (trend_.size() > TREND_WINDOWS) trend_.pop_front();
        if (!has_reference_ && margins_.size() == WINDOWS) {
            reference_ms_ = *std::max_element(margins_.begin(), margins_.end());
            has_reference_ = true;
        }
        window_from_ms_ = -1.0;
    }

    // +1: a sample is left out of this tick, -1: one is put in.
    int correction() const {
        if (!has_reference_) return 0;
        const double drifted_ms = *std::max_element(margins_.begin(), margins_.end()) - reference_ms_;
        if (std::abs(drifted_ms) < DRIFTED_QUIET_MS || (std::abs(drifted_ms) < DRIFTED_MS && !is_tick_quiet())) return 0;
        return drifted_ms > 0.0 ? 1 : -1;
    }

    bool is_tick_quiet() const {
        return std::all_of(tick_.begin(), tick_.begin() + TICK_SAMPLES + 1, [](float sample) { return std::abs(sample) < QUIET; });
    }

    void adjust(int samples) {
        counts_.adjusted += samples;
        for (auto& margin : margins_) margin -= samples / SAMPLES_PER_MS;
        window_margin_ms_ -= samples / SAMPLES_PER_MS;
    }

    PlayoutSettings settings_;
    std::unique_ptr<WideDecoder> wide_;
    int wide_stream_ = 0;
    PlayoutCounts counts_;
    bool heard_ = false, begun_ = false, closed_ = false, rests_ = false;
    double due_ms_ = 0.0, next_pull_ms_ = 0.0;

    // The newest packet in the sender's order, and how its stream lies on the channel.
    int stream_ = 0;  // how often it began
    std::uint32_t ssrc_ = 0, newest_timestamp_ = 0;
    std::uint16_t newest_sequence_ = 0, suspect_ = 0;
    bool suspects_ = false;
    std::int64_t newest_number_ = 0, newest_time_ = 0, newest_end_ = 0, base_time_ = 0, base_position_ = 0;
    std::int64_t shift_ = 0, shift_before_ = 0, shift_from_ = NONE;
    double newest_arrival_ms_ = 0.0;
    std::int64_t rested_number_ = NONE;  // behind which nothing was sent
    std::int64_t quiet_since_ = 0;  // a position

    // What was played last, and what waits.
    std::int64_t play_ = 0, played_number_ = NONE, played_end_ = 0, played_length_ = 0;
    std::deque<Packet> waiting_;
    std::vector<std::vector<float>> spare_;

    // Lateness and drift.
    bool is_late_run_ = false, has_reference_ = false;
    double late_since_ms_ = 0.0, wanted_ms_ = 0.0, extra_ms_ = 0.0;
    double window_from_ms_ = -1.0, window_margin_ms_ = 0.0, reference_ms_ = 0.0;
    Point window_ahead_{};
    std::deque<double> margins_;
    std::deque<Point> trend_;

    std::array<float, TICK_SAMPLES + 2> tick_{};
    std::array<std::int64_t, 1024> seen_{};
};

}  // namespace vocal
