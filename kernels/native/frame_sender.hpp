// Writes frames that were made before to many connected TCP sockets at their times: media of WebSockets, one thread.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <queue>
#include <string>
#include <thread>
#include <vector>

#include "flow.hpp"
#include "media.hpp"

namespace vocal {

// A number that each frame says in so many decimal digits at the same place: the template has noughts there, masked or not.
struct Stamp {
    std::size_t offset, digits;
    std::uint64_t begins, step;  // it is begins + step * the frame's number on its connection
};

class FrameSender {
  public:
    // blocked: how often a socket took no more, or only a part. late: frames handed over more than 20 ms behind their time.
    // closed: connections that the peer ended; why: as the first of them was told, code first. pongs: pings of the peer's
    // that were answered.
    struct Counts {
        std::int64_t frames = 0, octets = 0, blocked = 0, late = 0, closed = 0, pongs = 0;
        double most_late_ms = 0.0, cpu_s = 0.0;
        std::string why{};
    };

    explicit FrameSender(double every_ms) : every_ms_(every_ms) {}
    ~FrameSender() {
        stop();
        for (auto& one : connections_) close(one);
    }
    FrameSender(const FrameSender&) = delete;

    // The socket is ours from now on, its handshake done. count: frames to send, from the first one on, over and over.
    std::size_t add(std::shared_ptr<const Recording> frames, int fd, std::size_t first, std::size_t count, double start_ms,
                    std::vector<Stamp> stamps = {}) {
        std::scoped_lock held(lock_);
        connections_.push_back({std::move(frames), fd, first, count, start_ms, std::move(stamps)});
        events_.push({start_ms, static_cast<std::uint32_t>(connections_.size() - 1)});
        return connections_.size() - 1;
    }

    void start() {
        if (thread_.joinable()) return;
        start_s_ = seconds_of(CLOCK_MONOTONIC);
        thread_ = std::thread([this] { run(); });
    }
    void stop() {
        stops_ = true;
        if (thread_.joinable()) thread_.join();
    }
    double start_s() const { return start_s_; }
    double now_ms() const { return 1000.0 * (seconds_of(CLOCK_MONOTONIC) - start_s_); }

    Counts counts() {
        std::scoped_lock held(lock_);
        return counts_;
    }

  private:
    static constexpr double AGAIN_MS = 2.0, LISTEN_MS = 500.0, LATE_MS = 20.0;
    static constexpr std::size_t MOST_CONTROL = 125;  // bytes of a ping (RFC 6455, 5.5)

    struct One {
        std::shared_ptr<const Recording> frames;
        int fd;
        std::size_t first, count;
        double start_ms;
        std::vector<Stamp> stamps;
        std::vector<std::uint8_t> stamped{};  // the frame that is written, where it has stamps
        std::size_t number = 0, offset = 0;  // the frame that is written, and how much of it has been
        double listened_ms = 0.0;
        std::vector<std::uint8_t> heard{};
        std::vector<std::uint8_t> answer{};  // goes out between two frames
    };
    struct Event {
        double at_ms;
        std::uint32_t connection;
        bool operator<(const Event& other) const { return at_ms > other.at_ms; }
    };

    void run() {
        pthread_setname_np(pthread_self(), "vocal-sender");
        while (!stops_) {
            {
                std::scoped_lock held(lock_);
                const double now_ms = this->now_ms();
                while (!events_.empty() && events_.top().at_ms <= now_ms) {
                    const auto event = events_.top();
                    events_.pop();
                    auto& one = connections_[event.connection];
                    if (now_ms >= one.listened_ms + LISTEN_MS) {
                        one.listened_ms = now_ms;
                        listen(one);
                    }
                    const double next_ms = write(one, now_ms);
                    if (one.fd >= 0) events_.push({next_ms, event.connection});
                }
                counts_.cpu_s = seconds_of(CLOCK_THREAD_CPUTIME_ID);
            }
            const timespec nap{0, 1'000'000};
            nanosleep(&nap, nullptr);
        }
    }

