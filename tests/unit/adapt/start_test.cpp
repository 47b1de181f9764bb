// The beginning of adapters, weight by weight: what differs between weights, and embeddings.
#include "../linalg/matrices.hpp"
#include <catch.hpp>

#include <lathe/adapt/start.hpp>

using namespace lathe;

TEST_CASE("options of one weight: its alpha, and random numbers of its own", "[adapt]") {
    adapt::lora_options const all{.alpha = 1, .seed = 5};
    auto const a = adapt::for_weight(all, "layers.0", 4, 8), b = adapt::for_weight(all, "layers.1", 4, 8);
    CHECK(a.alpha == 8);
    CHECK(a.seed == (5 ^ random::fnv1a("layers.0")));
    CHECK(a.seed != b.seed);
    CHECK(adapt::for_weight(adapt::adalora_options{}, "x", 7, 3).initial_rank == 7);
    auto const sketch = adapt::for_weight(adapt::pissa_fast_options{}, "x", 7, 3);
    CHECK(sketch.alpha == 3);
    CHECK(sketch.sketch.seed == random::fnv1a("x"));
    CHECK(adapt::for_weight(adapt::melora_options{.ranks = {1, 2}}, "x", 7, 3).ranks == std::vector<std::size_t>{1, 2});
}

TEST_CASE("LoRA of an embedding: A is 0, B normal", "[adapt]") {
    lathe_test::plain_backend<> be;
    auto f = adapt::lora_embedding<double>(be, 200, 30, 50, {.alpha = 25, .seed = 3});
    CHECK(f.scaling == 0.5);
    CHECK(f.outputs == 200);
    CHECK(f.inputs == 30);
    double sum = 0, squares = 0;
    for (std::size_t i = 0; i != 50; ++i)
        for (std::size_t j = 0; j != 30; ++j)
            CHECK(f.a().row(i).data[static_cast<std::ptrdiff_t>(j)] == 0);
    for (std::size_t i = 0; i != 200; ++i)
        for (std::size_t j = 0; j != 50; ++j) {
            auto const x = f.b().row(i).data[static_cast<std::ptrdiff_t>(j)];
            sum += x;
            squares += x * x;
        }
    CHECK(std::abs(sum / 10000) < 0.05);
    CHECK(std::abs(squares / 10000 - 1) < 0.06);
    CHECK_THROWS_AS(adapt::lora_embedding<double>(be, 20, 30, 0), option_error);
}
