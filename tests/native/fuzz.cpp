// Whatever comes at a stream's port: RTP and RTCP of any bytes, through receiver, playout and decoders.
//
// With clang: clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -DLIBFUZZER -Ikernels/native fuzz.cpp
// Else a mutation fuzzer of its own: fuzz SECONDS [SEED], or fuzz defect, with the sanitizers that it was built with.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "flow.hpp"
#include "receiver.hpp"
#include "rtcp.hpp"

using Bytes = std::vector<std::uint8_t>;

static vocal::Payloads payloads() {
    vocal::Payloads found;
    found[0] = {vocal::Coding::pcmu, 8000};
    found[8] = {vocal::Coding::pcma, 8000};
    found[9] = {vocal::Coding::g722, 8000};
    found[11] = {vocal::Coding::l16, 8000};
    found[12] = {vocal::Coding::l16, 16000};
    found[13] = {vocal::Coding::comfort_noise, 8000};
    found[14] = {vocal::Coding::comfort_noise, 48000};
    found[101] = {vocal::Coding::keys, 8000};
    found[102] = {vocal::Coding::keys, 48000};
    found[111] = {vocal::Coding::aside, 48000};
    return found;
}

// What must hold whatever came; else the fuzzer stops.
static void must(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "broken: %s\n", what);
    std::abort();
}

// Datagrams one behind the other, each with 4 bytes before it: what to do, how much later, and its size.
static void run(const std::uint8_t* data, std::size_t size) {
    auto playout = std::make_shared<vocal::SharedPlayout>(vocal::PlayoutSettings{});
    vocal::Receiver receiver(playout, payloads());
    vocal::RtcpPacket report;
    double now_ms = 0.0, pulled_ms = 0.0;
    float out[vocal::TICK_SAMPLES];
    int ticks = 0;
    constexpr int MOST_TICKS = 1000;
    for (std::size_t at = 0; at + 4 <= size && ticks < MOST_TICKS;) {
        const auto what = data[at];
        now_ms += data[at + 1];
        const std::size_t length = std::min<std::size_t>(data[at + 2] | data[at + 3] << 8, size - at - 4);
        // Its own piece of memory: reading past its end is found.
        const auto datagram = std::make_unique<std::uint8_t[]>(length);
        if (length > 0) std::memcpy(datagram.get(), data + at + 4, length);
        at += 4 + length;
        switch (vocal::datagram_kind(datagram.get(), length)) {
            case vocal::Datagram::rtcp:
                if (vocal::parse_rtcp(datagram.get(), length, report)) receiver.came_ms(report.timestamp);
                break;
            default:
                receiver.push(datagram.get(), length, now_ms - (what & 7) * 10.0);
        }
        if (what & 0x08) receiver.set_held(what & 0x10);
        if ((what & 0xe0) == 0xe0) playout->close();
        for (; pulled_ms <= now_ms; pulled_ms += vocal::TICK_MS, ++ticks) {
            int count = 0;
            const auto played = playout->pull(pulled_ms, out, 1, count);
            must(count >= 0 && count <= vocal::TICK_SAMPLES, "a tick has at most 160 samples");
            bool any_lost = false;
            for (const float sample : out) {
                any_lost = any_lost || std::isnan(sample);
                must(std::isnan(sample) || std::abs(sample) <= 2.0f, "samples are of full scale");
            }
            must(!any_lost || played == vocal::Played::lost, "what is lost is said to be");
        }
        receiver.sweep(now_ms);
        must(receiver.take_keys().size() <= 100 && receiver.take_aside().size() <= 100, "queues are bounded");
        must(playout->depth_ms() < 10'000.0, "what waits is bounded");
    }
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    run(data, size);
    return 0;
}

#ifndef LIBFUZZER
static std::uint64_t state = 1;
static std::uint32_t chance(std::uint32_t below) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return static_cast<std::uint32_t>(state >> 11) % below;
}

