#include <lathe/reflect/options.hpp>

#include <catch.hpp>

namespace reflect = lathe::reflect;
using lathe_test::contains;
using reflect::json;

namespace {
enum class colour : unsigned char { red, dark_green, blue };
struct inner_options {
    double rate = 0.5;
    std::optional<double> limit;
};
struct outer_options {
    double scale = 1;
    std::size_t steps = 10;
    std::uint8_t small = 7;
    bool quick = false;
    colour paint = colour::dark_green;
    std::string name = "x";
    std::vector<double> weights;
    std::vector<colour> palette;
    std::optional<double> threshold = 0.25;
    std::optional<std::vector<double>> list;
    std::optional<inner_options> extra;
    inner_options inner;
    std::map<std::string, double> by_name;
};
struct single_result {
    std::vector<std::vector<double>> rows;
};
} // namespace

BOOST_HANA_ADAPT_STRUCT(inner_options, rate, limit);
BOOST_HANA_ADAPT_STRUCT(outer_options, scale, steps, small, quick, paint, name, weights, palette, threshold, list,
                        extra, inner, by_name);
BOOST_HANA_ADAPT_STRUCT(single_result, rows);
template <>
inline constexpr auto lathe::reflect::help<inner_options> =
    lathe::reflect::help_table({{"rate", "first text"}, {"limit", "second text"}});

// What keeps a description complete.
static_assert(reflect::field_count<outer_options>() == 13 && reflect::field_count<inner_options>() == 2);
static_assert(reflect::field_count<single_result>() == 1);
static_assert(reflect::documented_options<inner_options>);
static_assert(reflect::reflected<outer_options> && !reflect::documented_options<outer_options>, "no help texts");
static_assert(!reflect::reflected<double> && !reflect::reflected<std::string>);
static_assert(reflect::enumerators<colour>.size() == 3);
static_assert(reflect::name_of(colour::dark_green) == "dark_green" && reflect::name_of(static_cast<colour>(3)).empty());
static_assert(reflect::enumerator_named<colour>("blue") == colour::blue && !reflect::enumerator_named<colour>("green"));

namespace {
/// The message of the option_error that reading `text` over the defaults throws; empty if it throws none.
std::string problem(char const * text) {
    try {
        static_cast<void>(reflect::options_from<outer_options>(json::parse(text)));
    } catch (lathe::option_error const & e) {
        return e.what();
    }
    return {};
}
} // namespace

TEST_CASE("options: every field goes to JSON and comes back") {
    outer_options o{.scale = 0.1,
                    .steps = 3,
                    .small = 255,
                    .quick = true,
                    .paint = colour::blue,
                    .name = "\u00e9",
                    .weights = {1, -0.3},
                    .palette = {colour::red},
                    .threshold = {},
                    .list = std::vector<double>{},
                    .extra = inner_options{1e-300, 2.0},
                    .inner = {},
                    .by_name = {{"a.b", 1.5}}};
    auto const j = reflect::to_json(o);
    CHECK(j.dump()
          == "{\"scale\":0.1,\"steps\":3,\"small\":255,\"quick\":true,\"paint\":\"blue\",\"name\":\"\u00e9\","
             "\"weights\":[1.0,-0.3],\"palette\":[\"red\"],"
             "\"threshold\":null,\"list\":[],\"extra\":{\"rate\":1e-300,\"limit\":2.0},\"inner\":{\"rate\":0.5,"
             "\"limit\":null},\"by_name\":{\"a.b\":1.5}}");
    CHECK(reflect::to_json(reflect::options_from<outer_options>(json::parse(j.dump()))) == j);
}

TEST_CASE("options: what is not given keeps its default, null unsets") {
    auto const o = reflect::options_from<outer_options>(
        json::parse(R"({"threshold": null, "scale": null, "steps": 1e3, "extra": {}})"));
    CHECK_FALSE(o.threshold);
    CHECK(o.scale == 1);
    CHECK(o.steps == 1000);
    CHECK(o.extra->rate == 0.5);
    CHECK(reflect::options_from<outer_options>(json::object()).threshold == 0.25);
}

