// Sends many flows at their times: one thread, from a socket for each of them or from one for all.
#pragma once

#include <atomic>
#include <deque>
#include <mutex>
#include <queue>
#include <thread>

#include "flow.hpp"
#include "media.hpp"

namespace vocal {

class Sender {
  public:
    // lost: left out on purpose; missed: of them, those that a receiver knows of by what came behind. silent: not sent, as
    // nobody spoke.
    struct Counts {
        std::int64_t packets = 0, octets = 0, lost = 0, missed = 0, silent = 0, reports = 0, refused = 0, late = 0;
        double most_late_ms = 0.0, cpu_s = 0.0;
    };

    // own_ports: each flow has a socket of its own, as telephones do. stays: flows may still be added once it runs, and it
    // ends when it is stopped, not with its last packet.
    Sender(const std::string& host, bool own_ports, double report_ms, bool stays)
        : host_(host), own_ports_(own_ports), stays_(stays), report_ms_(report_ms) {}
    ~Sender() {
        stop();
        for (const int fd : sockets_) ::close(fd);
    }
    Sender(const Sender&) = delete;

    // Its times are of the sender's clock, `now_ms`. Returns the flow's number.
    std::size_t add(Flow flow, const Address& to, std::shared_ptr<SrtpSession> keys) {
        if (thread_.joinable() && !stays_) throw std::invalid_argument("wanted all flows before the start");
        std::scoped_lock held(lock_);
        if (sockets_.empty() || own_ports_) {
            const int fd = bound_socket(address_of(host_, 0), 65'536);
            if (fd < 0) throw std::system_error(EADDRINUSE, std::generic_category(), "bind");
            sockets_.push_back(fd);
        }
        flows_.push_back({std::move(flow), to, std::move(keys), sockets_.back()});
        flows_.back().report_ms = flows_.back().flow.next_ms() + 0.2 * report_ms_;
        events_.push({flows_.back().flow.next_ms(), static_cast<std::uint32_t>(flows_.size() - 1), false, {}});
        return flows_.size() - 1;
    }

    std::uint16_t port(std::size_t flow) {
        std::scoped_lock held(lock_);
        return port_of(flows_.at(flow).fd);
    }

    void start() {
        if (thread_.joinable()) return;
        start_s_ = seconds_of(CLOCK_MONOTONIC);
        thread_ = std::thread([this] { run(); });
    }
    // Of CLOCK_MONOTONIC, when its clock began.
    double start_s() const { return start_s_; }
    double now_ms() const { return 1000.0 * (seconds_of(CLOCK_MONOTONIC) - start_s_); }
    void stop() {
        stops_ = true;
        if (thread_.joinable()) thread_.join();
    }
    bool is_done() const { return is_done_; }

    Counts counts() {
        std::scoped_lock held(lock_);
        return counts_;
    }
    // The packets of a flow that were left out, by their number; once it is done.
    std::vector<std::int64_t> lost(std::size_t flow) {
        std::scoped_lock held(lock_);
        return flows_.at(flow).flow.lost();
    }

  private:
    static constexpr std::size_t MOST_BATCH = 64;

    struct One {
        Flow flow;
        Address to;
        std::shared_ptr<SrtpSession> keys;
        int fd;
        double report_ms = 0.0;
        std::size_t missed = 0;
    };
    struct Event {
        double at_ms;
        std::uint32_t flow;
        bool is_send;
        Due due;
        bool operator<(const Event& other) const { return at_ms > other.at_ms; }
    };

    void run() {
        pthread_setname_np(pthread_self(), "vocal-sender");
        std::vector<Due> due;
        for (bool is_over = false; !stops_ && !is_over;) {
            {
                std::scoped_lock held(lock_);
                const double now_ms = this->now_ms();
                while (!events_.empty() && events_.top().at_ms <= now_ms) {
                    const auto event = events_.top();
                    events_.pop();
                    auto& one = flows_[event.flow];
                    const double late_ms = now_ms - event.at_ms;
                    if (late_ms > 20.0) ++counts_.late;
                    counts_.most_late_ms = std::max(counts_.most_late_ms, late_ms);
                    if (event.is_send) {
                        put(one, event.due);
                        continue;
                    }
                    due.clear();
                    const auto lost = one.flow.lost().size();
                    const auto silent = one.flow.silent;
                    one.flow.next(due);
                    counts_.lost += static_cast<std::int64_t>(one.flow.lost().size() - lost);
                    counts_.silent += one.flow.silent - silent;
                    if (!due.empty()) {
                        counts_.missed += static_cast<std::int64_t>(one.flow.lost().size() - one.missed);
                        one.missed = one.flow.lost().size();
                    }
                    for (const auto& each : due) {
                        if (each.at_ms <= now_ms) put(one, each);
                        else events_.push({each.at_ms, event.flow, true, each});
                    }
                    if (!one.flow.is_done()) events_.push({one.flow.next_ms(), event.flow, false, {}});
                    if (report_ms_ > 0.0 && now_ms >= one.report_ms) {
                        one.report_ms = now_ms + report_ms_;
                        report(one, now_ms);
                    }
                }
                flush();
                counts_.cpu_s = seconds_of(CLOCK_THREAD_CPUTIME_ID);
                listen();
                is_over = events_.empty() && !stays_;
            }
            const timespec nap{0, 1'000'000};
            nanosleep(&nap, nullptr);
        }
        is_done_ = true;
    }

    void put(One& one, const Due& due) {
        auto& slot = slots_[filled_];
        std::size_t size = one.flow.write(due, slot.bytes.data());
        ++one.flow.sent;
        one.flow.octets += static_cast<std::int64_t>(size - RTP_HEADER);
        counts_.octets += static_cast<std::int64_t>(size);
        if (one.keys != nullptr && !one.keys->protect(slot.bytes.data(), size)) {
            ++counts_.refused;
            return;
        }
        slot.part = {slot.bytes.data(), size};
        slot.one = &one;
        if (++filled_ == MOST_BATCH) flush();
    }

    void flush() {
        if (own_ports_) {
            for (std::size_t i = 0; i < filled_; ++i) {
                auto& to = slots_[i].one->to;
                count(sendto(slots_[i].one->fd, slots_[i].part.iov_base, slots_[i].part.iov_len, 0,
                             reinterpret_cast<const sockaddr*>(&to.storage), to.size) >= 0);
            }
        } else if (filled_ > 0) {
            for (std::size_t i = 0; i < filled_; ++i) {
                auto& header = messages_[i].msg_hdr;
                header = {};
                header.msg_name = &slots_[i].one->to.storage;
                header.msg_namelen = slots_[i].one->to.size;
                header.msg_iov = &slots_[i].part;
                header.msg_iovlen = 1;
            }
            for (std::size_t i = 0; i < filled_;) {
                const int sent = sendmmsg(sockets_.front(), messages_.data() + i, static_cast<unsigned>(filled_ - i), 0);
                for (int k = 0; k < sent; ++k) count(true);
                if (sent <= 0) count(false);
                i += static_cast<std::size_t>(std::max(sent, 1));
            }
        }
        filled_ = 0;
    }

    void count(bool was_sent) { ++(was_sent ? counts_.packets : counts_.refused); }

    // A sender report to the port above, from the flow's own.
    void report(One& one, double now_ms) {
        std::array<std::uint8_t, 256 + SRTP_TRAILER> bytes;
        // Its wall clock says when the next packet is sent, before anything goes wrong on the way.
        const double unix_s = seconds_of(CLOCK_REALTIME) + (one.flow.next_ms() - now_ms) / 1000.0;
        auto size = write_sender_report(one.flow.ssrc(), ntp_of(unix_s), one.flow.timestamp_now(),
                                        static_cast<std::uint32_t>(one.flow.sent), static_cast<std::uint32_t>(one.flow.octets), "sender", bytes.data());
        if (one.keys != nullptr && !one.keys->protect_rtcp(bytes.data(), size)) return;
        auto to = one.to;
        to.set_port(static_cast<std::uint16_t>(to.port() + 1));
        sendto(one.fd, bytes.data(), size, 0, reinterpret_cast<const sockaddr*>(&to.storage), to.size);
    }

    void listen() {
        std::array<std::uint8_t, PACKET_BYTES> bytes;
        for (std::size_t k = 0; k < std::min<std::size_t>(sockets_.size(), 8); ++k) {
            listened_ = (listened_ + 1) % sockets_.size();
            for (ssize_t size; (size = recv(sockets_[listened_], bytes.data(), bytes.size(), MSG_DONTWAIT)) > 0;)
                if (datagram_kind(bytes.data(), static_cast<std::size_t>(size)) == Datagram::rtcp) ++counts_.reports;
        }
    }

    struct Slot {
        std::array<std::uint8_t, RTP_HEADER + MOST_PAYLOAD + SRTP_TRAILER> bytes;
        iovec part;
        One* one;
    };

    std::string host_;
    bool own_ports_, stays_;
    double report_ms_, start_s_ = 0.0;
    std::vector<int> sockets_;
    std::deque<One> flows_;
    std::priority_queue<Event> events_;
    std::size_t filled_ = 0, listened_ = 0;
    std::array<Slot, MOST_BATCH> slots_;
    std::array<mmsghdr, MOST_BATCH> messages_{};
    std::mutex lock_;
    Counts counts_;
    std::atomic<bool> stops_ = false, is_done_ = false;
    std::thread thread_;
};

}  // namespace vocal
