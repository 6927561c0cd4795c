// The media plane: sockets of many streams, received by a few threads, each stream's packets into its Receiver.
//
//   Plane ── Worker (thread, epoll) ── Stream (socket, latch, keys, Receiver) ─► playout
//
// A stream is touched under its own lock; a worker's lock guards only which streams it has. Linux only.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <vector>

#include "receiver.hpp"
#include "rtcp.hpp"
#include "rtp.hpp"
#include "srtp.hpp"

namespace vocal {

inline double seconds_of(clockid_t which) {
    timespec now{};
    clock_gettime(which, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// The live engine's clock, which may be moved while packets come: CLOCK_MONOTONIC is Python's time.monotonic.
class Clock {
  public:
    explicit Clock(double speed) : speed_(speed) {}
    void set_start(double start_s) { start_s_.store(start_s, std::memory_order_relaxed); }
    double speed() const { return speed_; }
    double now_ms() const { return 1000.0 * (speed_ * seconds_of(CLOCK_MONOTONIC) - start_s_.load(std::memory_order_relaxed)); }

  private:
    double speed_;
    std::atomic<double> start_s_{0.0};
};

struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;

    bool known() const { return size > 0; }
    bool operator==(const Address& other) const {
        if (storage.ss_family != other.storage.ss_family) return false;
        if (storage.ss_family == AF_INET) {
            const auto &a = reinterpret_cast<const sockaddr_in&>(storage), &b = reinterpret_cast<const sockaddr_in&>(other.storage);
            return a.sin_port == b.sin_port && a.sin_addr.s_addr == b.sin_addr.s_addr;
        }
        const auto &a = reinterpret_cast<const sockaddr_in6&>(storage), &b = reinterpret_cast<const sockaddr_in6&>(other.storage);
        return a.sin6_port == b.sin6_port && std::memcmp(&a.sin6_addr, &b.sin6_addr, 16) == 0;
    }
    bool has_host_of(Address other) const {
        other.set_port(port());
        return *this == other;
    }
    void set_port(std::uint16_t port) {
        if (storage.ss_family == AF_INET) reinterpret_cast<sockaddr_in&>(storage).sin_port = htons(port);
        else reinterpret_cast<sockaddr_in6&>(storage).sin6_port = htons(port);
    }
    std::uint16_t port() const {
        return ntohs(storage.ss_family == AF_INET ? reinterpret_cast<const sockaddr_in&>(storage).sin_port
                                                  : reinterpret_cast<const sockaddr_in6&>(storage).sin6_port);
    }
    std::string host() const {
        char text[INET6_ADDRSTRLEN] = "";
        if (storage.ss_family == AF_INET) inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(storage).sin_addr, text, sizeof text);
        else inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(storage).sin6_addr, text, sizeof text);
        return text;
    }
};

// A numeric address of IPv4 or IPv6. Throws std::invalid_argument for a name.
inline Address address_of(const std::string& host, std::uint16_t port) {
    Address found;
    auto& four = reinterpret_cast<sockaddr_in&>(found.storage);
    auto& six = reinterpret_cast<sockaddr_in6&>(found.storage);
    if (inet_pton(AF_INET, host.c_str(), &four.sin_addr) == 1) {
        four.sin_family = AF_INET;
        four.sin_port = htons(port);
        found.size = sizeof four;
    } else if (inet_pton(AF_INET6, host.c_str(), &six.sin6_addr) == 1) {
        six.sin6_family = AF_INET6;
        six.sin6_port = htons(port);
        found.size = sizeof six;
    } else {
        throw std::invalid_argument("host: wanted a numeric address, got " + host);
    }
    return found;
}

