#pragma once
/// \file  HammingMark: the bits of the next sentence differ from those of the sentence before in at most r places.
///        docs/watermarking.md.
#include <lathe/watermark/sign_bits.hpp>

#include <bit>

LATHE_NAMESPACE_BEGIN
namespace watermark {

/// What a sentence counts for.
enum class hamming_evidence : unsigned char {
    ball,     ///< 1 within the radius, else 0
    agreement ///< the share of bits that agree
};

/// Options of hammingmark.
struct hammingmark_options {
    std::size_t radius = 4;                             ///< bits that may differ
    hamming_evidence evidence = hamming_evidence::ball; ///< what detectors sum up
};

/// HammingMark as a partition. Its null is empirical (conformal_scores, or the share of human pairs within the radius
/// as the gamma of binomial_null): neighbouring sentences of a text agree in more bits than chance has it.
class hammingmark {
    sign_bits bits_;
    hammingmark_options options_;

public:
    /// Codes of many sentences.
    using codes = region_codes;
    /// The code of a sentence.
    using code = region_code;
    /// There is none.
    using state = no_state;

    /// `normals` is bits x dimensions. \throws shape_error, option_error, non_finite_error
    hammingmark(std::span<double const> normals, std::size_t bits, hammingmark_options const & options = {})
        : bits_(normals, bits), options_(options) {
        expects_option(options.radius < bits, "radius", std::to_string(options.radius),
                       "less than " + std::to_string(bits) + " bits");
    }
    /// Bits of a region.
    [[nodiscard]] std::size_t bits() const noexcept { return bits_.bits(); }
    /// Length of an embedding.
    [[nodiscard]] std::size_t dimensions() const noexcept { return bits_.dimensions(); }
    /// As given.
    [[nodiscard]] hammingmark_options const & options() const noexcept { return options_; }
    /// \see sign_bits::encode
    template <real T, class B>
        requires matrix_space<B, T>
    codes encode(B & be, cmat<B, T> rows) const {
        return bits_.encode<T>(be, rows);
    }
    /// Bits that differ.
    [[nodiscard]] static std::size_t distance(code const & a, code const & b) noexcept {
        return static_cast<std::size_t>(std::popcount(a.region ^ b.region));
    }

    /// Nothing to remember.
    [[nodiscard]] state start() const noexcept { return {}; }
    /// Whether at most `radius` bits differ.
    [[nodiscard]] bool admits(code const & previous, code const & current, state) const noexcept {
        return distance(previous, current) <= options_.radius;
    }
    /// By options().evidence, in [0, 1].
    [[nodiscard]] double evidence(code const & previous, code const & current, state s) const noexcept {
        if (options_.evidence == hamming_evidence::ball)
            return admits(previous, current, s) ? 1 : 0;
        return 1 - static_cast<double>(distance(previous, current)) / static_cast<double>(bits());
    }
    /// Nothing to remember.
    [[nodiscard]] state advance(code const &, code const &, state) const noexcept { return {}; }
    /// The least |cosine| with a normal.
    [[nodiscard]] double confidence(code const & c) const noexcept { return c.confidence; }
    /// The bits as a number.
    [[nodiscard]] std::uint64_t region(code const & c) const noexcept { return c.region; }
    /// Minus the number of bits that differ.
    [[nodiscard]] double preference(code const & previous, code const & current, state) const noexcept {
        return -static_cast<double>(distance(previous, current));
    }
};

/// The share of all words of so many bits that lie within the radius of one: gamma where bits are independent and even.
inline double hamming_ball_share(std::size_t bits, std::size_t radius) {
    double share = 0, term = std::exp2(-static_cast<double>(bits));
    for (std::size_t k = 0; k <= std::min(bits, radius); ++k) {
        share += term;
        term *= static_cast<double>(bits - k) / static_cast<double>(k + 1);
    }
    return std::min(1.0, share);
}

} // namespace watermark
LATHE_NAMESPACE_END
