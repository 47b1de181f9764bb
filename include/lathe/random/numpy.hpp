#pragma once
/// \file  The numbers of numpy, bit for bit, as a format: numpy.random.default_rng (SeedSequence, PCG64, shuffle;
///        checked against numpy 1.24 and 1.26) and the legacy numpy.random.RandomState (normal numbers).
#include <lathe/random/mt19937.hpp>

#include <cmath>
#include <concepts>
#include <iterator>

LATHE_NAMESPACE_BEGIN
namespace random {

/// numpy.random.SeedSequence: spreads the entropy of a seed over as many words as a generator wants.
class numpy_seed_sequence {
    std::array<std::uint32_t, 4> pool_{};

    static constexpr std::uint32_t hashed(std::uint32_t value, std::uint32_t & factor) {
        value ^= factor;
        factor *= 0x931e8875u;
        value *= factor;
        return value ^ value >> 16;
    }
    static constexpr std::uint32_t mixed(std::uint32_t x, std::uint32_t y) {
        auto const r = 0xca01f9ddu * x - 0x4973f715u * y;
        return r ^ r >> 16;
    }

public:
    /// Of the words of an integer, the lowest first.
    explicit constexpr numpy_seed_sequence(std::span<std::uint32_t const> entropy) noexcept {
        std::uint32_t factor = 0x43b0d7e5u;
        for (std::size_t i = 0; i != pool_.size(); ++i)
            pool_[i] = hashed(i < entropy.size() ? entropy[i] : 0u, factor);
        for (std::size_t from = 0; from != pool_.size(); ++from)
            for (std::size_t to = 0; to != pool_.size(); ++to)
                if (from != to)
                    pool_[to] = mixed(pool_[to], hashed(pool_[from], factor));
        for (auto from = pool_.size(); from < entropy.size(); ++from)
            for (auto & to : pool_)
                to = mixed(to, hashed(entropy[from], factor));
    }
    /// Of a seed of 64 bits, as SeedSequence(seed).
    explicit constexpr numpy_seed_sequence(std::uint64_t seed) noexcept
        : numpy_seed_sequence(std::span<std::uint32_t const>(
              std::array<std::uint32_t, 2>{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)})) {
    }

    /// generate_state(out.size(), uint32)
    constexpr void generate(std::span<std::uint32_t> out) const noexcept {
        std::uint32_t factor = 0x8b51f9ddu;
        for (std::size_t i = 0; i != out.size(); ++i) {
            auto value = pool_[i % pool_.size()] ^ factor;
            factor *= 0x58f38dedu;
            value *= factor;
            out[i] = value ^ value >> 16;
        }
    }
};

/// numpy.random.default_rng(seed): PCG64 XSL-RR (O'Neill 2014).
class numpy_generator {
    __extension__ using wide = unsigned __int128;
    static constexpr wide multiplier = wide{0x2360ed051fc65da4u} << 64 | 0x4385df649fccf645u;
    wide state_ = 0, increment_ = 0;
    std::uint32_t kept_ = 0; // the high half of a number whose low half is used
    bool keeps_ = false;

public:
    /// What a draw yields.
    using result_type = std::uint64_t;

    /// As PCG64(SeedSequence).
    explicit numpy_generator(numpy_seed_sequence const & seeds) noexcept {
        std::array<std::uint32_t, 8> words{};
        seeds.generate(words);
        auto const at = [&](std::size_t i) { return wide{words[2 * i + 1]} << 32 | words[2 * i]; };
        increment_ = (at(2) << 64 | at(3)) << 1 | 1;
        state_ = (increment_ + (at(0) << 64 | at(1))) * multiplier + increment_;
    }
    /// As default_rng(seed).
    explicit numpy_generator(std::uint64_t seed) noexcept : numpy_generator(numpy_seed_sequence(seed)) {}

    /// The least number.
    static constexpr result_type min() noexcept { return 0; }
    /// The largest number.
    static constexpr result_type max() noexcept { return std::numeric_limits<result_type>::max(); }
    /// 64 random bits.
    result_type operator()() noexcept {
        state_ = state_ * multiplier + increment_;
        auto const folded = static_cast<std::uint64_t>(state_ >> 64) ^ static_cast<std::uint64_t>(state_);
        auto const turns = static_cast<unsigned>(state_ >> 122);
        return folded >> turns | folded << ((64 - turns) % 64);
    }
    /// 32 random bits: the low half of 64, then the high one.
    [[nodiscard]] std::uint32_t half() noexcept {
        if (keeps_) {
            keeps_ = false;
            return kept_;
        }
        auto const bits = (*this)();
        kept_ = static_cast<std::uint32_t>(bits >> 32);
        keeps_ = true;
        return static_cast<std::uint32_t>(bits);
    }
    /// random(), in [0, 1).
    [[nodiscard]] double uniform() noexcept { return static_cast<double>((*this)() >> 11) * 0x1p-53; }
    /// An integer from 0 to `largest`: bits under the smallest mask, until they are not larger.
    [[nodiscard]] std::uint64_t interval(std::uint64_t largest) noexcept {
        if (largest == 0)
            return 0;
        auto const mask = max() >> __builtin_clzll(largest);
        for (;;)
            if (auto const value = (largest <= 0xffffffffu ? half() : (*this)()) & mask; value <= largest)
                return value;
    }
    /// shuffle(range) of a one-dimensional array.
    template <class Range> void shuffle(Range && range) {
        for (auto i = std::ranges::size(range); i-- > 1;)
            std::ranges::swap(range[i], range[static_cast<std::size_t>(interval(i))]);
    }
};

/// numpy.random.RandomState(seed): MT19937, normal numbers by the polar method, in pairs.
class numpy_random_state {
    mersenne_twister words_;
    double kept_ = 0;
    bool keeps_ = false;

public:
    /// As RandomState(seed).
    explicit numpy_random_state(std::uint32_t seed) noexcept : words_(seed) {}

    /// random_sample(), in [0, 1), of 53 bits.
    [[nodiscard]] double uniform() noexcept {
        auto const high = words_() >> 5, low = words_() >> 6;
        return (high * 67108864.0 + low) / 9007199254740992.0;
    }
    /// An element of randn(...), in C order.
    [[nodiscard]] double normal() noexcept {
        if (keeps_) {
            keeps_ = false;
            return kept_;
        }
        for (;;) {
            auto const x = 2.0 * uniform() - 1.0, y = 2.0 * uniform() - 1.0;
            auto const square = x * x + y * y;
            if (square >= 1.0 || square == 0.0)
                continue;
            auto const scale = std::sqrt(-2.0 * std::log(square) / square);
            kept_ = scale * x;
            keeps_ = true;
            return scale * y;
        }
    }
};

} // namespace random
LATHE_NAMESPACE_END