TEST_CASE("options: errors name the option, what was found and what was expected") {
    CHECK(problem(R"({"scal": 1})") == "scal: unknown option; did you mean 'scale'?");
    CHECK(problem(R"({"inner": {"limt": 1}})") == "inner.limt: unknown option; did you mean 'limit'?");
    CHECK_THAT(problem(R"({"something_else": 1})"), contains("unknown option; known: scale, steps"));
    CHECK(problem(R"({"scale": "1"})") == "scale: found \"1\", expected a number");
    CHECK(problem(R"({"steps": -1})") == "steps: found -1, expected an integer from 0 to 18446744073709551615");
    CHECK(problem(R"({"steps": 1.5})") == "steps: found 1.5, expected an integer from 0 to 18446744073709551615");
    CHECK(problem(R"({"small": 256})") == "small: found 256, expected an integer from 0 to 255");
    CHECK(problem(R"({"quick": 1})") == "quick: found 1, expected true or false");
    CHECK(problem(R"({"paint": "green"})") == "paint: found \"green\", expected one of red|dark_green|blue");
    CHECK(problem(R"({"paint": 1})") == "paint: found 1, expected one of red|dark_green|blue");
    CHECK(problem(R"({"weights": [1, null]})") == "weights[1]: found null, expected a number");
    CHECK(problem(R"({"weights": 1})") == "weights: found 1, expected a list of numbers");
    CHECK(problem(R"({"extra": {"rate": []}})") == "extra.rate: found [], expected a number");
    CHECK(problem(R"({"by_name": {"k": "v"}})") == "by_name['k']: found \"v\", expected a number");
    CHECK(problem("[]") == "options: found [], expected an object");
    CHECK_THAT(problem(("{\"scale\": \"" + std::string(1000, 'x') + "\"}").c_str()),
               contains("xxx..., expected a number"));
}

TEST_CASE("options: an error leaves the value as it was") {
    outer_options o;
    CHECK_THROWS_AS(reflect::from_json(json::parse(R"({"scale": 2, "weights": [1, "x"]})"), o), lathe::option_error);
    CHECK(o.scale == 1);
    CHECK(o.weights.empty());
}

TEST_CASE("options: what a person types becomes JSON") {
    using reflect::codec;
    CHECK(codec<double>::parse("-1e-3") == json(-1e-3));
    CHECK(codec<double>::parse("1x") == json("1x"));
    CHECK(codec<double>::parse("nan") == json("nan"));
    CHECK(codec<double>::parse("inf") == json("inf"));
    CHECK(codec<double>::parse("0x10") == json("0x10"));
    CHECK(codec<double>::parse("1e400") == json("1e400"));
    CHECK(codec<std::size_t>::parse("12") == json(12));
    CHECK(codec<bool>::parse("true") == json(true));
    CHECK(codec<std::optional<double>>::parse("2") == json(2.0));
    CHECK(codec<std::vector<double>>::parse("1,-0.5, 2") == json::array({1.0, -0.5, 2.0}));
    CHECK(codec<std::vector<double>>::parse("[1, 2]") == json::array({1, 2}));
    CHECK(codec<std::vector<double>>::parse("").empty());
    CHECK(codec<colour>::parse("red") == json("red"));
    CHECK(codec<std::string>::parse("12") == json("12"));
}

TEST_CASE("options: JSON that is nested without end is a text") {
    std::string const levels(1'000'000, '[');
    for (auto const & text : {levels, levels + std::string(levels.size(), ']')}) // invalid, and valid
        CHECK(reflect::parse_json(text) == text);
    std::string const few(64, '[');
    CHECK(reflect::parse_json(few + std::string(64, ']')).is_array());
    CHECK(reflect::parse_json('[' + few + std::string(65, ']')).is_string());
}

TEST_CASE("options: a description holds names, texts, types and defaults") {
    auto const all = reflect::describe<inner_options>();
    REQUIRE(all.size() == 2);
    CHECK(all[0].name == "rate");
    CHECK(all[0].text == "first text");
    CHECK(all[0].type == "number");
    CHECK(all[0].value == json(0.5));
    CHECK(all[1].value.is_null());
    CHECK(all[1].parse("3") == json(3.0));
}

TEST_CASE("suggestions: near names only") {
    using reflect::edit_distance;
    CHECK(edit_distance("", "abc") == 3);
    CHECK(edit_distance("kitten", "sitting") == 3);
    CHECK(edit_distance("mask_rtae", "mask_rate") == 1);
    std::string_view const known[] = {"mask_rate", "merge_func", "scaling"};
    CHECK(reflect::nearest("mask_rat", known) == "mask_rate");
    CHECK(reflect::nearest("mask", known) == "mask_rate");
    CHECK(reflect::nearest("scalling", known) == "scaling");
    std::string_view const beginnings[] = {"start", "start_weights"};
    CHECK(reflect::nearest("start_weightss", beginnings) == "start_weights");
    CHECK(reflect::nearest("startt", beginnings) == "start");
    CHECK(reflect::nearest("threshold", known).empty());
    CHECK(reflect::suggestion("threshold", known) == "known: mask_rate, merge_func, scaling");
    CHECK(reflect::suggestion("x", {}) == "none is known");
}
