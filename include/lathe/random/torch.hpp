#pragma once
/// \file  The numbers of torch's CPU generator, bit for bit (checked against torch 1.13), as a format: what
///        torch.randperm, torch.rand and torch.randint give with a torch.Generator on the CPU. Its CUDA generator is another
///        stream.
#include <lathe/random/mt19937.hpp>

LATHE_NAMESPACE_BEGIN
namespace random {

/// torch.Generator().manual_seed(seed). Of the seed only the low 32 bits matter.
class torch_generator {
    mersenne_twister words_;

    /// z[i] := words[i] mod (n - first - i), i < count. Division in double is exact here: the quotient of two words is
    /// further from the next integer than half an ulp.
    static void remainders(std::uint32_t const * words, std::uint32_t n, std::uint32_t first, std::size_t count,
                           std::uint32_t * z) noexcept {
        auto const divisor = n - first;
        for (std::uint32_t i = 0; i != count; ++i) {
            auto const w = words[i], d = divisor - i;
            auto const as_double = [](std::uint32_t u) {
                return static_cast<double>(static_cast<std::int32_t>(u ^ 0x80000000u)) + 2147483648.0;
            };
            auto const q = static_cast<std::uint32_t>(static_cast<std::int32_t>(as_double(w) / as_double(d)));
            z[i] = w - q * d;
        }
    }

    /// Calls f(first, z) for blocks of the exchanges that torch.randperm(n) makes, of positions first + k and first + k
    /// + z[k] for k < z.size(), up to `steps` of them; until f is false.
    template <class F> void exchanges(std::uint32_t n, std::uint32_t steps, F && f) {
        std::array<std::uint32_t, mersenne_twister::state_size> words, z;
        steps = std::min(steps, n == 0 ? 0 : n - 1);
        for (std::uint32_t first = 0; first < steps;) {
            auto const count = std::min<std::uint32_t>(steps - first, words.size());
            words_.fill(std::span{words}.first(count));
            remainders(words.data(), n, first, count, z.data());
            if (!f(first, std::span<std::uint32_t const>{z}.first(count)))
                return;
            first += count;
        }
    }

public:
    /// As manual_seed(seed).
    explicit torch_generator(std::uint64_t seed) noexcept : words_(static_cast<std::uint32_t>(seed)) {}

    /// 32 random bits.
    [[nodiscard]] std::uint32_t word() noexcept { return words_(); }
    /// Leaves out n words.
    void skip(std::uint64_t n) { words_.discard(n); }

    /// An element of torch.rand(..., dtype=float32), in [0, 1). One word.
    [[nodiscard]] static constexpr float uniform(std::uint32_t word) noexcept {
        return static_cast<float>(word & 0xffffffu) * 0x1p-24f;
    }
    /// The next number of torch.rand, in [0, 1).
    [[nodiscard]] float uniform() noexcept { return uniform(word()); }
    /// torch.rand(out.size())
    void uniform(std::span<float> out) noexcept {
        std::array<std::uint32_t, mersenne_twister::state_size> words;
        for (std::size_t first = 0; first < out.size(); first += words.size()) {
            auto const count = std::min(words.size(), out.size() - first);
            words_.fill(std::span{words}.first(count));
            for (std::size_t i = 0; i != count; ++i)
                out[first + i] = uniform(words[i]);
        }
    }
    /// An element of torch.randint(0, bound), bound > 0. One word, or two (the high one first) for a bound of 2^32 or
    /// more.
    [[nodiscard]] std::uint64_t integer(std::uint64_t bound) noexcept {
        std::uint64_t bits = word();
        if (bound > 0xffffffffu)
            bits = bits << 32 | word();
        return bits % bound;
    }

    /// torch.randperm(p.size()), of which the first `count` are needed: p[0] ... p[count - 1] are those of the whole,
    /// the rest holds the other numbers in an order of no meaning. p.size() < 2^32. Time: a write of each, and `count`
    /// exchanges.
    void permutation(std::span<std::uint32_t> p, std::size_t count) noexcept {
        auto const n = static_cast<std::uint32_t>(p.size());
        for (std::uint32_t i = 0; i != n; ++i)
            p[i] = i;
        auto const steps = static_cast<std::uint32_t>(std::min(count, p.size()));
        exchanges(n, steps, [&](std::uint32_t first, std::span<std::uint32_t const> z) {
            auto * const from = p.data() + first;
            for (std::size_t k = 0; k != z.size(); ++k)
                std::swap(from[k], from[k + z[k]]);
            return true;
        });
    }
    /// p := torch.randperm(p.size()).
    void permutation(std::span<std::uint32_t> p) noexcept { permutation(p, p.size()); }

    /// The position of `value` among the first `count` of torch.randperm(n), `count` if it is not among them; value <
    /// n. Follows that value alone through the exchanges. Time: at most `count` of them; no memory.
    [[nodiscard]] std::uint32_t position(std::uint32_t value, std::uint32_t n, std::uint32_t count) noexcept {
        auto at = value, found = count;
        exchanges(n, count, [&](std::uint32_t first, std::span<std::uint32_t const> z) {
            auto const ahead = at - first; // positions are settled in order, so it is not behind
            if (ahead >= z.size()) {       // it stays where it is, unless an exchange of the block asks for it
                std::uint32_t asked = 0;
                for (std::uint32_t k = 0; k != z.size(); ++k)
                    asked |= z[k] + k == ahead ? 1u : 0u;
                if (asked == 0)
                    return true;
            }
            for (std::uint32_t k = 0; k != z.size(); ++k) {
                auto const i = first + k, j = i + z[k];
                if (j == at) { // now at i, for good
                    found = i;
                    return false;
                }
                if (i == at)
                    at = j;
            }
            return true;
        });
        // The last position is settled by the exchanges before it.
        return found == count && count == n && n != 0 ? n - 1 : found;
    }
};

} // namespace random
LATHE_NAMESPACE_END