// A bound UDP socket; -1 where the port is taken.
inline int bound_socket(const Address& local, int receive_bytes) {
    const int fd = socket(local.storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) throw std::system_error(errno, std::generic_category(), "socket");
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    if (local.storage.ss_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, reinterpret_cast<const sockaddr*>(&local.storage), local.size) != 0) {
        const int error = errno;
        ::close(fd);
        if (error == EADDRINUSE || error == EACCES) return -1;
        if (error == EADDRNOTAVAIL) throw std::invalid_argument("wanted an address of this machine");
        throw std::system_error(error, std::generic_category(), "bind");
    }
    return fd;
}

inline std::uint16_t port_of(int fd) {
    Address bound;
    bound.size = sizeof bound.storage;
    getsockname(fd, reinterpret_cast<sockaddr*>(&bound.storage), &bound.size);
    return bound.port();
}

enum class Happening { key = 0, timeout = 1, resumed = 2, source = 3, moved = 4, bye = 5 };

struct MediaEvent {
    std::int64_t stream;
    Happening what;
    double at_ms;
    char key = 0;
    double duration_ms = 0.0;
    std::string detail;
};

// What a few times a second is taken away; bounded, since nobody may come.
class MediaEvents {
  public:
    void push(MediaEvent event) {
        std::scoped_lock held(lock_);
        if (events_.size() < MOST) events_.push_back(std::move(event));
        else ++dropped_;
    }
    std::vector<MediaEvent> take() {
        std::scoped_lock held(lock_);
        return std::exchange(events_, {});
    }
    std::int64_t dropped() {
        std::scoped_lock held(lock_);
        return dropped_;
    }

  private:
    static constexpr std::size_t MOST = 100'000;
    std::mutex lock_;
    std::vector<MediaEvent> events_;
    std::int64_t dropped_ = 0;
};

// Of what comes, and of our reports; null: in the clear.
struct StreamKeys {
    std::shared_ptr<SrtpSession> theirs, ours;
};

struct StreamCounts {
    std::int64_t strays = 0;           // from an address that is not the stream's
    std::int64_t unauthenticated = 0;  // not under our keys, or played again
    std::int64_t stun = 0, unknown = 0;
    std::int64_t rtcp = 0, rtcp_malformed = 0, sender_reports = 0, reports_sent = 0;
};

struct StreamSettings {
    double timeout_ms = 30'000.0, report_ms = 5'000.0;
    std::string name;    // ours, in reports
    bool latches = true;  // the first valid source is followed, wherever it sends from
};

constexpr std::size_t PACKET_BYTES = 2048, BATCH = 16, MOST_BATCHES = 4;

class Stream {
  public:
    Stream(std::int64_t number, int rtp, int rtcp, std::shared_ptr<SharedPlayout> playout, const Payloads& payloads,
           const Address& remote, const StreamKeys& keys, const StreamSettings& settings, MediaEvents& events, double now_ms)
        : number(number), rtp_(rtp), rtcp_(rtcp), receiver_(std::move(playout), payloads), remote_(remote), keys_(keys),
          settings_(settings), events_(events), our_ssrc_(std::random_device{}()), heard_ms_(now_ms),
          report_ms_(now_ms + 0.5 * settings.report_ms) {}
    ~Stream() { close(); }
    Stream(const Stream&) = delete;

    const std::int64_t number;

    int rtp() const { return rtp_; }
    int rtcp() const { return rtcp_; }

    void close() {
        std::scoped_lock held(lock_);
        if (rtp_ >= 0) ::close(rtp_);
        if (rtcp_ >= 0) ::close(rtcp_);
        rtp_ = rtcp_ = -1;
    }

    void set_remote(const Address& remote) {
        std::scoped_lock held(lock_);
        remote_ = remote;
        source_ = {};
        control_ = {};
    }
    void set_payloads(const Payloads& payloads) {
        std::scoped_lock held(lock_);
        receiver_.set_payloads(payloads);
    }
    void set_keys(const StreamKeys& keys) {
        std::scoped_lock held(lock_);
        keys_ = keys;
    }
    void set_held(bool is_held, double now_ms) {
        std::scoped_lock held(lock_);
        receiver_.set_held(is_held);
        is_held_ = is_held;
        heard_ms_ = now_ms;
    }

