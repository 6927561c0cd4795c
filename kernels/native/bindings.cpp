// The Python face of the native parts: checks shapes, releases the GIL, calls the headers beside it.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <string>

#include "g711.hpp"

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

}  // namespace

NB_MODULE(_native, module) {
    module.doc() = "Native parts of vocal_kernels: G.711 decoding into the lanes of a block.";
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
}
