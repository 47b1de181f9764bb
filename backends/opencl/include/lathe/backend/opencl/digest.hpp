#pragma once
/// \file  SHA-256 (FIPS 180-4): names and seals what is kept on disk.
#include <lathe/config.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

LATHE_NAMESPACE_BEGIN
namespace opencl {

/// The digest of a text, as 64 hexadecimal digits. Time: linear.
inline std::string sha256(std::string_view text) {
    static constexpr std::array<std::uint32_t, 64> k{
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
    std::array<std::uint32_t, 8> h{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                   0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    auto const rotate = [](std::uint32_t x, int n) { return x >> n | x << (32 - n); };
    // Padded: a one, zeros, the number of bits in eight bytes.
    std::string message{text};
    message.push_back('\x80');
    message.append((119 - text.size() % 64) % 64, '\0');
    for (int shift = 56; shift >= 0; shift -= 8)
        message.push_back(static_cast<char>(std::uint64_t{text.size()} * 8 >> shift & 0xff));
    for (std::size_t block = 0; block != message.size(); block += 64) {
        std::array<std::uint32_t, 64> w{};
        for (std::size_t i = 0; i != 64; ++i)
            w[i / 4] |= static_cast<std::uint32_t>(static_cast<unsigned char>(message[block + i])) << (24 - i % 4 * 8);
        for (std::size_t i = 16; i != 64; ++i) {
            auto const a = w[i - 15], b = w[i - 2];
            w[i] = w[i - 16] + w[i - 7] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3)
                   + (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
        }
        auto v = h;
        for (std::size_t i = 0; i != 64; ++i) {
            auto const e = v[4], a = v[0];
            auto const t1 =
                v[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & v[5]) ^ (~e & v[6])) + k[i] + w[i];
            auto const t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
            v = {t1 + t2, v[0], v[1], v[2], v[3] + t1, v[4], v[5], v[6]};
        }
        for (std::size_t i = 0; i != 8; ++i)
            h[i] += v[i];
    }
    std::string hex;
    for (auto const word : h)
        for (int shift = 28; shift >= 0; shift -= 4)
            hex.push_back("0123456789abcdef"[word >> shift & 0xf]);
    return hex;
}

} // namespace opencl
LATHE_NAMESPACE_END
