// The Python face of the native parts: checks shapes, releases the GIL, calls the headers beside it.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "crew.hpp"
#include "faces.hpp"
#include "g711.hpp"
#include "playout.hpp"

namespace nb = nanobind;

namespace {

constexpr std::size_t LANES = 16;
using Block = nb::ndarray<float, nb::shape<-1, LANES>, nb::c_contig, nb::device::cpu>;

std::size_t decode_into(const std::array<float, 256>& values, nb::bytes payload, Block block, std::size_t lane) {
    if (lane >= LANES)
        throw nb::value_error(("lane: wanted 0 to 15, got " + std::to_string(lane)).c_str());
    if (payload.size() > block.shape(0))
        throw nb::value_error(("payload: wanted at most " + std::to_string(block.shape(0)) + " bytes for this block, got " +
                               std::to_string(payload.size())).c_str());
    const auto* bytes = static_cast<const std::uint8_t*>(payload.data());
    const std::size_t length = payload.size();
    float* out = block.data() + lane;
    nb::gil_scoped_release released;
    vocal::decode(values, bytes, length, out, LANES);
    return length;
}

// The playouts that stand behind the lanes of a block, and what their last tick brought.
class Lanes {
  public:
    template <typename Value>
    using Each = nb::ndarray<Value, nb::shape<LANES>, nb::c_contig, nb::device::cpu>;

    Lanes(Block pcm, Each<std::int32_t> played, Each<std::int32_t> samples, Each<std::int64_t> lost, Each<double> heard_ms)
        : pcm_(pcm), played_(played), samples_(samples), lost_(lost), heard_ms_(heard_ms) {
        if (pcm.shape(0) != vocal::TICK_SAMPLES) throw nb::value_error("pcm: wanted (160, 16)");
    }

    void set(std::size_t lane, nb::object playout) {
        if (lane >= LANES) throw nb::value_error("lane: wanted 0 to 15");
        playouts_[lane] = playout.is_none() ? nullptr : nb::cast<PlayoutFace*>(playout)->shared;
    }

    void pull(double now_ms) {
        std::array<std::array<float, vocal::TICK_SAMPLES>, LANES> rows;
        for (std::size_t lane = 0; lane < LANES; ++lane) {
            if (lane + 2 < LANES && playouts_[lane + 2] != nullptr) playouts_[lane + 2]->prefetch();
            auto& row = rows[lane];
            int count = 0;
            auto played = vocal::Played::closed;
            if (playouts_[lane] != nullptr)
                played = playouts_[lane]->pull(now_ms, row.data(), 1, count);
            else
                row.fill(0.0f);
            if (played == vocal::Played::lost)
                lost_.data()[lane] += std::count_if(row.begin(), row.end(), [](float sample) { return std::isnan(sample); });
            if (played == vocal::Played::audio) heard_ms_.data()[lane] = now_ms;
            played_.data()[lane] = static_cast<std::int32_t>(played);
            samples_.data()[lane] = count;
        }
        float* out = pcm_.data();
        for (std::size_t i = 0; i < vocal::TICK_SAMPLES; ++i)
            for (std::size_t lane = 0; lane < LANES; ++lane) *out++ = rows[lane][i];
    }

  private:
    Block pcm_;
    Each<std::int32_t> played_, samples_;
    Each<std::int64_t> lost_;
    Each<double> heard_ms_;
    std::array<std::shared_ptr<vocal::SharedPlayout>, LANES> playouts_;
};

// A compiled kernel for one piece: kernel(context, piece, worker).
using Kernel = void (*)(const std::int64_t*, std::int64_t, std::int64_t);
using Context = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

void run_crew(vocal::Crew& crew, std::uintptr_t kernel, Context context, std::int64_t pieces, nb::list blocks, double now_ms) {
    std::vector<Lanes*> lanes;
    for (auto one : blocks) lanes.push_back(nb::cast<Lanes*>(one));
    if (!lanes.empty() && lanes.size() != static_cast<std::size_t>(pieces)) throw nb::value_error("blocks: wanted one for each piece");
    const auto call = reinterpret_cast<Kernel>(kernel);
    const auto* words = context.data();
    nb::gil_scoped_release released;
    crew.run(pieces, [&](std::int64_t piece, std::int64_t worker) {
        if (!lanes.empty()) lanes[static_cast<std::size_t>(piece)]->pull(now_ms);
        call(words, piece, worker);
    });
}

}  // namespace

