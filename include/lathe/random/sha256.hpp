#pragma once
/// \file  SHA-256 (FIPS 180-4): seeds that are hashes of keys and contexts, names of what is kept on disk. Not
///        constant-time, and not for passwords.
#include <lathe/config.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

LATHE_NAMESPACE_BEGIN
namespace random {

/// The hash of what is added, byte after byte.
class sha256 {
    static constexpr std::array<std::uint32_t, 64> constants{
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

    std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<std::uint8_t, 64> block_{};
    std::uint64_t bytes_ = 0;

    constexpr void compress() noexcept {
        std::array<std::uint32_t, 64> w{};
        for (std::size_t i = 0; i != 16; ++i)
            w[i] = std::uint32_t{block_[4 * i]} << 24 | std::uint32_t{block_[4 * i + 1]} << 16
                   | std::uint32_t{block_[4 * i + 2]} << 8 | block_[4 * i + 3];
        for (std::size_t i = 16; i != 64; ++i) {
            auto const a = w[i - 15], b = w[i - 2];
            w[i] = w[i - 16] + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ a >> 3) + w[i - 7]
                   + (std::rotr(b, 17) ^ std::rotr(b, 19) ^ b >> 10);
        }
        auto [a, b, c, d, e, f, g, h] = state_;
        for (std::size_t i = 0; i != 64; ++i) {
            auto const t1 = h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + ((e & f) ^ (~e & g))
                            + constants[i] + w[i];
            auto const t2 = (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
            h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
        }
        std::array<std::uint32_t, 8> const sum{a, b, c, d, e, f, g, h};
        for (std::size_t i = 0; i != 8; ++i)
            state_[i] += sum[i];
    }
    constexpr void add_byte(std::uint8_t byte) noexcept {
        block_[bytes_++ % 64] = byte;
        if (bytes_ % 64 == 0)
            compress();
    }

public:
    /// The hash, its first byte first.
    using digest = std::array<std::uint8_t, 32>;

    /// Bytes in order. \returns *this
    constexpr sha256 & add(std::span<std::uint8_t const> bytes) noexcept {
        for (auto const b : bytes)
            add_byte(b);
        return *this;
    }
    /// The eight bytes of a number, the lowest first.
    constexpr sha256 & add(std::uint64_t number) noexcept {
        for (unsigned i = 0; i != 8; ++i)
            add_byte(static_cast<std::uint8_t>(number >> (8 * i)));
        return *this;
    }
    /// The hash of what was added so far.
    [[nodiscard]] constexpr digest value() const noexcept {
        auto padded = *this;
        padded.add_byte(0x80);
        while (padded.bytes_ % 64 != 56)
            padded.add_byte(0);
        for (unsigned i = 0; i != 8; ++i)
            padded.add_byte(static_cast<std::uint8_t>(bytes_ * 8 >> (56 - 8 * i)));
        digest d{};
        for (std::size_t i = 0; i != d.size(); ++i)
            d[i] = static_cast<std::uint8_t>(padded.state_[i / 4] >> (24 - 8 * (i % 4)));
        return d;
    }
};

} // namespace random
LATHE_NAMESPACE_END
