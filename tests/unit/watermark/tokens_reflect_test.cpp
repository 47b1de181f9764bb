// Detectors by name.
#include <lathe/reflect/watermark_tokens.hpp>

#include "tokens_model.hpp"

using namespace lathe_test;

TEST_CASE("token methods: by name, with options from JSON", "[watermark][tokens][reflect]") {
    CHECK(reflect::token_methods().size() == 13);
    for (auto const & m : reflect::token_methods()) {
        CHECK(m.describe().front().name == "vocabulary");
        auto options = reflect::json{{"vocabulary", 97u}};
        if (m.name == "synthid")
            options["keys"] = {1u, 2u, 3u};
        auto const d = reflect::make_token_detector(m.name, options);
        CHECK(d.method == m.name);
        CHECK(d.needs == m.needs);
        CHECK(d.options.at("vocabulary") == 97);
        CHECK_THROWS_AS(reflect::make_token_detector(m.name, {}), option_error); // no vocabulary
        CHECK_THROWS_WITH(reflect::make_token_detector(m.name, {{"vocabulari", 97u}}), contains("vocabulary"));
        thread_pool pool(2);
        std::vector<wm::token_text> const texts(2);
        auto const found = d.detect(pool, texts);
        CHECK((found.size() == 2 && found[1].scored == 0));
        auto const j = reflect::to_json(found[0]);
        CHECK(j.at("score").dump() == "null");
        CHECK(j.at("watermarked") == false);
    }
    CHECK_THROWS_WITH(reflect::make_token_detector("kgv", {}), contains("kgw"));

    auto const text = plain_text({}, 50, 1);
    thread_pool pool(2);
    std::vector<wm::token_text> const texts{{text}};
    auto const d =
        reflect::make_token_detector("kgw", {{"vocabulary", 97u}, {"hash", "min"}, {"window", "self"}, {"prefix", 2u}});
    wm::kgw_options const o{
        .vocabulary = 97, .prefix = 2, .hash = wm::context_hash::min, .window = wm::hash_window::self};
    CHECK(same(d.detect(pool, texts)[0], wm::kgw_detector(o)({text})));
}
