// G.722 decoding at 64 kbit/s (ITU-T G.722, clause 4 and its bit-exact blocks of clause 6): a byte becomes two samples at
// 16 kHz. Names of the blocks are the standard's.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace vocal {

class G722Decoder {
  public:
    // `out` has room for two samples a byte, full scale 1.
    void decode(const std::uint8_t* bytes, std::size_t size, float* out) {
        for (std::size_t i = 0; i < size; ++i) {
            const int low = decode_low(bytes[i] & 0x3f), high = decode_high(bytes[i] >> 6);
            // Receive QMF: sum and difference of the bands through a filter of 24 taps.
            std::copy(line_.begin() + 2, line_.end(), line_.begin());
            line_[22] = low + high;
            line_[23] = low - high;
            int first = 0, second = 0;
            for (std::size_t k = 0; k < 12; ++k) {
                first += line_[2 * k + 1] * QMF[11 - k];
                second += line_[2 * k] * QMF[k];
            }
            *out++ = static_cast<float>(saturated(first >> 11)) / 32768.0f;
            *out++ = static_cast<float>(saturated(second >> 11)) / 32768.0f;
        }
    }

  private:
    struct Band {
        int scale;         // DET, the quantiser's step
        int log_scale = 0; // NB
        int estimate = 0, zeros_estimate = 0;      // S, SZ
        std::array<int, 2> poles{}, past{};        // A, and R: what was reconstructed
        std::array<int, 2> partial{};              // P, of the two samples before
        std::array<int, 6> zeros{}, differences{}; // B, D
    };

    static constexpr std::array<int, 32> ILB{2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543,
                                             2599, 2656, 2714, 2774, 2834, 2896, 2960, 3025, 3091, 3158, 3228,
                                             3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008};
    static constexpr std::array<int, 8> WL{-60, -30, 58, 172, 334, 538, 1198, 3042};
    static constexpr std::array<int, 16> RL42{0, 7, 6, 5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0};
    static constexpr std::array<int, 4> WH{798, -214, 798, -214};  // by the code itself
    static constexpr std::array<int, 4> QM2{-7408, -1616, 7408, 1616};
    static constexpr std::array<int, 16> QM4{0,     -20456, -12896, -8968, -6288, -4240, -2584, -1200,
                                             20456, 12896,  8968,   6288,  4240,  2584,  1200,  0};
    static constexpr std::array<int, 64> QM6{
        -136,   -136,   -136,   -136,   -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232,
        -9360,  -8576,  -7856,  -7192,  -6576,  -6000,  -5456,  -4944,  -4464,  -4008,  -3576,  -3168,  -2776,
        -2400,  -2032,  -1688,  -1360,  -1040,  -728,   24808,  21904,  19008,  16704,  14984,  13512,  12280,
        11192,  10232,  9360,   8576,   7856,   7192,   6576,   6000,   5456,   4944,   4464,   4008,   3576,
        3168,   2776,   2400,   2032,   1688,   1360,   1040,   728,    432,    136,    -432,   -136};
    static constexpr std::array<int, 12> QMF{3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11};

    static int saturated(int value) { return std::clamp(value, -32768, 32767); }

    static int step(int log_scale, int shift) {
        const int value = ILB[static_cast<std::size_t>((log_scale >> 6) & 31)], right = shift - (log_scale >> 11);
        return (right < 0 ? value << -right : value >> right) << 2;
    }

    int decode_low(int code) {
        const auto coarse = static_cast<std::size_t>(code >> 2);
        const int heard = std::clamp(low_.estimate + ((low_.scale * QM6[static_cast<std::size_t>(code)]) >> 15), -16384, 16383);
        const int difference = (low_.scale * QM4[coarse]) >> 15;
        low_.log_scale = std::clamp(((low_.log_scale * 127) >> 7) + WL[static_cast<std::size_t>(RL42[coarse])], 0, 18432);
        low_.scale = step(low_.log_scale, 8);
        adapt(low_, difference);
        return heard;
    }

    int decode_high(int code) {
        const int difference = (high_.scale * QM2[static_cast<std::size_t>(code)]) >> 15;
        const int heard = std::clamp(difference + high_.estimate, -16384, 16383);
        high_.log_scale = std::clamp(((high_.log_scale * 127) >> 7) + WH[static_cast<std::size_t>(code)], 0, 22528);
        high_.scale = step(high_.log_scale, 10);
        adapt(high_, difference);
        return heard;
    }

    // BLOCK4: predictor of two poles and six zeros, and its adaptation.
    static void adapt(Band& band, int difference) {
        const int now = saturated(band.estimate + difference), partial = saturated(band.zeros_estimate + difference);
        const bool like_first = (partial < 0) == (band.partial[0] < 0), like_second = (partial < 0) == (band.partial[1] < 0);

        const int quadruple = saturated(band.poles[0] * 4);
        const int leaned = std::min(like_first ? -quadruple : quadruple, 32767);
        const int second = std::clamp((like_second ? 128 : -128) + (leaned >> 7) + ((band.poles[1] * 32512) >> 15), -12288, 12288);
        const int bound = saturated(15360 - second);
        const int first = std::clamp(saturated((like_first ? 192 : -192) + ((band.poles[0] * 32640) >> 15)), -bound, bound);

        const int change = difference == 0 ? 0 : 128;
        for (std::size_t i = 0; i < 6; ++i) {
            const bool alike = (difference < 0) == (band.differences[i] < 0);
            band.zeros[i] = saturated((alike ? change : -change) + ((band.zeros[i] * 32640) >> 15));
        }
        std::copy_backward(band.differences.begin(), band.differences.end() - 1, band.differences.end());
        band.differences[0] = difference;
        band.partial = {partial, band.partial[0]};
        band.past = {now, band.past[0]};
        band.poles = {first, second};

        const int by_poles = saturated(((first * saturated(2 * band.past[0])) >> 15) + ((second * saturated(2 * band.past[1])) >> 15));
        int by_zeros = 0;
        for (std::size_t i = 0; i < 6; ++i) by_zeros += (band.zeros[i] * saturated(2 * band.differences[i])) >> 15;
        band.zeros_estimate = saturated(by_zeros);
        band.estimate = saturated(by_poles + band.zeros_estimate);
    }

    Band low_{.scale = 32}, high_{.scale = 8};
    std::array<int, 24> line_{};
};

}  // namespace vocal
