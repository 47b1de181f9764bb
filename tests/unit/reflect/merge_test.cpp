#include <lathe/registry.hpp>

#include <catch.hpp>

#include <set>

namespace reflect = lathe::reflect;
namespace merge = lathe::merge;
using lathe_test::contains;
using reflect::json;

namespace {
merge::schedule read(char const * text) {
    merge::schedule s;
    reflect::codec<merge::schedule>::read(json::parse(text), s, "t");
    return s;
}
std::string problem(char const * text) {
    try {
        read(text);
    } catch (lathe::option_error const & e) {
        return e.what();
    }
    return {};
}
} // namespace

TEST_CASE("schedules: all their forms go to JSON and come back") {
    for (auto const * const text :
         {"0.25", "[0.0,0.5,1.0]", R"([{"filter":"mlp","value":[0.0,1.0]},{"value":0.5}])", R"({"a.b":0.5,"c":1.0})"})
        CHECK(reflect::codec<merge::schedule>::write(read(text)).dump() == text);
    CHECK(std::get<double>(read("2").value) == 2);
    CHECK(read(R"({"filter": 1})") == merge::schedule{std::map<std::string, double>{{"filter", 1.0}}});
    CHECK(evaluate(read(R"([{"filter": null, "value": 3}])"), "x", 0) == 3.0);
}

TEST_CASE("schedules: errors name the place") {
    CHECK_THAT(problem("[]"), contains("t: found [], expected a number, a list"));
    CHECK_THAT(problem("\"x\""), contains("t: found \"x\""));
    CHECK(problem("[1, \"x\"]") == "t[1]: found \"x\", expected a number");
    CHECK(problem(R"({"a": "x"})") == "t['a']: found \"x\", expected a number");
    CHECK(problem(R"([{"filter": "a"}])") == R"(t[0]: found {"filter":"a"}, expected an object {filter, value})");
    CHECK(problem(R"([{"value": 1, "fliter": "a"}])") == "t[0].fliter: unknown key, expected filter or value");
    CHECK(problem(R"([{"value": 1, "filter": 2}])") == "t[0].filter: found 2, expected a string");
    CHECK(problem(R"([{"value": []}])") == "t[0].value: found [], expected a number or a list of numbers");
    CHECK(problem(R"([{"value": 1}, 2])") == "t[1]: found 2, expected an object {filter, value}");
}

TEST_CASE("schedules: as a person types them") {
    using reflect::codec;
    CHECK(codec<merge::schedule>::parse("0.5") == json(0.5));
    CHECK(codec<merge::schedule>::parse("0,1") == json::array({0.0, 1.0}));
    CHECK(codec<merge::schedule>::parse(R"({"a": 1})") == json{{"a", 1}});
    CHECK(codec<std::vector<merge::schedule>>::parse("0.5,1") == json::array({0.5, 1.0}));
    CHECK(codec<std::vector<merge::schedule>>::parse("[[0, 1], 2]") == json::parse("[[0, 1], 2]"));
}

TEMPLATE_TEST_CASE("option structs of methods: defaults survive JSON, every field is described", "",
                   merge::average_options, merge::linear_options, merge::task_arithmetic_options, merge::ties_options,
                   merge::dare_options, merge::slerp_options, merge::fisher_options, merge::regmean_options,
                   merge::tsv_options, merge::iso_c_options, merge::iso_cts_options, merge::kinship_options,
                   merge::kinship_search_options, merge::frank_wolfe_options, merge::fw_merging_options,
                   merge::fw_merging_soft_options, merge::adamerging_options) {
    auto const j = reflect::to_json(TestType{});
    CHECK(reflect::to_json(reflect::options_from<TestType>(json::parse(j.dump()))) == j);
    auto const fields = reflect::describe<TestType>();
    CHECK(fields.size() == j.size());
    for (auto const & field : fields) {
        INFO(std::string{field.name});
        CHECK(j.at(std::string{field.name}) == field.value);
        CHECK_FALSE(field.text.ends_with('.'));
    }
}

TEST_CASE("registry: every method once, with a summary") {
    std::set<std::string_view> names;
    auto const look = [&]<class Method>(std::type_identity<Method>) {
        CHECK(names.insert(Method::name).second);
        CHECK_FALSE(Method::summary.empty());
        CHECK(reflect::documented_options<typename Method::options>);
    };
    lathe::registry::for_each_method(lathe::registry::merging_methods, look);
    lathe::registry::for_each_method(lathe::registry::objective_methods, look);
    CHECK(names.size() == 16);
    CHECK(names.contains("ties"));
    CHECK(names.contains("frank_wolfe"));
}
