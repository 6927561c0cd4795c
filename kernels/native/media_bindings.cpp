// The Python face of the media plane.
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "faces.hpp"
#include "frame_sender.hpp"
#include "media.hpp"
#include "sender.hpp"

namespace {

// (payload type, coding, clock in Hz) each.
using GivenPayloads = std::vector<std::tuple<int, std::string, int>>;
// Sessions of libsrtp for what comes and for our reports, as addresses, which become ours; zero: none.
using GivenKeys = std::tuple<std::uintptr_t, std::uintptr_t>;
using GivenAddress = std::tuple<std::string, int>;

vocal::Payloads payloads_of(const GivenPayloads& given) {
    vocal::Payloads payloads;
    for (const auto& [number, name, clock_hz] : given) {
        if (number < 0 || number > 127) throw nb::value_error(("payload type: wanted 0 to 127, got " + std::to_string(number)).c_str());
        if (clock_hz < 1000) throw nb::value_error(("clock_hz: wanted at least 1000, got " + std::to_string(clock_hz)).c_str());
        auto coding = vocal::Coding::aside;
        if (name == "pcmu") coding = vocal::Coding::pcmu;
        else if (name == "pcma") coding = vocal::Coding::pcma;
        else if (name == "l16") coding = vocal::Coding::l16;
        else if (name == "g722") coding = vocal::Coding::g722;
        else if (name == "cn") coding = vocal::Coding::comfort_noise;
        else if (name == "telephone-event") coding = vocal::Coding::keys;
        payloads[static_cast<std::size_t>(number)] = {coding, clock_hz};
    }
    return payloads;
}

std::shared_ptr<vocal::SrtpSession> session_of(std::uintptr_t address) {
    if (address == 0) return nullptr;
    return std::make_shared<vocal::SrtpSession>(reinterpret_cast<void*>(address));
}

vocal::StreamKeys keys_of(const GivenKeys& given) {
    const auto& [theirs, ours] = given;
    return {session_of(theirs), session_of(ours)};
}

vocal::Address remote_of(const GivenAddress& given) {
    const auto& [host, port] = given;
    if (host.empty()) return {};
    return vocal::address_of(host, static_cast<std::uint16_t>(port));
}

struct StreamFace {
    std::shared_ptr<vocal::Plane> plane;
    std::shared_ptr<vocal::Stream> stream;
    int port, rtcp_port;
};

nb::dict receiver_counts(const vocal::ReceiverCounts& counts, const vocal::Reception& reception) {
    nb::dict found;
    found["packets"] = counts.packets;
    found["octets"] = counts.octets;
    found["malformed"] = counts.malformed;
    found["unknown_payload"] = counts.unknown;
    found["other_source"] = counts.other_source;
    found["sources"] = counts.sources;
    found["payload_changes"] = counts.payload_changes;
    found["comfort_noise"] = counts.comfort_noise;
    found["keys"] = counts.keys;
    found["masked"] = counts.masked;
    found["held"] = counts.held;
    found["aside_dropped"] = counts.aside_dropped;
    found["jitter_ms"] = reception.jitter_ms;
    found["lost"] = reception.lost();
    found["ssrc"] = reception.ssrc;
    return found;
}

nb::dict counts_of(StreamFace& self) {
    const auto report = self.stream->report();
    auto found = receiver_counts(report.receiver, report.reception);
    found["malformed"] = report.receiver.malformed + report.counts.unknown;
    found["strays"] = report.counts.strays;
    found["unauthenticated"] = report.counts.unauthenticated;
    found["rtcp"] = report.counts.rtcp;
    found["rtcp_malformed"] = report.counts.rtcp_malformed;
    found["sender_reports"] = report.counts.sender_reports;
    found["reports_sent"] = report.counts.reports_sent;
    found["transit_ms"] = report.transit_ms;
    found["stun"] = report.counts.stun;
    found["source"] = report.source.known() ? report.source.host() + ":" + std::to_string(report.source.port()) : "";
    return found;
}

struct ReceiverFace {
    vocal::Receiver receiver;
};

struct RecordingFace {
    std::shared_ptr<const vocal::Recording> shared;
};

struct ClockFace {
    std::shared_ptr<vocal::Clock> shared;
};

struct PlaneFace {
    std::shared_ptr<vocal::Plane> shared;
};

}  // namespace