    struct Report {
        StreamCounts counts;
        ReceiverCounts receiver;
        Reception reception;
        Address source;
        double heard_ms;
        double transit_ms;  // from the sender's clock to ours; NaN: the sender did not say
        bool is_timed_out;
    };
    Report report() {
        std::scoped_lock held(lock_);
        return {counts_, receiver_.counts(), receiver_.reception(), source_, heard_ms_, transit_ms_, is_timed_out_};
    }
    std::vector<Aside> take_aside() {
        std::scoped_lock held(lock_);
        return receiver_.take_aside();
    }

    struct Buffers {
        std::array<std::array<std::uint8_t, PACKET_BYTES>, BATCH> bytes;
        struct alignas(cmsghdr) Control {
            std::array<std::uint8_t, 64> bytes;
        };
        std::array<Control, BATCH> control;
        std::array<Address, BATCH> from;
        std::array<iovec, BATCH> parts;
        std::array<mmsghdr, BATCH> messages{};

        Buffers() {
            for (std::size_t i = 0; i < BATCH; ++i) {
                parts[i] = {bytes[i].data(), PACKET_BYTES};
                auto& header = messages[i].msg_hdr;
                header.msg_name = &from[i].storage;
                header.msg_iov = &parts[i];
                header.msg_iovlen = 1;
                header.msg_control = control[i].bytes.data();
                reuse(i);
            }
        }
        // What the system has written over.
        void reuse(std::size_t i) {
            messages[i].msg_hdr.msg_namelen = sizeof from[i].storage;
            messages[i].msg_hdr.msg_controllen = control[i].bytes.size();
        }
    };

    void prefetch() const {
        prefetch_bytes(this, &receiver_);
        receiver_.prefetch();
        prefetch_bytes(&remote_, this + 1);
    }
    void prefetch_playout() const { receiver_.prefetch_playout(); }

    // What lies at a socket; the rest of a flood waits for the next turn.
    std::size_t receive(bool is_control, const Clock& clock, Buffers& buffers) {
        std::scoped_lock held(lock_);
        std::size_t taken = 0;
        for (std::size_t batch = 0; batch < MOST_BATCHES; ++batch) {
            const int fd = is_control ? rtcp_ : rtp_;
            if (fd < 0) return taken;
            const int found = recvmmsg(fd, buffers.messages.data(), BATCH, MSG_DONTWAIT, nullptr);
            if (found <= 0) return taken;
            const double now_ms = clock.now_ms(), wall_s = seconds_of(CLOCK_REALTIME);
            unix_minus_clock_ms_ = 1000.0 * wall_s - now_ms;
            for (std::size_t i = 0; i < static_cast<std::size_t>(found); ++i) {
                auto& header = buffers.messages[i].msg_hdr;
                buffers.from[i].size = header.msg_namelen;
                const double waited_ms = 1000.0 * clock.speed() * std::clamp(wall_s - came_s(header, wall_s), 0.0, 1.0);
                if (header.msg_flags & MSG_TRUNC) ++counts_.unknown;
                else take(buffers.bytes[i].data(), buffers.messages[i].msg_len, buffers.from[i], now_ms - waited_ms, is_control);
                buffers.reuse(i);
            }
            taken += static_cast<std::size_t>(found);
            if (static_cast<std::size_t>(found) < BATCH) break;
        }
        return taken;
    }

    // What time alone decides; a few times a second.
    void sweep(double now_ms) {
        std::scoped_lock held(lock_);
        receiver_.sweep(now_ms);
        tell_keys();
        if (!is_timed_out_ && !is_held_ && now_ms - heard_ms_ > settings_.timeout_ms) {
            is_timed_out_ = true;
            tell(Happening::timeout, now_ms);
        }
        if (settings_.report_ms > 0.0 && now_ms >= report_ms_) {
            // Half to one and a half of the interval, so that many streams' reports do not come at once.
            our_random_ = our_random_ * 1'664'525u + 1'013'904'223u;
            report_ms_ = now_ms + settings_.report_ms * (0.5 + our_random_ / 4294967296.0);
            report_to_sender(now_ms);
        }
    }

