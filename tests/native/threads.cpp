// Streams opened and closed while packets come and ticks are pulled, as the live engine does: for the thread sanitizer,
// and for leaks of memory and descriptors.
#include <dirent.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "frame_sender.hpp"
#include "media.hpp"
#include "sender.hpp"

// Frames to connections that are added, read slowly, and closed by their peers while others are written to.
static bool frames_go_on(const std::shared_ptr<vocal::Recording>& recording) {
    std::array<std::uint8_t, 2000> bytes;
    const std::array<std::uint8_t, 5> ping{0x89, 3, 'a', 'b', 'c'};
    std::vector<int> peers;
    vocal::FrameSender sender(2.0);
    sender.start();
    for (int n = 0; n < 40; ++n) {
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return false;
        std::vector<vocal::Stamp> stamps;
        if (n % 2) stamps = {{3, 9, 100'000'000, 20}, {140, 20, 0, 1}};
        sender.add(recording, ends[1], 0, 100'000, sender.now_ms(), stamps);
        peers.push_back(ends[0]);
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        for (const int peer : peers) {
            if (recv(peer, bytes.data(), bytes.size(), MSG_DONTWAIT) < 0) continue;
            if (send(peer, ping.data(), ping.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) return false;
        }
        if (n % 4 == 3) {
            close(peers.front());
            peers.erase(peers.begin());
        }
        sender.counts();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1200));
    sender.stop();
    for (const int peer : peers) close(peer);
    const auto counts = sender.counts();
    std::printf("%ld frames, %ld closed, %ld pongs\n", static_cast<long>(counts.frames), static_cast<long>(counts.closed),
                static_cast<long>(counts.pongs));
    return counts.frames > 1000 && counts.closed == 10 && counts.pongs > 10;
}

static int descriptors() {
    int count = 0;
    auto* folder = opendir("/proc/self/fd");
    while (readdir(folder) != nullptr) ++count;
    closedir(folder);
    return count;
}

int main() {
    auto recording = std::make_shared<vocal::Recording>();
    for (int n = 0; n < 25; ++n) {
        recording->bytes.insert(recording->bytes.end(), 160, static_cast<std::uint8_t>(n));
        recording->ends.push_back(recording->bytes.size());
    }
    vocal::Payloads payloads;
    payloads[8] = {vocal::Coding::pcma, 8000};
    payloads[9] = {vocal::Coding::g722, 8000};
    payloads[101] = {vocal::Coding::keys, 8000};
    const int before = descriptors();
    std::int64_t packets = 0, events = 0;
    {
        auto clock = std::make_shared<vocal::Clock>(1.0);
        clock->set_start(vocal::seconds_of(CLOCK_MONOTONIC));
        vocal::Plane plane(clock, 2, 0, 0, 65'536);
        for (int round = 0; round < 3; ++round) {
            std::vector<std::shared_ptr<vocal::SharedPlayout>> playouts;
            std::vector<std::shared_ptr<vocal::Stream>> streams;
            const bool stays = round == 2;
            vocal::Sender sender("127.0.0.1", round % 2 == 0, 50.0, stays);
            if (stays) sender.start();
            for (int n = 0; n < 40; ++n) {
                playouts.push_back(std::make_shared<vocal::SharedPlayout>(vocal::PlayoutSettings{}));
                vocal::StreamSettings settings;
                settings.timeout_ms = 100.0;
                settings.report_ms = 60.0;
                settings.name = "x";
                streams.push_back(plane.open(playouts.back(), payloads, "127.0.0.1", {}, {}, false, settings));
                if (streams.back() == nullptr) return 2;
                vocal::FlowSettings flow;
                flow.payload_type = n % 2 ? 8 : 9;
                flow.jitter_ms = 30.0;
                flow.keys = {{5, 3}};
                flow.seed = static_cast<std::uint32_t>(n + 1);
                sender.add(vocal::Flow(recording, flow), vocal::address_of("127.0.0.1", vocal::port_of(streams.back()->rtp())), nullptr);
            }
            sender.start();
            std::atomic<bool> stops = false;
            std::thread ticks([&] {
                float out[vocal::TICK_SAMPLES];
                while (!stops) {
                    for (auto& playout : playouts) {
                        int count = 0;
                        playout->pull(clock->now_ms(), out, 1, count);
                        playout->report();
                    }
                    std::this_thread::sleep_for(std::chrono::milliseconds(20));
                }
            });
            for (int n = 0; n < 40; ++n) {
                std::this_thread::sleep_for(std::chrono::milliseconds(15));
                auto& stream = *streams[static_cast<std::size_t>(n)];
                if (n % 3 == 0) stream.set_held(n % 2, clock->now_ms());
                if (n % 3 == 1) stream.set_remote(vocal::address_of("127.0.0.1", 9));
                if (n % 3 == 2) stream.set_payloads(payloads);
                clock->set_start(vocal::seconds_of(CLOCK_MONOTONIC) - 5.0);
                packets += stream.report().receiver.packets;
                events += static_cast<std::int64_t>(plane.take_events().size());
                sender.counts();
                plane.close(stream);
            }
            sender.stop();
            stops = true;
            ticks.join();
        }
    }
    if (!frames_go_on(recording)) return 5;
    std::printf("%ld packets, %ld events\n", static_cast<long>(packets), static_cast<long>(events));
    if (descriptors() != before) {
        std::fprintf(stderr, "descriptors leaked: %d before, %d after\n", before, descriptors());
        return 3;
    }
    return packets > 500 && events > 10 ? 0 : 4;
}