static void append(Bytes& input, std::uint8_t what, std::uint8_t later_ms, const std::uint8_t* bytes, std::size_t size) {
    input.insert(input.end(), {what, later_ms, static_cast<std::uint8_t>(size), static_cast<std::uint8_t>(size >> 8)});
    input.insert(input.end(), bytes, bytes + size);
}

// A valid call: some seconds of one coding, keys, pauses and reports.
static Bytes seed_of(int payload_type, int clock_hz, std::size_t bytes_of_packet) {
    auto recording = std::make_shared<vocal::Recording>();
    for (int n = 0; n < 40; ++n) {
        if (n % 11 != 10)
            for (std::size_t i = 0; i < bytes_of_packet; ++i) recording->bytes.push_back(static_cast<std::uint8_t>(chance(256)));
        recording->ends.push_back(recording->bytes.size());
    }
    vocal::FlowSettings settings;
    settings.payload_type = payload_type;
    settings.clock_hz = clock_hz;
    settings.timestamps = clock_hz / 50;
    settings.loss = 0.05;
    settings.reorder = 0.05;
    settings.keys = {{5, 1}, {20, 11}};
    settings.change_source_at = 30;
    settings.seed = 1 + chance(1000);
    vocal::Flow flow(recording, settings);
    std::vector<vocal::Due> due;
    while (!flow.is_done()) flow.next(due);
    Bytes input;
    std::uint8_t bytes[vocal::RTP_HEADER + vocal::MOST_PAYLOAD];
    for (const auto& one : due) {
        append(input, 0, 20, bytes, flow.write(one, bytes));
        if (chance(10) == 0) append(input, 0, 0, bytes, vocal::write_sender_report(flow.ssrc(), 77, one.timestamp, 1, 1, "x", bytes));
    }
    return input;
}

static void mutate(Bytes& input, const std::vector<Bytes>& seeds) {
    for (std::uint32_t n = 1 + chance(12); n > 0 && input.size() > 8; --n) {
        const auto at = chance(static_cast<std::uint32_t>(input.size()));
        switch (chance(7)) {
            case 0: input[at] = static_cast<std::uint8_t>(chance(256)); break;
            case 1: input[at] ^= static_cast<std::uint8_t>(1u << chance(8)); break;
            case 2: input[at] = chance(2) ? 0xff : 0x00; break;
            case 3: input.erase(input.begin() + at, input.begin() + std::min<std::size_t>(input.size(), at + chance(40))); break;
            case 4: input.resize(at); break;
            case 5: {
                const auto& other = seeds[chance(static_cast<std::uint32_t>(seeds.size()))];
                const auto from = chance(static_cast<std::uint32_t>(other.size()));
                input.insert(input.begin() + at, other.begin() + from, other.begin() + std::min<std::size_t>(other.size(), from + chance(400)));
                break;
            }
            default:
                for (std::uint32_t k = 0; k < 4 && at + k < input.size(); ++k) input[at + k] = static_cast<std::uint8_t>(chance(256));
        }
    }
}

int main(int argc, char** argv) {
    if (argc > 1 && std::strcmp(argv[1], "defect") == 0) {
        // Reads behind a datagram, which a sanitizer must find.
        const auto datagram = std::make_unique<std::uint8_t[]>(2);
        return vocal::read_u32(datagram.get());
    }
    const double most_s = argc > 1 ? std::atof(argv[1]) : 5.0;
    state = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
    std::vector<Bytes> seeds;
    for (int n = 0; n < 4; ++n) {
        seeds.push_back(seed_of(8, 8000, 160));
        seeds.push_back(seed_of(9, 8000, 160));
        seeds.push_back(seed_of(12, 16000, 640));
        seeds.push_back(seed_of(111, 48000, 60));
    }
    for (const auto& seed : seeds) run(seed.data(), seed.size());
    const auto began = std::chrono::steady_clock::now();
    long inputs = 0;
    for (; std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count() < most_s; ++inputs) {
        auto input = seeds[chance(static_cast<std::uint32_t>(seeds.size()))];
        mutate(input, seeds);
        run(input.data(), input.size());
    }
    std::printf("%ld inputs\n", inputs);
}
#endif
