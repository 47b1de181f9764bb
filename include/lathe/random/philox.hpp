#pragma once
/// \file  Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers, SC'11): a pure function of key and
///        counter, so a draw may be split, reordered or made on a device and stays the same bits.
#include <lathe/config.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

LATHE_NAMESPACE_BEGIN
namespace random {

/// A counter, or the four words drawn for it.
using block = std::array<std::uint32_t, 4>;
/// A seed as the rounds take it: its low word, its high word.
using key = std::array<std::uint32_t, 2>;

/// Ten rounds.
constexpr block philox(block c, key k) noexcept {
    for (int round = 0; round != 10; ++round) {
        auto const p0 = std::uint64_t{0xD2511F53u} * c[0];
        auto const p1 = std::uint64_t{0xCD9E8D57u} * c[2];
        c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<std::uint32_t>(p1),
             static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<std::uint32_t>(p0)};
        k = {k[0] + 0x9E3779B9u, k[1] + 0xBB67AE85u};
    }
    return c;
}

/// Bits 0 to 31.
constexpr std::uint32_t low_word(std::uint64_t x) noexcept { return static_cast<std::uint32_t>(x); }
/// Bits 32 to 63.
constexpr std::uint32_t high_word(std::uint64_t x) noexcept { return static_cast<std::uint32_t>(x >> 32); }

/// The 64-bit FNV-1a hash of a name: what separates the streams of the tensors of one model. Begun with the hash of a
/// text it is that of both together.
constexpr std::uint64_t fnv1a(std::string_view text, std::uint64_t h = 0xcbf29ce484222325u) noexcept {
    for (char const c : text)
        h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
    return h;
}

/// An endless sequence of numbers in [0, 1). Element i is lane i % 4 of philox({i / 4, purpose, 0}, key), its upper 24
/// bits as a fraction, exact in float. As an operand of a kernel it yields elements `first`, `first` + 1, ...
struct uniform_stream {
    std::uint64_t seed = 0;    ///< the key
    std::uint32_t purpose = 0; ///< separates draws that share a seed: a model's index, initialisation, sketch, ...
    std::uint64_t first = 0;   ///< number of the first element

    /// Four neighbouring elements, from 4 * index on.
    [[nodiscard]] constexpr std::array<float, 4> quad(std::uint64_t index) const noexcept {
        auto const words = philox({low_word(index), high_word(index), purpose, 0}, {low_word(seed), high_word(seed)});
        std::array<float, 4> u{};
        for (std::size_t i = 0; i != 4; ++i)
            u[i] = static_cast<float>(words[i] >> 8) * 0x1p-24f;
        return u;
    }
    /// Element first + i.
    [[nodiscard]] constexpr float operator[](std::uint64_t i) const noexcept {
        return quad((first + i) / 4)[(first + i) % 4];
    }
    /// The stream from element n on.
    [[nodiscard]] constexpr uniform_stream skip(std::uint64_t n) const noexcept { return {seed, purpose, first + n}; }
};

} // namespace random
LATHE_NAMESPACE_END
