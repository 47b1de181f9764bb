#pragma once
/// \file  MT19937 (Matsumoto, Nishimura: Mersenne Twister, TOMACS 1998) with a jump: the words under torch's CPU
///        generator, numpy's RandomState and MarkLLM's own class. The words are those of std::mt19937.
///
/// Word t is a linear function over GF(2) of words 0 to 19936: with x^t mod p = sum over k of g_k x^k, p the
/// characteristic polynomial, it is the exclusive or of the words k with g_k = 1 (Haramoto et al., INFORMS J. Computing
/// 2008).
#include <lathe/config.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

LATHE_NAMESPACE_BEGIN
namespace random {

/// Polynomials over GF(2) modulo the characteristic polynomial of MT19937, of degree 19937. Bit k of word k / 64 is the
/// coefficient of x^k.
class mersenne_polynomial {
public:
    static constexpr std::size_t degree = 19937, ///< of the characteristic polynomial
        words = 312;                             ///< of 64 bits: 19968 bits

private:
    std::vector<std::uint64_t> bits_ = std::vector<std::uint64_t>(words);

    using exponents = std::vector<std::size_t>;

    /// The terms of p but the highest. With s = x^623 + x^396 and the bits a_i of the twist's constant (the paper,
    /// section A): p = x s^32 + a_0 x s^31 + a_1 x s^30 + ... + a_30 x s + a_31.
    static exponents const & lower_terms() {
        static exponents const terms = [] {
            std::vector<bool> p(degree + 1);
            auto const add = [&](std::size_t power, std::size_t shift) { // x^shift (x^623 + x^396)^power
                for (std::size_t k = 0; k <= power; ++k)
                    if ((k & (power - k)) == 0) // the binomial is odd
                        p[shift + 623 * k + 396 * (power - k)] = !p[shift + 623 * k + 396 * (power - k)];
            };
            constexpr std::uint32_t a = 0x9908b0df;
            add(32, 1);
            for (unsigned i = 0; i != 31; ++i)
                if ((a >> i & 1) != 0)
                    add(31 - i, 1);
            if (a >> 31 != 0)
                add(0, 0);
            exponents all;
            for (std::size_t k = 0; k != degree; ++k)
                if (p[k])
                    all.push_back(k);
            return all;
        }();
        return terms;
    }

    static void toggle(std::vector<std::uint64_t> & to, std::uint64_t word, std::size_t at) {
        to[at / 64] ^= word << (at % 64);
        if (at % 64 != 0)
            to[at / 64 + 1] ^= word >> (64 - at % 64);
    }
    /// bits_ := wide mod p. The second highest term is 227 below the highest, so that whole words go down at once.
    void reduce(std::vector<std::uint64_t> & wide) {
        for (auto i = wide.size() - 1; i * 64 >= degree; --i) { // degree % 64 == 33
            auto const word = wide[i];
            wide[i] = 0;
            if (word != 0)
                for (auto const e : lower_terms())
                    toggle(wide, word, i * 64 - degree + e);
        }
        auto const above = wide[words - 1] >> (degree % 64);
        wide[words - 1] &= (std::uint64_t{1} << (degree % 64)) - 1;
        if (above != 0)
            for (auto const e : lower_terms())
                toggle(wide, above, e);
        std::copy_n(wide.begin(), words, bits_.begin());
    }
    /// The bits of x with zeros between.
    static constexpr std::uint64_t spread(std::uint64_t x) {
        x = (x | x << 16) & 0x0000ffff0000ffffu;
        x = (x | x << 8) & 0x00ff00ff00ff00ffu;
        x = (x | x << 4) & 0x0f0f0f0f0f0f0f0fu;
        x = (x | x << 2) & 0x3333333333333333u;
        return (x | x << 1) & 0x5555555555555555u;
    }

public:
    /// x^n mod p. Some 40 us for each binary digit of n beyond fourteen.
    explicit mersenne_polynomial(std::uint64_t n) {
        unsigned digits = 0; // to come
        while (n >> digits >= degree)
            ++digits;
        bits_[(n >> digits) / 64] = std::uint64_t{1} << ((n >> digits) % 64);
        std::vector<std::uint64_t> wide(2 * words + 1);
        while (digits-- != 0) {
            auto const odd = n >> digits & 1;
            std::ranges::fill(wide, 0u);
            for (std::size_t i = 0; i != words; ++i) { // the square, times x for a digit 1
                toggle(wide, spread(bits_[i] & 0xffffffffu), 128 * i + odd);
                toggle(wide, spread(bits_[i] >> 32), 128 * i + 64 + odd);
            }
            reduce(wide);
        }
    }
    /// Calls f(k) for every k with coefficient 1, upwards.
    template <class F> void for_each_term(F && f) const {
        for (std::size_t i = 0; i != words; ++i)
            for (auto word = bits_[i]; word != 0; word &= word - 1)
                f(64 * i + static_cast<std::size_t>(__builtin_ctzll(word)));
    }
};

/// The engine. \see std::mt19937, which gives the same words, but neither in blocks nor after a jump.
class mersenne_twister {
public:
    /// 32 random bits.
    using result_type = std::uint32_t;
    static constexpr std::size_t state_size = 624; ///< words

private:
    std::array<std::uint32_t, state_size> x_; // as the recurrence has them
    std::size_t next_ = state_size;

