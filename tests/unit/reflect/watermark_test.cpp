// Options and results of sentence-level watermarks as data.
#include <lathe/reflect/watermark.hpp>

#include <catch.hpp>

namespace {
namespace reflect = lathe::reflect;
namespace watermark = lathe::watermark;
using lathe_test::contains;
using reflect::json;
} // namespace

TEMPLATE_TEST_CASE("option structs of watermarks: defaults survive JSON, every field is described", "",
                   watermark::cohemark_options, watermark::keyed_cohemark_options, watermark::semstamp_options,
                   watermark::simmark_options, watermark::hammingmark_options, watermark::sampling_options,
                   watermark::detection_options, watermark::sequential_options, watermark::dynamic_threshold_options,
                   watermark::rank_rule) {
    auto const written = reflect::to_json(TestType{});
    CHECK(reflect::to_json(reflect::options_from<TestType>(written)) == written);
    for (auto const & field : reflect::describe<TestType>())
        CHECK_FALSE(field.text.empty());
    CHECK_THROWS_AS(reflect::options_from<TestType>(json{{"no_such_option", 1}}), lathe::option_error);
}

TEST_CASE("what is set survives, and mistakes are named") {
    auto const o = reflect::options_from<watermark::cohemark_options>(
        json::parse(R"({"fuzzifier": 1.055, "rule": {"primary": [1, 3, 5], "relief": [2], "streak_limit": 3}})"));
    REQUIRE(o.rule);
    CHECK(*o.rule == watermark::rank_rule{{1, 3, 5}, {2}, 1, 3});
    CHECK(o.fuzzifier == 1.055);
    CHECK_THROWS_WITH(reflect::options_from<watermark::sampling_options>(json::parse(R"({"at_budget": "take_lats"})")),
                      contains("at_budget"));
    watermark::sentence_evidence e;
    e.step.region = 5;
    CHECK(reflect::to_json(e)["step"]["region"] == 5);
    CHECK(reflect::to_json(watermark::sentence_evidence{})["step"]["region"].is_null());
    CHECK(reflect::to_json(watermark::document_score{})["ratio"].dump() == "null"); // NaN
}