    // All that is due; returns when to come again.
    double write(One& one, double now_ms) {
        while (one.fd >= 0) {
            if (one.offset == 0 && !one.answer.empty()) {
                const auto sent = ::send(one.fd, one.answer.data(), one.answer.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
                if (!went(one, sent)) return now_ms + AGAIN_MS;
                one.answer.erase(one.answer.begin(), one.answer.begin() + sent);
                if (!one.answer.empty()) return now_ms + AGAIN_MS;
                ++counts_.pongs;
            }
            if (one.number >= one.count) return now_ms + LISTEN_MS;
            const double due_ms = one.start_ms + every_ms_ * static_cast<double>(one.number);
            if (due_ms > now_ms) return due_ms;
            const auto place = (one.first + one.number) % one.frames->size();
            const auto size = one.frames->bytes_of(place);
            if (one.offset == 0 && !one.stamps.empty()) stamp(one, place);
            const auto* bytes = one.stamps.empty() ? one.frames->at(place) : one.stamped.data();
            const auto sent = ::send(one.fd, bytes + one.offset, size - one.offset, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (!went(one, sent)) return now_ms + AGAIN_MS;
            one.offset += static_cast<std::size_t>(sent);
            counts_.octets += sent;
            if (one.offset < size) {
                ++counts_.blocked;
                return now_ms + AGAIN_MS;
            }
            one.offset = 0;
            ++one.number;
            ++counts_.frames;
            counts_.most_late_ms = std::max(counts_.most_late_ms, now_ms - due_ms);
            if (now_ms - due_ms > LATE_MS) ++counts_.late;
        }
        return now_ms;
    }

    static void stamp(One& one, std::size_t place) {
        one.stamped.assign(one.frames->at(place), one.frames->at(place) + one.frames->bytes_of(place));
        for (const auto& each : one.stamps) {
            std::uint64_t value = each.begins + each.step * one.number;
            // '0' ^ d is the digit d, and so it is under a mask.
            for (std::size_t k = each.digits; k-- > 0; value /= 10) one.stamped[each.offset + k] ^= static_cast<std::uint8_t>(value % 10);
        }
    }

    bool went(One& one, ssize_t sent) {
        if (sent >= 0) return true;
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) ++counts_.blocked;
        else lose(one);
        return false;
    }

    // What the peer says: only its pings want an answer, and its end is noticed.
    void listen(One& one) {
        std::array<std::uint8_t, 4096> bytes;
        for (ssize_t size; one.fd >= 0 && (size = recv(one.fd, bytes.data(), bytes.size(), MSG_DONTWAIT)) >= 0;) {
            if (size == 0) return lose(one);
            one.heard.insert(one.heard.end(), bytes.data(), bytes.data() + size);
        }
        std::size_t at = 0;
        while (one.heard.size() - at >= 2) {
            const std::uint8_t* head = one.heard.data() + at;
            std::size_t size = head[1] & 0x7f, front = 2;
            if (size == 126) {
                if (one.heard.size() - at < 4) break;
                size = static_cast<std::size_t>(head[2] << 8 | head[3]);
                front = 4;
            } else if (size == 127) {  // nothing as long as that is ours to hear
                return lose(one);
            }
            if (one.heard.size() - at < front + size) break;
            if ((head[0] & 0x0f) == 0x8) {
                if (counts_.why.empty() && size >= 2) {
                    counts_.why = std::to_string(head[front] << 8 | head[front + 1]) + ' ';
                    counts_.why.append(head + front + 2, head + front + size);
                }
                return lose(one);
            }
            if ((head[0] & 0x0f) == 0x9 && size <= MOST_CONTROL) {
                one.answer = {0x8a, static_cast<std::uint8_t>(0x80 | size), 0, 0, 0, 0};  // its mask is zero
                one.answer.insert(one.answer.end(), head + front, head + front + size);
            }
            at += front + size;
        }
        one.heard.erase(one.heard.begin(), one.heard.begin() + static_cast<std::ptrdiff_t>(at));
    }

    void lose(One& one) {
        ++counts_.closed;
        close(one);
    }
    static void close(One& one) {
        if (one.fd >= 0) ::close(one.fd);
        one.fd = -1;
    }

    double every_ms_, start_s_ = 0.0;
    std::deque<One> connections_;
    std::priority_queue<Event> events_;
    std::mutex lock_;
    Counts counts_;
    std::atomic<bool> stops_ = false;
    std::thread thread_;
};

}  // namespace vocal
