#pragma once
/// \file  The numbers of the class `mersenne_rng` that EXP-Edit and ITS-Edit bring (Kuditipudi et al.; MarkLLM), as a
/// format.
#include <lathe/random/mt19937.hpp>

LATHE_NAMESPACE_BEGIN
namespace random {

/// The words of MT19937; numbers and permutations of its own.
class markllm_mersenne {
    mersenne_twister words_;

public:
    /// As mersenne_rng(seed): the seeding of MT19937 by one word.
    explicit markllm_mersenne(std::uint32_t seed) noexcept : words_(seed) {}

    /// In [0, 1): w / 2^32.
    [[nodiscard]] static constexpr double uniform(std::uint32_t word) noexcept { return word * 0x1p-32; }
    /// The next number in [0, 1). One word.
    [[nodiscard]] double uniform() noexcept { return uniform(words_()); }
    /// Leaves out n words.
    void skip(std::uint64_t n) { words_.discard(n); }
    /// A permutation of 0, 1, ...: one cycle through all positions (Sattolo), as j < i where a shuffle has j <= i.
    void permutation(std::span<std::uint32_t> p) noexcept {
        for (std::size_t i = 0; i != p.size(); ++i)
            p[i] = static_cast<std::uint32_t>(i);
        for (auto i = p.size(); i-- > 1;)
            std::swap(p[i], p[words_() % static_cast<std::uint32_t>(i)]);
    }
};

} // namespace random
LATHE_NAMESPACE_END