    static constexpr std::uint32_t twisted(std::uint32_t high, std::uint32_t low) {
        auto const y = (high & 0x80000000u) | (low & 0x7fffffffu);
        return y >> 1 ^ ((0u - (y & 1u)) & 0x9908b0dfu);
    }
    void twist() {
        auto & x = x_;
        for (std::size_t k = 0; k != 227; ++k)
            x[k] = x[k + 397] ^ twisted(x[k], x[k + 1]);
        for (std::size_t k = 227; k != 623; ++k)
            x[k] = x[k - 227] ^ twisted(x[k], x[k + 1]);
        x[623] = x[396] ^ twisted(x[623], x[0]);
        next_ = 0;
    }
    static constexpr std::uint32_t tempered(std::uint32_t y) {
        y ^= y >> 11;
        y ^= y << 7 & 0x9d2c5680u;
        y ^= y << 15 & 0xefc60000u;
        return y ^ y >> 18;
    }

public:
    /// As init_genrand of the paper's code, and std::mt19937.
    explicit mersenne_twister(std::uint32_t seed = 5489) noexcept {
        x_[0] = seed;
        for (std::uint32_t i = 1; i != state_size; ++i)
            x_[i] = 1812433253u * (x_[i - 1] ^ x_[i - 1] >> 30) + i;
    }
    /// The least word.
    static constexpr result_type min() noexcept { return 0; }
    /// The largest word.
    static constexpr result_type max() noexcept { return std::numeric_limits<result_type>::max(); }
    /// The next word.
    result_type operator()() noexcept {
        if (next_ == state_size)
            twist();
        return tempered(x_[next_++]);
    }
    /// The next words. Half a nanosecond each.
    void fill(std::span<std::uint32_t> out) noexcept {
        while (!out.empty()) {
            if (next_ == state_size)
                twist();
            auto const count = std::min(out.size(), state_size - next_);
            auto const * const from = x_.data() + next_;
            for (std::size_t i = 0; i != count; ++i)
                out[i] = tempered(from[i]);
            next_ += count;
            out = out.subspan(count);
        }
    }
    /// Beyond so many words `discard` jumps: this is what the jump costs.
    static constexpr std::uint64_t jump_threshold = std::uint64_t{1} << 21;

    /// Leaves out n words. Time: n twists of a word, or a millisecond if n is large.
    void discard(std::uint64_t n) {
        if (n < jump_threshold) {
            while (n > state_size - next_) {
                n -= state_size - next_;
                twist();
            }
            next_ += static_cast<std::size_t>(n);
            return;
        }
        // The state is 624 neighbouring words before tempering; word k + j after the jump is a sum of words k + j now.
        std::vector<std::uint32_t> now(mersenne_polynomial::degree + state_size);
        for (std::size_t i = 0; i != now.size(); ++i) {
            if (next_ == state_size)
                twist();
            now[i] = x_[next_++];
        }
        x_.fill(0);
        mersenne_polynomial(n).for_each_term([&](std::size_t k) {
            for (std::size_t j = 0; j != state_size; ++j)
                x_[j] ^= now[k + j];
        });
        next_ = 0;
    }
    friend bool operator==(mersenne_twister const &, mersenne_twister const &) = default;
};

/// Any word of the engine's stream by its number, without the ones before: for tables of random numbers that nobody
/// could store. Memory 80 KB.
class mersenne_words {
    std::uint32_t seed_;
    std::vector<std::uint32_t> first_ = std::vector<std::uint32_t>(mersenne_polynomial::degree);

public:
    /// Of the stream of mersenne_twister(seed). Draws the first 19937 words.
    explicit mersenne_words(std::uint32_t seed) : seed_{seed} { mersenne_twister(seed).fill(first_); }
    /// Word t. Time: that of mersenne_polynomial(t), and 10 us.
    [[nodiscard]] std::uint32_t operator[](std::uint64_t t) const {
        if (t < first_.size())
            return first_[t];
        std::uint32_t word = 0;
        mersenne_polynomial(t).for_each_term([&](std::size_t k) { word ^= first_[k]; });
        return word;
    }
    /// out[i] := word at[i]. `at` ascends. Goes through the stream where the numbers lie close together, else jumps:
    /// for dense numbers half a nanosecond for each word passed, for sparse ones a jump for each.
    void operator()(std::span<std::uint64_t const> at, std::span<std::uint32_t> out) const {
        mersenne_twister engine(seed_);
        std::uint64_t next = 0; // the word the engine gives next
        for (std::size_t i = 0; i != at.size(); ++i) {
            if (i != 0 && at[i] == at[i - 1]) {
                out[i] = out[i - 1];
                continue;
            }
            engine.discard(at[i] - next);
            out[i] = engine();
            next = at[i] + 1;
        }
    }
};

} // namespace random
LATHE_NAMESPACE_END