  private:
    static double came_s(msghdr& header, double otherwise_s) {
        for (auto* one = CMSG_FIRSTHDR(&header); one != nullptr; one = CMSG_NXTHDR(&header, one)) {
            if (one->cmsg_level == SOL_SOCKET && one->cmsg_type == SCM_TIMESTAMPNS) {
                timespec at{};
                std::memcpy(&at, CMSG_DATA(one), sizeof at);
                return static_cast<double>(at.tv_sec) + 1e-9 * static_cast<double>(at.tv_nsec);
            }
        }
        return otherwise_s;
    }

    void take(std::uint8_t* bytes, std::size_t size, const Address& from, double arrival_ms, bool is_control) {
        switch (datagram_kind(bytes, size)) {
            case Datagram::stun:
                ++counts_.stun;
                return;
            case Datagram::unknown:
                ++counts_.unknown;
                return;
            case Datagram::rtcp:
                take_rtcp(bytes, size, from, arrival_ms);
                return;
            case Datagram::rtp:
                if (is_control) ++counts_.unknown;
                else take_rtp(bytes, size, from, arrival_ms);
        }
    }

    void take_rtp(std::uint8_t* bytes, std::size_t size, const Address& from, double arrival_ms) {
        // Under keys only who has them is heard, wherever from; else the first valid source, and the one that
        // signalling named before any other.
        const bool is_source = source_.known() && from == source_;
        if (!is_source && keys_.theirs == nullptr && !may_latch(from, arrival_ms)) {
            ++counts_.strays;
            return;
        }
        if (keys_.theirs != nullptr && (size < RTP_HEADER || !keys_.theirs->unprotect(bytes, size))) {
            ++counts_.unauthenticated;
            return;
        }
        const auto ssrc = receiver_.ssrc();
        const bool was_heard = receiver_.heard();
        if (!receiver_.push(bytes, size, arrival_ms)) return;
        if (!is_source) {
            if (source_.known()) tell(Happening::moved, arrival_ms, from.host() + ":" + std::to_string(from.port()));
            source_ = from;
        }
        heard_ms_ = arrival_ms;
        source_heard_ms_ = arrival_ms;
        if (is_timed_out_) {
            is_timed_out_ = false;
            tell(Happening::resumed, arrival_ms);
        }
        if (was_heard && receiver_.ssrc() != ssrc) tell(Happening::source, arrival_ms);
        tell_keys();
    }

    void take_rtcp(std::uint8_t* bytes, std::size_t size, const Address& from, double arrival_ms) {
        if (keys_.theirs != nullptr) {
            if (!keys_.theirs->unprotect_rtcp(bytes, size)) {
                ++counts_.unauthenticated;
                return;
            }
        } else if (!(source_.known() && from.has_host_of(source_)) && !(remote_.known() && from.has_host_of(remote_))) {
            ++counts_.strays;
            return;
        }
        RtcpPacket packet;
        if (!parse_rtcp(bytes, size, packet)) {
            ++counts_.rtcp_malformed;
            return;
        }
        ++counts_.rtcp;
        control_ = from;
        heard_ms_ = arrival_ms;
        if (!receiver_.heard() || packet.ssrc != receiver_.ssrc()) return;
        if (packet.is_sender) {
            ++counts_.sender_reports;
            last_report_ = static_cast<std::uint32_t>(packet.ntp >> 16);
            last_report_ms_ = arrival_ms;
            const double sent_ms = receiver_.came_ms(packet.timestamp);
            if (packet.ntp != 0 && !std::isnan(sent_ms))
                transit_ms_ = sent_ms + unix_minus_clock_ms_ - 1000.0 * unix_of(packet.ntp);
        }
        if (packet.is_bye) tell(Happening::bye, arrival_ms);
    }

