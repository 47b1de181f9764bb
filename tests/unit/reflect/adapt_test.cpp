// Options of adaptation as data.
#include <catch.hpp>

#include <lathe/reflect/adapt.hpp>

using namespace lathe;
using lathe_test::contains;

TEST_CASE("options of adaptation: there and back, and what is unknown", "[reflect]") {
    adapt::kasa_options const kasa{.dialect = adapt::kasa_dialect::authors,
                                   .rule = adapt::scaling_rule::rslora,
                                   .svd = {.tolerance = 1e-9, .arithmetic = linalg::arithmetic::same}};
    auto const j = reflect::to_json(kasa);
    CHECK(j["dialect"] == "authors");
    CHECK(j["svd"]["arithmetic"] == "same");
    auto const back = reflect::options_from<adapt::kasa_options>(j);
    CHECK(back.dialect == kasa.dialect);
    CHECK(back.rule == kasa.rule);
    CHECK(back.svd.tolerance == 1e-9);
    CHECK(reflect::to_json(back) == j);
    CHECK_THROWS_WITH(reflect::options_from<adapt::kasa_options>({{"gama", 1u}}), contains("gamma"));
    CHECK_THROWS_WITH(reflect::options_from<adapt::kasa_options>({{"svd", {{"tolerence", 1}}}}),
                      contains("svd.tolerence") && contains("tolerance"));
    CHECK_THROWS_WITH(reflect::options_from<adapt::lora_options>({{"rule", "half"}}), contains("lora|rslora"));

    auto const combine = reflect::options_from<adapt::combine_options>(
        {{"kind", "dare_ties_svd"}, {"weights", {0.5, -1}}, {"masks_a", {{1u, 0u}, {0u, 1u}}}});
    CHECK(combine.kind == adapt::combination::dare_ties_svd);
    CHECK(combine.weights == std::vector<double>{0.5, -1});
    CHECK(combine.masks_a == std::vector<std::vector<unsigned char>>{{1, 0}, {0, 1}});
}

TEST_CASE("every option of adaptation has a help text", "[reflect]") {
    CHECK(reflect::describe<adapt::extract_options>().size() == 5);
    CHECK(reflect::describe<adapt::loftq_options>().size() == 5);
    CHECK(reflect::describe<adapt::adalora_options>().size() == 11);
    auto const fields = reflect::describe<adapt::spectral_options>();
    REQUIRE(fields.size() == 4);
    CHECK(fields[2].kind == reflect::field_kind::group);
    CHECK(fields[2].fields.size() == 5);
}