NB_MODULE(_native, module) {
    // A process may end while a clock still holds playouts. Users need not read of that.
    nb::set_leak_warnings(false);
    module.doc() = "Native parts of vocal_kernels: decoding, the playout of a channel, and RTP.";
    module.attr("LANES") = LANES;
    module.def(
        "decode_alaw",
        [](nb::bytes payload, Block block, std::size_t lane) {
            return decode_into(vocal::alaw_table, payload, block, lane);
        },
        nb::arg("payload"), nb::arg("block").noconvert(), nb::arg("lane"),
        "Decode G.711 A-law bytes into column `lane` of `block` (n, 16) float32, scaled to [-1, 1); returns the sample count.");
    module.def(
        "decode_ulaw",
        [](nb::bytes payload, Block block, std::size_t lane) {
            return decode_into(vocal::ulaw_table, payload, block, lane);
        },
        nb::arg("payload"), nb::arg("block").noconvert(), nb::arg("lane"),
        "Decode G.711 mu-law bytes into column `lane` of `block` (n, 16) float32, scaled to [-1, 1); returns the sample count.");
    module.def(
        "decode_g722",
        [](nb::bytes payload) {
            const auto* bytes = static_cast<const std::uint8_t*>(payload.data());
            auto* samples = new float[2 * payload.size() + 1];
            nb::capsule owner(samples, [](void* kept) noexcept { delete[] static_cast<float*>(kept); });
            vocal::G722Decoder().decode(bytes, payload.size(), samples);
            return nb::ndarray<nb::numpy, float, nb::ndim<1>>(samples, {2 * payload.size()}, owner);
        },
        nb::arg("payload"), "G.722 at 64 kbit/s from its beginning on: samples at 16 kHz, full scale 1.");
    module.def(
        "halve",
        [](nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu> wide) {
            const std::size_t count = wide.size() / 2;
            std::vector<float> padded(vocal::HalfBand::HISTORY + 2 * count);
            std::copy_n(wide.data(), 2 * count, padded.begin() + vocal::HalfBand::HISTORY);
            auto* samples = new float[count + 1];
            nb::capsule owner(samples, [](void* kept) noexcept { delete[] static_cast<float*>(kept); });
            vocal::HalfBand::run(padded.data(), count, samples);
            return nb::ndarray<nb::numpy, float, nb::ndim<1>>(samples, {count}, owner);
        },
        nb::arg("wide").noconvert(), "16 kHz to 8 kHz, 46 samples at 16 kHz late.");
    nb::class_<PlayoutFace>(module, "Playout", "Packets in any order in, 160 samples a tick out; see playout.hpp.")
        .def(
            "__init__",
            [](PlayoutFace* self, double clock_hz, double lag_ms, double most_lag_ms, double hold_ms, bool reliable) {
                if (!(clock_hz > 0.0 && lag_ms >= 0.0 && most_lag_ms >= lag_ms && hold_ms >= 0.0))
                    throw nb::value_error("wanted clock_hz > 0, 0 <= lag_ms <= most_lag_ms and hold_ms >= 0");
                new (self) PlayoutFace({clock_hz, lag_ms, most_lag_ms, hold_ms, reliable});
            },
            nb::arg("clock_hz"), nb::arg("lag_ms"), nb::arg("most_lag_ms"), nb::arg("hold_ms"), nb::arg("reliable"))
        .def("push", &PlayoutFace::push, nb::arg("sequence"), nb::arg("timestamp"), nb::arg("ssrc"),
             nb::arg("samples").noconvert(), nb::arg("arrival_ms"))
        .def("push_coded", &PlayoutFace::push_coded, nb::arg("sequence"), nb::arg("timestamp"), nb::arg("ssrc"),
             nb::arg("payload"), nb::arg("coding"), nb::arg("arrival_ms"))
        .def("pull", &PlayoutFace::pull, nb::arg("now_ms"), nb::arg("out").noconvert(), nb::arg("column"))
        .def("begin", &PlayoutFace::begin, nb::arg("now_ms"))
        .def("close", &PlayoutFace::close)
        .def("due_ms", &PlayoutFace::due_ms)
        .def("depth_ms", &PlayoutFace::depth_ms)
        .def("counts", &PlayoutFace::counts);
    nb::class_<Lanes>(module, "Lanes", "The playouts behind the lanes of a block.")
        .def(nb::init<Block, Lanes::Each<std::int32_t>, Lanes::Each<std::int32_t>, Lanes::Each<std::int64_t>,
                      Lanes::Each<double>>(),
             nb::arg("pcm").noconvert(), nb::arg("played").noconvert(), nb::arg("samples").noconvert(),
             nb::arg("lost").noconvert(), nb::arg("heard_ms").noconvert())
        .def("pull", &Lanes::pull, nb::arg("now_ms"), nb::call_guard<nb::gil_scoped_release>())
        .def("set", &Lanes::set, nb::arg("lane"), nb::arg("playout").none(),
             "Put a Playout, or None for silence, behind a lane; not while a tick is pulled.");
    module.def(
        "run_piece",
        [](std::uintptr_t kernel, Context context) {
            const auto* words = context.data();
            nb::gil_scoped_release released;
            reinterpret_cast<Kernel>(kernel)(words, 0, 0);
        },
        nb::arg("kernel"), nb::arg("context").noconvert(), "The kernel at an address for its first piece.");
    nb::class_<vocal::Crew>(module, "Crew", "Threads that share out pieces of work, the one that asks among them.")
        .def(nb::init<std::size_t, const std::string&>(), nb::arg("threads"), nb::arg("name"),
             nb::call_guard<nb::gil_scoped_release>())
        .def("numbers", &vocal::Crew::numbers, "The system's numbers of its own threads.")
        .def("run", &run_crew, nb::arg("kernel"), nb::arg("context").noconvert(), nb::arg("pieces"), nb::arg("blocks"),
             nb::arg("now_ms"),
             "The kernel at an address for each piece. blocks: none, or for each piece Lanes, of which the tick at `now_ms` "
             "is pulled first: a lane's NaNs are added to `lost`; `heard_ms` becomes `now_ms` where there was audio.");
    bind_media(module);
}