    void report_to_sender(double now_ms) {
        if (!receiver_.heard()) return;
        const auto& to = control_.known() ? control_ : source_;
        if (!to.known()) return;
        auto& reception = receiver_.reception();
        ReportBlock block;
        block.ssrc = reception.ssrc;
        const auto expected = static_cast<std::int64_t>(reception.highest) - reception.base + 1;
        const auto expected_now = expected - reception.expected_before, received_now = reception.received - reception.received_before;
        if (expected_now > 0 && expected_now > received_now)
            block.fraction_lost = static_cast<std::uint8_t>(std::min<std::int64_t>(255, 256 * (expected_now - received_now) / expected_now));
        reception.expected_before = expected;
        reception.received_before = reception.received;
        block.lost = static_cast<std::int32_t>(std::clamp<std::int64_t>(reception.lost(), -0x800000, 0x7fffff));
        block.highest = reception.highest;
        block.jitter = static_cast<std::uint32_t>(reception.jitter_ms * receiver_.clock_hz() / 1000.0);
        block.last_report = last_report_;
        if (last_report_ != 0) block.delay = static_cast<std::uint32_t>(std::clamp(now_ms - last_report_ms_, 0.0, 6e7) * 65.536);
        std::array<std::uint8_t, 256 + SRTP_TRAILER> bytes;
        auto size = write_receiver_report(our_ssrc_, &block, settings_.name.c_str(), bytes.data());
        if (keys_.theirs != nullptr && (keys_.ours == nullptr || !keys_.ours->protect_rtcp(bytes.data(), size))) return;
        auto destination = to;
        // Beside RTP, reports go one port higher, unless theirs come from elsewhere.
        if (rtcp_ >= 0 && !control_.known()) destination.set_port(static_cast<std::uint16_t>(source_.port() + 1));
        if (sendto(rtcp_ >= 0 ? rtcp_ : rtp_, bytes.data(), size, MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&destination.storage), destination.size) > 0)
            ++counts_.reports_sent;
    }

    bool may_latch(const Address& from, double arrival_ms) const {
        if (remote_.known() && from == remote_) return true;
        if (!settings_.latches && remote_.known()) return false;
        return !source_.known() || (!(remote_.known() && source_ == remote_) && arrival_ms - source_heard_ms_ > SOURCE_GONE_MS);
    }

    void tell_keys() {
        for (const auto& key : receiver_.take_keys()) events_.push({number, Happening::key, key.at_ms, key.key, key.duration_ms, {}});
    }
    void tell(Happening what, double at_ms, std::string detail = {}) {
        events_.push({number, what, at_ms, 0, 0.0, std::move(detail)});
    }

    static constexpr double SOURCE_GONE_MS = 2000.0;  // after so long another address may take its place

    std::mutex lock_;
    int rtp_, rtcp_;
    Receiver receiver_;
    Address remote_, source_, control_;  // as signalled; where its packets and its reports come from
    StreamKeys keys_;
    StreamSettings settings_;
    MediaEvents& events_;
    StreamCounts counts_;
    std::uint32_t our_ssrc_, our_random_ = our_ssrc_;
    double heard_ms_, source_heard_ms_ = 0.0;
    double report_ms_, last_report_ms_ = 0.0, unix_minus_clock_ms_ = 0.0;
    double transit_ms_ = std::numeric_limits<double>::quiet_NaN();
    std::uint32_t last_report_ = 0;
    bool is_held_ = false, is_timed_out_ = false;
};

