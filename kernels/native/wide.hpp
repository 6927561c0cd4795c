// Codings at 16 kHz, to 8 kHz. What they are made of is the packet before too, so they are decoded in the order of play.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>

#include "g722.hpp"
#include "rtp.hpp"

namespace vocal {

enum class Wide : std::uint8_t { none, g722, l16 };

// Half the rate: a half-band filter of 95 taps with a Kaiser window, flat to 3.6 kHz, 70 dB down from 4.4 kHz on, and
// 2.9 ms late. Every other tap but the middle one is zero.
class HalfBand {
  public:
    static constexpr std::size_t SIDE = 24;                    // taps on either side that are not zero
    static constexpr std::size_t HISTORY = 4 * SIDE - 2;

    // `wide` holds HISTORY samples from before, then twice `count` new ones.
    static void run(const float* wide, std::size_t count, float* out) {
        static const auto taps = make();
        for (std::size_t n = 0; n < count; ++n) {
            const float* middle = wide + 2 * n + 2 * SIDE;
            float sum = 0.5f * middle[0];
            for (std::size_t k = 0; k < SIDE; ++k) sum += taps[k] * (middle[2 * k + 1] + *(middle - (2 * k + 1)));
            out[n] = sum;
        }
    }

  private:
    static double bessel(double x) {
        double sum = 1.0, term = 1.0;
        for (int k = 1; k < 40; ++k) sum += term *= (x / (2 * k)) * (x / (2 * k));
        return sum;
    }
    static std::array<float, SIDE> make() {
        std::array<double, SIDE> taps{};
        double sum = 0.0;
        for (std::size_t k = 0; k < SIDE; ++k) {
            const double at = 2.0 * static_cast<double>(k) + 1.0, share = at / (2.0 * SIDE);
            taps[k] = std::sin(std::numbers::pi * at / 2.0) / (std::numbers::pi * at) * bessel(6.76 * std::sqrt(1.0 - share * share)) / bessel(6.76);
            sum += 2.0 * taps[k];
        }
        std::array<float, SIDE> found{};
        for (std::size_t k = 0; k < SIDE; ++k) found[k] = static_cast<float>(0.5 * taps[k] / sum);
        return found;
    }
};

class WideDecoder {
  public:
    static constexpr std::size_t MOST = 1600;  // samples at 8 kHz of a packet

    // Samples at 8 kHz in so many bytes.
    static std::size_t samples_in(Wide coding, std::size_t size) { return coding == Wide::g722 ? size : size / 4; }

    // `size`: at most MOST samples.
    void decode(Wide coding, const std::uint8_t* bytes, std::size_t size, float* out) {
        const std::size_t count = samples_in(coding, size);
        float* wide = wide_.data() + HalfBand::HISTORY;
        if (coding == Wide::g722) {
            g722_.decode(bytes, size, wide);
        } else {
            for (std::size_t i = 0; i < 2 * count; ++i)
                wide[i] = static_cast<float>(static_cast<std::int16_t>(read_u16(bytes + 2 * i))) / 32768.0f;
        }
        HalfBand::run(wide_.data(), count, out);
        std::copy_n(wide_.data() + 2 * count, HalfBand::HISTORY, wide_.data());
    }

  private:
    G722Decoder g722_;
    std::array<float, HalfBand::HISTORY + 2 * MOST> wide_{};
};

}  // namespace vocal
