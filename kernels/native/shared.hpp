// A playout that a receiving thread fills and the clock's thread empties.
#pragma once

#include <mutex>

#include "playout.hpp"

namespace vocal {

// Into the cache what lies from `begin` to `end`: of many streams each is touched once in 20 ms, long after it was last.
inline void prefetch_bytes(const void* begin, const void* end) {
    for (auto* at = static_cast<const char*>(begin); at < end; at += 64) __builtin_prefetch(at);
}

class SharedPlayout {
  public:
    explicit SharedPlayout(const PlayoutSettings& settings) : playout_(settings) {}

    Arrival push(std::uint16_t sequence, std::uint32_t timestamp, std::uint32_t ssrc, const float* samples,
                 std::size_t count, double arrival_ms) {
        std::scoped_lock held(lock_);
        return playout_.push(sequence, timestamp, ssrc, samples, count, arrival_ms);
    }
    Arrival push_wide(std::uint16_t sequence, std::uint32_t timestamp, std::uint32_t ssrc, Wide coding,
                      const std::uint8_t* bytes, std::size_t size, double arrival_ms) {
        std::scoped_lock held(lock_);
        return playout_.push_wide(sequence, timestamp, ssrc, coding, bytes, size, arrival_ms);
    }
    Played pull(double now_ms, float* out, std::size_t stride, int& count) {
        std::scoped_lock held(lock_);
        return playout_.pull(now_ms, out, stride, count);
    }
    void prefetch() const { prefetch_bytes(this, playout_.end_of_hot()); }
    void begin(double now_ms) { std::scoped_lock held(lock_); playout_.begin(now_ms); }
    void rest() { std::scoped_lock held(lock_); playout_.rest(); }
    void close() { std::scoped_lock held(lock_); playout_.close(); }
    double due_ms() { std::scoped_lock held(lock_); return playout_.due_ms(); }
    double depth_ms() { std::scoped_lock held(lock_); return playout_.depth_ms(); }

    struct Report {
        PlayoutCounts counts;
        double drift_ppm, lag_ms;
    };
    Report report() {
        std::scoped_lock held(lock_);
        return {playout_.counts(), playout_.drift_ppm(), playout_.lag_ms()};
    }

  private:
    std::mutex lock_;
    Playout playout_;
};

}  // namespace vocal