// One receiving thread and its streams.
class Worker {
  public:
    explicit Worker(const Clock& clock) : clock_(clock), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
        if (epoll_ < 0) throw std::system_error(errno, std::generic_category(), "epoll");
        thread_ = std::thread([this] { run(); });
        number_.wait(0);
    }
    ~Worker() {
        stop();
        ::close(epoll_);
    }

    void stop() {
        stops_ = true;
        if (thread_.joinable()) thread_.join();
        std::scoped_lock held(lock_);
        for (auto& [number, stream] : streams_) stream->close();
        streams_.clear();
    }

    void add(std::shared_ptr<Stream> stream) {
        std::scoped_lock held(lock_);
        streams_[stream->number] = stream;
        watch(stream->rtp(), stream->number << 1);
        if (stream->rtcp() >= 0) watch(stream->rtcp(), stream->number << 1 | 1);
    }
    void remove(std::int64_t number) {
        std::scoped_lock held(lock_);
        streams_.erase(number);
    }
    std::size_t size() {
        std::scoped_lock held(lock_);
        return streams_.size();
    }
    // The system's number of the thread.
    int number() const { return number_; }

    // Seconds of CPU.
    double cpu_s() {
        clockid_t which;
        if (!thread_.joinable() || pthread_getcpuclockid(thread_.native_handle(), &which) != 0) return 0.0;
        return seconds_of(which);
    }

  private:
    static constexpr int MOST_READY = 512;
    // Packets are let pile up for a little: the same work in fewer wake-ups. Their arrival is the kernel's.
    static constexpr double NAP_S = 0.004, SWEEP_S = 0.1, REST_SHARE = 0.25;

    void watch(int fd, std::int64_t what) {
        epoll_event event{};
        event.events = EPOLLIN | EPOLLET;  // else each socket would be asked twice for each packet
        event.data.u64 = static_cast<std::uint64_t>(what);
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) throw std::system_error(errno, std::generic_category(), "epoll");
    }

    void run() {
        pthread_setname_np(pthread_self(), "vocal-rtp");
        number_ = static_cast<int>(syscall(SYS_gettid));
        number_.notify_all();
        std::vector<epoll_event> ready(MOST_READY);
        std::vector<std::pair<std::shared_ptr<Stream>, bool>> found;
        std::vector<std::shared_ptr<Stream>> all;
        std::vector<std::pair<std::shared_ptr<Stream>, bool>> flooded;
        auto buffers = std::make_unique<Stream::Buffers>();
        double swept_s = seconds_of(CLOCK_MONOTONIC);
        while (!stops_) {
            const int wait_ms = flooded.empty() ? static_cast<int>(1000.0 * SWEEP_S) : 0;
            const int count = epoll_wait(epoll_, ready.data(), MOST_READY, wait_ms);
            const double woke_s = seconds_of(CLOCK_MONOTONIC);
            {
                std::scoped_lock held(lock_);
                for (int i = 0; i < count; ++i) {
                    const auto what = ready[static_cast<std::size_t>(i)].data.u64;
                    const auto place = streams_.find(static_cast<std::int64_t>(what >> 1));
                    if (place != streams_.end()) found.emplace_back(place->second, what & 1);
                }
                if (woke_s - swept_s >= SWEEP_S)
                    for (const auto& [number, stream] : streams_) all.push_back(stream);
            }
            // Of what one socket has more than its turn takes nothing is told again.
            found.insert(found.end(), flooded.begin(), flooded.end());
            flooded.clear();
            for (std::size_t i = 0; i < found.size(); ++i) {
                if (i + 4 < found.size()) found[i + 4].first->prefetch();
                if (i + 2 < found.size()) found[i + 2].first->prefetch_playout();
                auto& one = found[i];
                if (one.first->receive(one.second, clock_, *buffers) == BATCH * MOST_BATCHES) flooded.push_back(one);
            }
            found.clear();
            if (!all.empty()) {
                const double now_ms = clock_.now_ms();
                for (auto& stream : all) stream->sweep(now_ms);
                all.clear();
            }
            if (woke_s - swept_s >= SWEEP_S) swept_s = woke_s;
            // In a flood, too, it rests a fifth of the time: it may go before others, and must leave them some.
            const double worked_s = seconds_of(CLOCK_MONOTONIC) - woke_s;
            const double left_s = std::max(count < MOST_READY ? NAP_S - worked_s : 0.0, REST_SHARE * worked_s);
            const timespec nap{0, static_cast<long>(1e9 * std::min(left_s, NAP_S))};
            nanosleep(&nap, nullptr);
        }
    }

    const Clock& clock_;
    int epoll_;
    std::atomic<bool> stops_ = false;
    std::atomic<int> number_{0};
    std::mutex lock_;
    std::unordered_map<std::int64_t, std::shared_ptr<Stream>> streams_;
    std::thread thread_;
};

