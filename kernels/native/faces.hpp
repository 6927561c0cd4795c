// What the binding files share: the Python face of a playout.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "g711.hpp"
#include "shared.hpp"

namespace nb = nanobind;

class PlayoutFace {
  public:
    explicit PlayoutFace(const vocal::PlayoutSettings& settings) : shared(std::make_shared<vocal::SharedPlayout>(settings)) {}

    int push(int sequence, std::uint32_t timestamp, std::uint32_t ssrc,
             nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu> samples, double arrival_ms) {
        nb::gil_scoped_release released;
        return static_cast<int>(shared->push(static_cast<std::uint16_t>(sequence), timestamp, ssrc, samples.data(),
                                             samples.size(), arrival_ms));
    }

    int push_coded(int sequence, std::uint32_t timestamp, std::uint32_t ssrc, nb::bytes payload, const std::string& coding,
                   double arrival_ms) {
        const auto* bytes = static_cast<const std::uint8_t*>(payload.data());
        const std::size_t size = payload.size();
        const bool wide = coding == "l16" || coding == "s16le";
        if (!wide && coding != "alaw" && coding != "ulaw")
            throw nb::value_error(("coding: wanted alaw, ulaw, l16 or s16le, got " + coding).c_str());
        if (wide && size % 2) throw nb::value_error("payload: wanted whole samples of 16 bits");
        nb::gil_scoped_release released;
        std::vector<float> samples(wide ? size / 2 : size);
        if (wide) {
            const std::size_t low = coding == "l16" ? 1 : 0;
            for (std::size_t i = 0; i < samples.size(); ++i) {
                const auto code = static_cast<std::int16_t>(bytes[2 * i + low] | bytes[2 * i + 1 - low] << 8);
                samples[i] = static_cast<float>(code) / 32768.0f;
            }
        } else {
            vocal::decode(coding == "alaw" ? vocal::alaw_table : vocal::ulaw_table, bytes, size, samples.data(), 1);
        }
        return static_cast<int>(shared->push(static_cast<std::uint16_t>(sequence), timestamp, ssrc, samples.data(),
                                             samples.size(), arrival_ms));
    }

    std::tuple<int, int> pull(double now_ms, nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu> out,
                              std::size_t column) {
        if (out.shape(0) != vocal::TICK_SAMPLES || column >= out.shape(1))
            throw nb::value_error("out: wanted (160, channels) and a column of it");
        nb::gil_scoped_release released;
        int count = 0;
        const auto played = shared->pull(now_ms, out.data() + column, out.shape(1), count);
        return {static_cast<int>(played), count};
    }

    void begin(double now_ms) { shared->begin(now_ms); }
    void rest() { shared->rest(); }
    void close() { shared->close(); }
    double due_ms() { return shared->due_ms(); }
    double depth_ms() { return shared->depth_ms(); }

    nb::dict counts() {
        const auto [counts, drift_ppm, lag_ms] = shared->report();
        nb::dict found;
        found["received"] = counts.received;
        found["lost"] = counts.lost;
        found["late"] = counts.late;
        found["duplicate"] = counts.duplicate;
        found["reordered"] = counts.reordered;
        found["refused"] = counts.refused;
        found["dtx"] = counts.dtx;
        found["restarts"] = counts.restarts;
        found["adjusted_samples"] = counts.adjusted;
        found["drift_ppm"] = drift_ppm;
        found["lag_ms"] = lag_ms;
        return found;
    }

    // Outlives the Python object where a receiving thread or a lane still has it.
    std::shared_ptr<vocal::SharedPlayout> shared;
};

void bind_media(nb::module_& module);
