// Compile-only: known answers of Philox4x32-10 (kat_vectors of Random123), and the streams made of it.
#include <lathe/random/philox.hpp>

namespace {
using namespace lathe::random;

static_assert(philox({0, 0, 0, 0}, {0, 0}) == block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
static_assert(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff})
              == block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
static_assert(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0})
              == block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});

// Element i is lane i % 4 of block {i / 4, purpose, 0}, its upper 24 bits as a fraction.
constexpr float by_hand(std::uint64_t seed, std::uint32_t purpose, std::uint64_t i) {
    auto const words = philox({static_cast<std::uint32_t>(i / 4), static_cast<std::uint32_t>(i / 4 >> 32), purpose, 0},
                              {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
    return static_cast<float>(words[i % 4] >> 8) / 16777216.0f;
}
constexpr bool follows_the_definition() {
    for (std::uint64_t const seed : {0ull, 1ull, 0xfedcba9876543210ull})
        for (std::uint32_t const purpose : {0u, 7u})
            for (std::uint64_t const i :
                 {0ull, 1ull, 2ull, 3ull, 4ull, 1000003ull, (1ull << 34) - 1, 1ull << 34, (1ull << 40) + 5})
                if (uniform_stream{seed, purpose, 0}[i] != by_hand(seed, purpose, i)
                    || uniform_stream{seed, purpose, i}[0] != by_hand(seed, purpose, i)
                    || uniform_stream{seed, purpose, 1}.skip(i)[2] != by_hand(seed, purpose, i + 3))
                    return false;
    return true;
}
static_assert(follows_the_definition());
static_assert(uniform_stream{}[0] == static_cast<float>(0x6627e8) / 16777216.0f);

// FNV-1a, 64 bits (Noll's test vectors).
static_assert(fnv1a("") == 0xcbf29ce484222325u && fnv1a("a") == 0xaf63dc4c8601ec8cu
              && fnv1a("foobar") == 0x85944171f73967e8u);
} // namespace
