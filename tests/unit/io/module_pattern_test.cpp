#include <lathe/io/module_pattern.hpp>

#include <catch.hpp>

#include <chrono>

using namespace lathe;
using lathe_test::contains;

namespace {
bool matches(std::string const & pattern, std::string const & name) {
    return io::module_pattern(pattern, "target_modules").matches(name);
}
} // namespace

TEST_CASE("a pattern has to match the whole name", "[peft]") {
    CHECK(matches(".*\\.(q|v)_proj", "model.layers.0.q_proj"));
    CHECK(!matches(".*\\.(q|v)_proj", "model.layers.0.k_proj"));
    CHECK(!matches("q_proj", "model.q_proj"));
    CHECK(!matches("q", "qq"));
    CHECK(matches("layers\\.[0-3]\\.[a-z]+", "layers.2.q"));
    CHECK(matches("(?!.*lm_head).*proj", "model.q_proj"));
    CHECK(!matches("(?!.*lm_head).*proj", "lm_head.q_proj"));
    CHECK(matches("(?:a|b){2,3}", "aba"));
    CHECK(matches("\\{9\\}", "{9}"));
    CHECK(matches("\\\\1", "\\1"));
}

TEST_CASE("patterns that are none, or too large, are refused with their place", "[peft]") {
    for (auto const & pattern :
         {std::string{"("}, std::string{"[z-a]"}, std::string{"a{2,1}"}, std::string{"*"}, std::string{"(a)\\1"},
          std::string{"a{99999}"}, std::string{"((a{30}){30}){30}"}, std::string{"(a?){1000}"}, std::string(257, 'a'),
          std::string{"(?=a)(?=a)(?!b)(?=a)a"}, std::string{"x{99999999999999999999}"},
          std::string{"a\\22222222222222222222"}, std::string{"\\"}, std::string{"a\\\\\\"}}) {
        CAPTURE(pattern.substr(0, 40));
        CHECK_THROWS_AS(matches(pattern, "a"), format_error);
    }
    CHECK_THROWS_WITH(matches("(", "a"), contains("target_modules"));
    CHECK_THROWS_AS(matches("a*", std::string(513, 'a')), format_error);
}

TEST_CASE("no pattern takes long, or much of the stack", "[peft]") {
    auto const since = std::chrono::steady_clock::now();
    std::string const name(512, 'a');
    std::string stars;
    for (int i = 0; i != 60; ++i)
        stars += "(a*)";
    for (auto const & pattern : {std::string{"(a*)*b"}, std::string{"(a|aa)+b"}, std::string{"((a*)*)*((a*)*)*b"},
                                 stars + "b", std::string(100, '(') + "a" + std::string(100, ')') + "*b",
                                 std::string{"((?=((?=((?=.*a).)*b).)*b).)*b"}, std::string{"(a?){400}b"}})
        CHECK(!matches(pattern, name));
    CHECK(std::chrono::steady_clock::now() - since < std::chrono::seconds(60)); // some 0.5 s, without sanitizers
}