class Plane {
  public:
    Plane(std::shared_ptr<Clock> clock, int threads, int first_port, int last_port, int receive_bytes)
        : clock_(std::move(clock)), first_port_(first_port), last_port_(last_port), next_port_(first_port), receive_bytes_(receive_bytes) {
        for (int i = 0; i < threads; ++i) workers_.push_back(std::make_unique<Worker>(*clock_));
    }

    // Null where no port is left.
    std::shared_ptr<Stream> open(std::shared_ptr<SharedPlayout> playout, const Payloads& payloads, const std::string& host,
                                 const Address& remote, const StreamKeys& keys, bool is_muxed, const StreamSettings& settings) {
        std::scoped_lock held(lock_);
        auto [rtp, rtcp] = bind_pair(host, is_muxed);
        if (rtp < 0) return nullptr;
        auto stream = std::make_shared<Stream>(++newest_, rtp, rtcp, std::move(playout), payloads, remote, keys, settings,
                                               events_, clock_->now_ms());
        workers_[static_cast<std::size_t>(newest_) % workers_.size()]->add(stream);
        return stream;
    }

    void close(Stream& stream) {
        workers_[static_cast<std::size_t>(stream.number) % workers_.size()]->remove(stream.number);
        stream.close();
    }

    // The threads end, and every stream is closed.
    void stop() {
        for (auto& worker : workers_) worker->stop();
    }

    std::vector<MediaEvent> take_events() { return events_.take(); }
    std::int64_t events_dropped() { return events_.dropped(); }
    std::vector<int> numbers() const {
        std::vector<int> found;
        for (auto& worker : workers_) found.push_back(worker->number());
        return found;
    }
    double cpu_s() {
        double total_s = 0.0;
        for (auto& worker : workers_) total_s += worker->cpu_s();
        return total_s;
    }
    double now_ms() const { return clock_->now_ms(); }

  private:
    // An even port and the odd one above it (RFC 3550, 11), from where the search ended last: a port rests before
    // it serves again.
    std::pair<int, int> bind_pair(const std::string& host, bool is_muxed) {
        const int ports = first_port_ == 0 ? 100 : (last_port_ - first_port_ + 1) / 2;
        for (int i = 0; i < ports; ++i) {
            int port = 0;
            if (first_port_ != 0) {
                port = next_port_;
                next_port_ = next_port_ + 3 > last_port_ ? first_port_ : next_port_ + 2;
            }
            const int rtp = bound_socket(address_of(host, static_cast<std::uint16_t>(port)), receive_bytes_);
            if (rtp < 0) continue;
            if (is_muxed) return {rtp, -1};
            port = port_of(rtp);
            int rtcp = -1;
            try {
                if (port % 2 == 0) rtcp = bound_socket(address_of(host, static_cast<std::uint16_t>(port + 1)), 16'384);
            } catch (...) {
                ::close(rtp);
                throw;
            }
            if (rtcp >= 0) return {rtp, rtcp};
            ::close(rtp);
        }
        return {-1, -1};
    }

    std::shared_ptr<Clock> clock_;
    int first_port_, last_port_, next_port_, receive_bytes_;
    std::mutex lock_;
    std::int64_t newest_ = 0;
    MediaEvents events_;
    std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace vocal