void bind_media(nb::module_& module) {
    module.def(
        "name_thread",
        [](const std::string& name) { pthread_setname_np(pthread_self(), name.substr(0, 15).c_str()); }, nb::arg("name"),
        "What the system calls this thread, as top -H shows it: at most 15 letters.");

    nb::class_<ClockFace>(module, "Clock", "The live engine's clock for receiving threads: speed * monotonic - start.")
        .def("__init__", [](ClockFace* self, double speed) { new (self) ClockFace{std::make_shared<vocal::Clock>(speed)}; },
             nb::arg("speed"))
        .def("set_start", [](ClockFace& self, double start_s) { self.shared->set_start(start_s); }, nb::arg("start_s"))
        .def("now_ms", [](ClockFace& self) { return self.shared->now_ms(); });

    module.def(
        "set_srtp",
        [](std::uintptr_t unprotect, std::uintptr_t unprotect_rtcp, std::uintptr_t protect, std::uintptr_t protect_rtcp,
           std::uintptr_t dealloc) {
            auto change = [](std::uintptr_t address) { return reinterpret_cast<vocal::SrtpLibrary::Change>(address); };
            vocal::srtp_library = {change(unprotect), change(unprotect_rtcp), change(protect), change(protect_rtcp),
                                   reinterpret_cast<int (*)(void*)>(dealloc)};
        },
        nb::arg("unprotect"), nb::arg("unprotect_rtcp"), nb::arg("protect"), nb::arg("protect_rtcp"), nb::arg("dealloc"),
        "Where libsrtp's functions are.");

    nb::class_<StreamFace>(module, "Stream", "A socket, its packets into a playout; see media.hpp.")
        .def_ro("port", &StreamFace::port)
        .def_ro("rtcp_port", &StreamFace::rtcp_port)
        .def_prop_ro("number", [](StreamFace& self) { return self.stream->number; })
        .def("set_remote", [](StreamFace& self, const GivenAddress& remote) { self.stream->set_remote(remote_of(remote)); },
             nb::arg("remote"))
        .def("set_payloads",
             [](StreamFace& self, const GivenPayloads& payloads) { self.stream->set_payloads(payloads_of(payloads)); },
             nb::arg("payloads"))
        .def("set_keys", [](StreamFace& self, const GivenKeys& keys) { self.stream->set_keys(keys_of(keys)); }, nb::arg("keys"))
        .def("set_held", [](StreamFace& self, bool is_held) { self.stream->set_held(is_held, self.plane->now_ms()); },
             nb::arg("is_held"))
        .def("counts", &counts_of)
        .def("take_aside",
             [](StreamFace& self) {
                 nb::list found;
                 for (const auto& one : self.stream->take_aside())
                     found.append(nb::make_tuple(one.payload_type, one.sequence, one.timestamp, one.ssrc, one.arrival_ms,
                                                 nb::bytes(one.payload.data(), one.payload.size())));
                 return found;
             })
        .def("close", [](StreamFace& self) { self.plane->close(*self.stream); }, nb::call_guard<nb::gil_scoped_release>());

    nb::class_<PlaneFace>(module, "Plane", "Receiving threads and their streams; see media.hpp.")
        .def("__init__",
             [](PlaneFace* self, ClockFace& clock, int threads, int first_port, int last_port, int receive_bytes) {
                 if (threads < 1) throw nb::value_error("threads: wanted at least 1");
                 new (self) PlaneFace{std::make_shared<vocal::Plane>(clock.shared, threads, first_port, last_port, receive_bytes)};
             },
             nb::arg("clock"), nb::arg("threads"), nb::arg("first_port"), nb::arg("last_port"), nb::arg("receive_bytes"))
        .def("open",
             [](PlaneFace& self, PlayoutFace& playout, const GivenPayloads& payloads, const std::string& host,
                const GivenAddress& remote, const GivenKeys& keys, bool is_muxed, double timeout_ms, double report_ms,
                const std::string& name, bool latches) -> nb::object {
                 auto stream = self.shared->open(playout.shared, payloads_of(payloads), host, remote_of(remote), keys_of(keys),
                                                 is_muxed, {timeout_ms, report_ms, name, latches});
                 if (stream == nullptr) return nb::none();
                 const int port = vocal::port_of(stream->rtp());
                 const int rtcp_port = stream->rtcp() < 0 ? port : vocal::port_of(stream->rtcp());
                 return nb::cast(StreamFace{self.shared, stream, port, rtcp_port});
             },
             nb::arg("playout"), nb::arg("payloads"), nb::arg("host"), nb::arg("remote"), nb::arg("keys"), nb::arg("is_muxed"),
             nb::arg("timeout_ms"), nb::arg("report_ms"), nb::arg("name"), nb::arg("latches"))
        .def("take_events",
             [](PlaneFace& self) {
                 nb::list found;
                 for (const auto& one : self.shared->take_events())
                     found.append(nb::make_tuple(one.stream, static_cast<int>(one.what), one.at_ms,
                                                 one.key ? std::string(1, one.key) : std::string(), one.duration_ms, one.detail));
                 return found;
             })
        .def_prop_ro("events_dropped", [](PlaneFace& self) { return self.shared->events_dropped(); })
        .def_prop_ro("cpu_s", [](PlaneFace& self) { return self.shared->cpu_s(); })
        .def_prop_ro("numbers", [](PlaneFace& self) { return self.shared->numbers(); })
        .def("close", [](PlaneFace& self) { self.shared->stop(); }, nb::call_guard<nb::gil_scoped_release>());

    nb::class_<ReceiverFace>(module, "Receiver", "A stream's packets, in the clear, into its playout; see receiver.hpp.")
        .def("__init__",
             [](ReceiverFace* self, PlayoutFace& playout, const GivenPayloads& payloads) {
                 new (self) ReceiverFace{vocal::Receiver(playout.shared, payloads_of(payloads))};
             },
             nb::arg("playout"), nb::arg("payloads"))
        .def("push",
             [](ReceiverFace& self, nb::bytes packet, double arrival_ms) {
                 return self.receiver.push(static_cast<const std::uint8_t*>(packet.data()), packet.size(), arrival_ms);
             },
             nb::arg("packet"), nb::arg("arrival_ms"))
        .def("set_held", [](ReceiverFace& self, bool is_held) { self.receiver.set_held(is_held); }, nb::arg("is_held"))
        .def("take_keys",
             [](ReceiverFace& self, double now_ms) {
                 self.receiver.sweep(now_ms);
                 nb::list found;
                 for (const auto& key : self.receiver.take_keys())
                     found.append(nb::make_tuple(std::string(1, key.key), key.at_ms, key.duration_ms));
                 return found;
             },
             nb::arg("now_ms"))
        .def("counts", [](ReceiverFace& self) { return receiver_counts(self.receiver.counts(), self.receiver.reception()); });

    nb::class_<RecordingFace>(module, "Recording", "Coded packets of equal time; an empty one is not sent.")
        .def("__init__",
             [](RecordingFace* self, const std::vector<nb::bytes>& packets) {
                 auto recording = std::make_shared<vocal::Recording>();
                 for (const auto& packet : packets) {
                     if (packet.size() > vocal::MOST_PAYLOAD) throw nb::value_error("packet: wanted at most 1400 bytes");
                     const auto* bytes = static_cast<const std::uint8_t*>(packet.data());
                     recording->bytes.insert(recording->bytes.end(), bytes, bytes + packet.size());
                     recording->ends.push_back(recording->bytes.size());
                 }
                 if (packets.empty()) throw nb::value_error("packets: wanted at least one");
                 new (self) RecordingFace{recording};
             },
             nb::arg("packets"));

    nb::class_<vocal::FlowSettings>(module, "FlowSettings", "A stream that is sent; see flow.hpp.")
        .def(nb::init<>())
        .def_rw("payload_type", &vocal::FlowSettings::payload_type)
        .def_rw("clock_hz", &vocal::FlowSettings::clock_hz)
        .def_rw("timestamps", &vocal::FlowSettings::timestamps)
        .def_rw("first_packet", &vocal::FlowSettings::first_packet)
        .def_rw("packets", &vocal::FlowSettings::packets)
        .def_rw("start_ms", &vocal::FlowSettings::start_ms)
        .def_rw("loss", &vocal::FlowSettings::loss)
        .def_rw("reorder", &vocal::FlowSettings::reorder)
        .def_rw("duplicates", &vocal::FlowSettings::duplicates)
        .def_rw("jitter_ms", &vocal::FlowSettings::jitter_ms)
        .def_rw("drift_ppm", &vocal::FlowSettings::drift_ppm)
        .def_rw("change_source_at", &vocal::FlowSettings::change_source_at)
        .def_rw("key_payload_type", &vocal::FlowSettings::key_payload_type)
        .def_rw("noise_payload_type", &vocal::FlowSettings::noise_payload_type)
        .def_rw("keys", &vocal::FlowSettings::keys)
        .def_rw("seed", &vocal::FlowSettings::seed);

    module.def(
        "flow_packets",
        [](RecordingFace& recording, const vocal::FlowSettings& settings) {
            vocal::Flow flow(recording.shared, settings);
            std::vector<vocal::Due> due;
            while (!flow.is_done()) flow.next(due);
            std::stable_sort(due.begin(), due.end(), [](const auto& a, const auto& b) { return a.at_ms < b.at_ms; });
            nb::list found;
            std::array<std::uint8_t, vocal::RTP_HEADER + vocal::MOST_PAYLOAD> bytes;
            for (const auto& one : due) {
                const auto size = flow.write(one, bytes.data());
                found.append(nb::make_tuple(one.at_ms, nb::bytes(bytes.data(), size)));
            }
            return nb::make_tuple(found, nb::cast(flow.lost()));
        },
        nb::arg("recording"), nb::arg("settings"),
        "What a flow sends: (at_ms, packet) each, in the order of their times; and the packets left out.");

    nb::class_<vocal::Sender>(module, "Sender", "Sends many flows at their times; see sender.hpp.")
        .def("__init__",
             [](vocal::Sender* self, const std::string& host, bool own_ports, double report_ms, bool stays) {
                 new (self) vocal::Sender(host, own_ports, report_ms, stays);
             },
             nb::arg("host"), nb::arg("own_ports"), nb::arg("report_ms"), nb::arg("stays"))
        .def("add",
             [](vocal::Sender& self, RecordingFace& recording, const GivenAddress& to, std::uintptr_t keys,
                const vocal::FlowSettings& settings) {
                 auto session = session_of(keys);
                 return self.add(vocal::Flow(recording.shared, settings), remote_of(to), std::move(session));
             },
             nb::arg("recording"), nb::arg("to"), nb::arg("srtp"), nb::arg("settings"))
        .def("port", &vocal::Sender::port, nb::arg("flow"))
        .def_prop_ro("start_s", &vocal::Sender::start_s)
        .def("now_ms", &vocal::Sender::now_ms)
        .def("start", &vocal::Sender::start)
        .def("stop", &vocal::Sender::stop, nb::call_guard<nb::gil_scoped_release>())
        .def_prop_ro("is_done", &vocal::Sender::is_done)
        .def("lost", &vocal::Sender::lost, nb::arg("flow"), nb::call_guard<nb::gil_scoped_release>())
        .def("counts", [](vocal::Sender& self) {
            const auto counts = self.counts();
            nb::dict found;
            found["packets"] = counts.packets;
            found["octets"] = counts.octets;
            found["lost"] = counts.lost;
            found["missed"] = counts.missed;
            found["silent"] = counts.silent;
            found["refused"] = counts.refused;
            found["late"] = counts.late;
            found["most_late_ms"] = counts.most_late_ms;
            found["reports"] = counts.reports;
            found["cpu_s"] = counts.cpu_s;
            return found;
        });

    nb::class_<vocal::FrameSender>(module, "FrameSender", "Writes frames to many sockets at their times; see frame_sender.hpp.")
        .def("__init__",
             [](vocal::FrameSender* self, double every_ms) {
                 if (!(every_ms > 0.0)) throw nb::value_error("every_ms: wanted more than 0");
                 new (self) vocal::FrameSender(every_ms);
             },
             nb::arg("every_ms"))
        .def("add",
             [](vocal::FrameSender& self, RecordingFace& frames, int fd, std::size_t first, std::size_t count, double start_ms,
                const std::vector<std::tuple<std::size_t, std::size_t, std::uint64_t, std::uint64_t>>& stamps) {
                 std::vector<vocal::Stamp> its;
                 for (const auto& [offset, digits, begins, step] : stamps) {
                     if (digits == 0 || offset + digits > frames.shared->least())
                         throw nb::value_error("stamps: wanted digits within each of the frames");
                     its.push_back({offset, digits, begins, step});
                 }
                 return self.add(frames.shared, fd, first, count, start_ms, std::move(its));
             },
             nb::arg("frames"), nb::arg("fd"), nb::arg("first"), nb::arg("count"), nb::arg("start_ms"),
             nb::arg("stamps") = std::vector<std::tuple<std::size_t, std::size_t, std::uint64_t, std::uint64_t>>{},
             "stamps: (offset, digits, begins, step) each, of noughts in the frames, which become the number of what is sent.")
        .def_prop_ro("start_s", &vocal::FrameSender::start_s)
        .def("now_ms", &vocal::FrameSender::now_ms)
        .def("start", &vocal::FrameSender::start)
        .def("stop", &vocal::FrameSender::stop, nb::call_guard<nb::gil_scoped_release>())
        .def("counts", [](vocal::FrameSender& self) {
            const auto counts = self.counts();
            nb::dict found;
            found["frames"] = counts.frames;
            found["octets"] = counts.octets;
            found["blocked"] = counts.blocked;
            found["late"] = counts.late;
            found["closed"] = counts.closed;
            found["why"] = counts.why;
            found["pongs"] = counts.pongs;
            found["most_late_ms"] = counts.most_late_ms;
            found["cpu_s"] = counts.cpu_s;
            return found;
        });
}
