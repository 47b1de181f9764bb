// The foreign streams, against numbers of numpy 1.24, torch 1.13, MarkLLM and FIPS 180-4.
#include <lathe/random/markllm.hpp>
#include <lathe/random/numpy.hpp>
#include <lathe/random/sha256.hpp>
#include <lathe/random/torch.hpp>

#include "catch.hpp"

#include <numeric>
#include <random>
#include <string>

namespace {
using namespace lathe::random;
using words = std::vector<std::uint32_t>;

static_assert(std::uniform_random_bit_generator<mersenne_twister>
              && std::uniform_random_bit_generator<numpy_generator>);

std::string hex(sha256::digest const & d) {
    std::string s;
    for (auto const byte : d)
        for (auto const nibble : {byte >> 4, byte & 15})
            s += "0123456789abcdef"[nibble];
    return s;
}
std::string hash_of(std::string const & text) {
    std::vector<std::uint8_t> const bytes(text.begin(), text.end());
    return hex(sha256{}.add(bytes).value());
}

template <class Generator> words permutation(Generator && g, std::size_t n) {
    words p(n);
    g.permutation(p);
    return p;
}

TEST_CASE("mt19937: the words of the standard's engine, one by one, in blocks and after a jump") {
    for (std::uint32_t const seed : {0u, 42u, 0xffffffffu}) {
        mersenne_twister ours(seed);
        std::mt19937 theirs(seed);
        words block(1500);
        ours.fill(std::span{block}.first(100));
        ours.fill(std::span{block}.subspan(100));
        for (auto const w : block)
            REQUIRE(w == theirs());
        for (int i = 0; i != 1500; ++i)
            REQUIRE(ours() == theirs());
        for (std::uint64_t const n :
             {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{623}, std::uint64_t{624}, std::uint64_t{625},
              mersenne_twister::jump_threshold - 1, mersenne_twister::jump_threshold, std::uint64_t{3000017}}) {
            ours.discard(n);
            theirs.discard(n);
            for (int i = 0; i != 700; ++i)
                REQUIRE(ours() == theirs());
        }
    }
}

TEST_CASE("mt19937: jumps add up, as far as they go") {
    mersenne_twister once(5), twice(5);
    once.discard(5'000'000'000'000);
    twice.discard(1'234'567'890'123);
    twice();
    twice.discard(5'000'000'000'000 - 1'234'567'890'123 - 1);
    for (int i = 0; i != 1300; ++i)
        REQUIRE(once() == twice());
}

TEST_CASE("mt19937: single words by their number") {
    mersenne_words const table(9);
    std::mt19937 stream(9);
    std::vector<std::uint64_t> const at{0, 1, 1, 700, 19936, 19937, 19938, 100000, 2900000, 2900001, 6000000};
    words found(at.size());
    table(at, found);
    std::uint64_t next = 0, word = 0;
    for (std::size_t i = 0; i != at.size(); ++i) {
        for (; next <= at[i]; ++next)
            word = stream();
        CHECK(table[at[i]] == word);
        CHECK(found[i] == word);
    }
}

TEST_CASE("torch: permutations, uniform numbers and integers of its CPU generator") {
    struct recorded {
        std::uint64_t seed;
        words permutation;
        std::array<float, 3> uniform;
        std::uint64_t wide, narrow; // below 2^32 and below 7
    };
    for (auto const & r : {recorded{0,
                                    {4, 1, 7, 5, 3, 9, 0, 8, 6, 2},
                                    {0.6323062777519226f, 0.3488934636116028f, 0.40171730518341064f},
                                    1277901399,
                                    2},
                           recorded{7,
                                    {5, 0, 3, 4, 1, 7, 9, 6, 8, 2},
                                    {0.8512683510780334f, 0.8549431562423706f, 0.5509352087974548f},
                                    372560217,
                                    2},
                           recorded{778489818873,
                                    {2, 8, 0, 6, 4, 3, 1, 7, 5, 9},
                                    {0.8796989917755127f, 0.19090193510055542f, 0.06142222881317139f},
                                    3779597755,
                                    4}}) {
        torch_generator g(r.seed);
        CHECK(permutation(g, 10) == r.permutation);
        for (auto const u : r.uniform)
            CHECK(g.uniform() == u);
        CHECK(g.integer(std::uint64_t{1} << 32) == r.wide);
        CHECK(g.integer(7) == r.narrow);
    }
    for (std::uint64_t const at : {29'999'999u, 12'345'678u}) { // torch.rand(30_000_000)[at]
        torch_generator g(42);
        g.skip(at);
        CHECK(g.uniform() == (at == 29'999'999u ? 0.8246514797210693f : 0.03276795148849487f));
    }
    std::vector<float> many(1000), one(1000);
    torch_generator block(3), single(3);
    block.uniform(many);
    for (auto & u : one)
        u = single.uniform();
    CHECK(many == one);
    CHECK(permutation(torch_generator(std::uint64_t{1} << 32 | 6), 50) == permutation(torch_generator(6), 50));
}

TEST_CASE("torch: the first elements of a permutation, and where a value is, without the whole") {
    for (std::uint32_t const n : {1u, 2u, 3u, 60u, 1000u, 3001u})
        for (std::uint64_t const seed : {0u, 1u, 15485863u}) {
            auto const whole = permutation(torch_generator(seed), n);
            auto sorted = whole;
            std::ranges::sort(sorted);
            for (std::uint32_t i = 0; i != n; ++i)
                REQUIRE(sorted[i] == i);
            for (auto const count : {0u, 1u, n / 4, n / 2, n - 1, n}) {
                words first(n);
                torch_generator(seed).permutation(first, count);
                REQUIRE(std::ranges::equal(std::span{first}.first(count), std::span{whole}.first(count)));
                for (std::uint32_t i = 0; i < n; i += n / 60 + 1)
                    REQUIRE(torch_generator(seed).position(whole[i], n, count) == std::min(i, count));
            }
        }
    words none;
    torch_generator(1).permutation(none);
}

TEST_CASE("numpy: seeds, bits, halves and shuffles of default_rng") {
    words state(8);
    numpy_seed_sequence(42).generate(state);
    CHECK(state
          == words{3444837047, 2669555309, 2046530742, 3581440988, 1691623607, 2099784219, 1184028159, 862288241});
    state.resize(4);
    numpy_seed_sequence(0x123456789abcdef).generate(state);
    CHECK(state == words{3221299722, 3682666272, 3453484635, 140759693});
    numpy_seed_sequence(words{1, 2, 3, 4, 5, 6}).generate(state); // more words than the pool has
    CHECK(state == words{488360481, 3956080669, 2986500235, 3488252836});

    numpy_generator g(42);
    CHECK(g() == 14276969152011380360u);
    CHECK(g.half() == static_cast<std::uint32_t>(8095878257575067585u));
    CHECK(g() == 15838336090824644132u); // the kept half stays
    CHECK(g.half() == static_cast<std::uint32_t>(8095878257575067585u >> 32));
    CHECK(g.half() == static_cast<std::uint32_t>(12864169557245331597u));

    numpy_generator u(12345678901);
    CHECK(u.uniform() == 0.8361377783790088);
    CHECK(u.uniform() == 0.3167040550006629);

    std::vector<int> q(12);
    std::iota(q.begin(), q.end(), 0);
    numpy_generator((std::uint64_t{1} << 40) + 7).shuffle(q);
    CHECK(q == std::vector<int>{8, 2, 6, 1, 11, 9, 3, 7, 4, 5, 0, 10});
    numpy_generator wide(1);
    for (int i = 0; i != 100; ++i)
        REQUIRE(wide.interval(std::uint64_t{1} << 40) <= std::uint64_t{1} << 40);
    CHECK(wide.interval(0) == 0);
}

TEST_CASE("numpy: normal numbers of RandomState") {
    numpy_random_state s(1234);
    for (auto const expected : {0.47143516373249306, -1.1909756947064645, 1.4327069684260973, -0.3126518960917129,
                                -0.7205887333650116, 0.8871629403077386})
        CHECK(s.normal() == Approx(expected).epsilon(1e-15));
}

TEST_CASE("markllm: numbers and permutations of its own Mersenne Twister") {
    markllm_mersenne g(42);
    CHECK(g.uniform() == 0.37454011430963874);
    CHECK(g.uniform() == 0.7965429842006415);
    g.skip(18);
    CHECK(permutation(g, 30) == words{17, 23, 10, 11, 18, 22, 3,  5,  6, 2,  25, 7,  15, 14, 28,
                                      20, 9,  26, 12, 8,  19, 16, 21, 4, 13, 24, 27, 29, 0,  1});
}

TEST_CASE("sha256: the examples of the standard") {
    CHECK(hash_of("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(hash_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(hash_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")
          == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK(hash_of(std::string(1'000'000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    sha256 parts;
    parts.add(std::uint64_t{0x6867666564636261});
    CHECK(hex(parts.value()) == hash_of("abcdefgh"));
}

} // namespace
