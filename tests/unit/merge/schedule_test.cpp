// Schedules: values by name and depth, and the depths that names tell.
#include "polytope.hpp"
#include <catch.hpp>

#include <lathe/merge/schedule.hpp>

using namespace lathe;
using lathe_test::contains;
using merge::evaluate;
using merge::layer_of;
using merge::schedule;

TEST_CASE("a number is the same everywhere", "[schedule]") {
    schedule const s = 0.25;
    CHECK(evaluate(s, "a", 0) == 0.25);
    CHECK(evaluate(s, "b", 1) == 0.25);
}

TEST_CASE("a gradient is linear between nodes spread over the depth", "[schedule]") {
    schedule const s = schedule::gradient{0, 0.5, 0.3, 0.7, 1};
    CHECK(evaluate(s, "a", 0) == 0.0);
    CHECK(evaluate(s, "a", 0.5) == 0.3);
    CHECK(evaluate(s, "a", 1) == 1.0);
    CHECK(evaluate(s, "a", 1.0 / 3).value() == Approx(0.4333333333333333));
    CHECK(evaluate(schedule(schedule::gradient{7}), "a", 0.4) == 7.0);
    CHECK_THROWS_WITH(evaluate(schedule(schedule::gradient{}), "a", 0), contains("gradient"));
    for (double const t : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()})
        CHECK_THROWS_AS(evaluate(s, "a", t), option_error);
}

TEST_CASE("the first filter that fits decides", "[schedule]") {
    std::vector<schedule::filtered> choices{{"attn", 1.0}, {"mlp", schedule::gradient{2, 4}}, {"*", 5.0}};
    CHECK(evaluate(schedule(choices), "layers.0.attn.mlp", 1) == 1.0);
    CHECK(evaluate(schedule(choices), "layers.0.mlp.up", 0.5) == 3.0);
    CHECK(evaluate(schedule(choices), "norm", 0) == 5.0);
    choices[2].filter = std::nullopt;
    CHECK(evaluate(schedule(choices), "norm", 0) == 5.0);
    choices.pop_back();
    CHECK(evaluate(schedule(choices), "norm", 0) == std::nullopt);
}

TEST_CASE("a map gives values by name and nothing else", "[schedule]") {
    schedule const s = std::map<std::string, double>{{"a", 1}, {"b", 2}};
    CHECK(evaluate(s, "b", 0) == 2.0);
    CHECK(evaluate(s, "c", 0) == std::nullopt);
}

TEST_CASE("layers are told by the first number in a name", "[schedule]") {
    auto const at = layer_of("model.layers.12.mlp.3.weight");
    REQUIRE(at);
    CHECK(at->stack == "model.layers.");
    CHECK(at->index == 12);
    CHECK(layer_of("h10.4.w")->index == 4);
    CHECK(layer_of("7")->stack.empty());
    CHECK(layer_of("a..0")->index == 0);
    for (auto const * const name :
         {"", ".", "lm_head.weight", "h1.w2", "layers.x1", "layers.-1.w", "layers.99999999999999999999.w"})
        CHECK_FALSE(layer_of(name));
}

TEST_CASE("depth is the index over the number of layers, stack by stack", "[schedule]") {
    std::vector<std::string> const names{"encoder.0.w",  "encoder.1.w", "encoder.2.w", "decoder.0.w",
                                         "decoder.10.w", "decoder.2.w", "only.0.w",    "norm"};
    merge::layer_depths const depth(names);
    CHECK(depth("encoder.0.b") == 0);
    CHECK(depth("encoder.1.w") == 0.5);
    CHECK(depth("encoder.2.w") == 1);
    CHECK(depth("decoder.10.w") == 1);
    CHECK(depth("decoder.2.w") == Approx(0.2));
    CHECK(depth("only.0.w") == 1);
    CHECK(depth("norm") == 0);
    CHECK(depth("elsewhere.3.w") == 0);
}

TEST_CASE("a table has a value for every model and row, or says what is missing", "[schedule]") {
    lathe_test::models m(1, 2);
    merge::model_pool const pool(nullptr, m.pointers);
    merge::schedule_table const one("t", {3.0}, pool, std::nullopt), two("t", {1.0, 2.0}, pool, std::nullopt),
        none("t", {}, pool, 4.0);
    CHECK(one[0][1] == 3);
    CHECK(two[2][0] == 1);
    CHECK(two[2][1] == 2);
    CHECK(none[0][0] == 4);
    CHECK_THROWS_WITH(merge::schedule_table("w", {1.0, 1.0, 1.0}, pool, std::nullopt), contains("w: found 3 values"));
    schedule const some = std::map<std::string, double>{{"a.weight", 1}};
    CHECK_THROWS_WITH(merge::schedule_table("w", {1.0, some}, pool, std::nullopt),
                      contains("w[1]") && contains("'b.bias'"));
    CHECK(merge::schedule_table("w", {1.0, some}, pool, 9.0)[1][1] == 9);
    CHECK_THROWS_WITH(merge::schedule_table("w", {std::numeric_limits<double>::infinity()}, pool, std::nullopt),
                      contains("inf"));
}
