// Attacks on marked texts: what they keep, how often, and that a seed says it all.
#include <catch.hpp>

#include <lathe/watermark/attacks.hpp>

#include <limits>
#include <set>

using namespace lathe;
using namespace lathe::watermark;

namespace {
using positions = std::vector<std::size_t>;
}

TEST_CASE("words are what white space separates", "[attacks]") {
    using words = std::vector<std::string_view>;
    CHECK(words_of(" a\tb\n\xc2\xa0 c\xe3\x80\x80"
                   "d\x1c")
          == words{"a", "b", "c", "d"});
    CHECK(words_of("\xff \xc2") == words{"\xff", "\xc2"});
    CHECK(words_of("").empty());
    CHECK(words_of("  ").empty());
    CHECK(words_of("\xe2\x80\x8b").size() == 1); // the zero-width space is none
}

TEST_CASE("deletion", "[attacks]") {
    CHECK(surviving(5, 0, 1) == positions{0, 1, 2, 3, 4});
    CHECK(surviving(5, 1, 1).empty());
    CHECK(surviving(0, 0.5, 1).empty());
    auto const kept = surviving(100000, 0.3, 7);
    CHECK(std::abs(static_cast<double>(kept.size()) - 70000) < 5 * std::sqrt(100000 * 0.21));
    CHECK(std::ranges::is_sorted(kept));
    CHECK(kept == surviving(100000, 0.3, 7));
    CHECK(kept != surviving(100000, 0.3, 8));
    // A higher rate deletes more of the same, a longer list the same of its beginning.
    auto const fewer = surviving(100000, 0.6, 7);
    CHECK(std::ranges::includes(kept, fewer));
    auto const longer = surviving(100001, 0.3, 7);
    CHECK(std::ranges::equal(kept, std::span{longer}.first(kept.size())));
    CHECK(delete_words(" one  two\nthree ", 0, 3) == "one two three");
    CHECK(delete_words("one two", 1, 3).empty());
    for (double const rate : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()}) {
        CHECK_THROWS_AS(surviving(3, rate, 0), option_error);
        CHECK_THROWS_AS(swapped(3, rate, 0), option_error);
        CHECK_THROWS_AS(copy_pasted(3, 9, 0, {.rate = rate}), option_error);
    }
}

TEST_CASE("exchange of neighbours", "[attacks]") {
    CHECK(swapped(5, 1, 2) == positions{1, 0, 3, 2, 4});
    CHECK(swapped(4, 0, 2) == positions{0, 1, 2, 3});
    CHECK(swapped(1, 1, 2) == positions{0});
    CHECK(swapped(0, 1, 2).empty());
    auto const order = swapped(1000, 0.4, 11);
    CHECK(order == swapped(1000, 0.4, 11));
    auto sorted = order;
    std::ranges::sort(sorted);
    std::size_t moved = 0;
    for (std::size_t i = 0; i != order.size(); ++i) {
        CHECK(sorted[i] == i);
        CHECK(std::max(order[i], i) - std::min(order[i], i) <= 1);
        moved += order[i] != i ? 1u : 0u;
    }
    // A renewal process: 2 of every 1/rate + 1 places are moved.
    CHECK(std::abs(static_cast<double>(moved) - 2000 / (1 / 0.4 + 1)) < 60);
}

TEST_CASE("copy and paste", "[attacks]") {
    for (std::uint64_t seed = 0; seed != 50; ++seed) {
        auto const mixed = copy_pasted(10, 40, seed, {.rate = 0.6, .pieces = 3});
        REQUIRE(mixed.size() == 25);
        std::vector<std::size_t> own, other;
        std::size_t runs = 0;
        for (std::size_t i = 0; i != mixed.size(); ++i) {
            (mixed[i].from_other ? other : own).push_back(mixed[i].position);
            runs += !mixed[i].from_other && (i == 0 || mixed[i - 1].from_other) ? 1u : 0u;
        }
        CHECK(own == positions{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
        REQUIRE(other.size() == 15);
        for (std::size_t i = 0; i != other.size(); ++i)
            CHECK(other[i] == other[0] + i);
        CHECK(other.back() < 40);
        CHECK(runs <= 3);
        CHECK(mixed == copy_pasted(10, 40, seed, {.rate = 0.6, .pieces = 3}));
    }
    std::set<std::size_t> starts; // every passage comes up
    for (std::uint64_t seed = 0; seed != 200; ++seed)
        for (auto const & p : copy_pasted(1, 4, seed, {.rate = 0.5, .pieces = 9}))
            if (p.from_other)
                starts.insert(p.position);
    CHECK(starts.size() == 4);
    CHECK(copy_pasted(3, 0, 1, {.rate = 0}) == std::vector<mixed_position>{{false, 0}, {false, 1}, {false, 2}});
    CHECK_THROWS_AS(copy_pasted(10, 9, 1, {.rate = 0.5}), mismatch_error);
    CHECK_THROWS_AS(copy_pasted(10, 9, 1, {.rate = 1}), option_error);
    CHECK_THROWS_AS(copy_pasted(10, 9, 1, {.rate = 0.1, .pieces = 0}), option_error);
    CHECK_THROWS_AS(copy_pasted(0, 9, 1), option_error);
    std::vector<int> const a{1, 2, 3}, b{7, 8};
    CHECK(at_positions<int>(a, positions{2, 0}) == std::vector{3, 1});
    CHECK(at_positions<int>(a, b, std::vector<mixed_position>{{true, 1}, {false, 0}}) == std::vector{8, 1});
}

TEST_CASE("truncation", "[attacks]") {
    std::string_view const text = " one  two\nthree ";
    CHECK(first_words(text, 2) == " one  two");
    CHECK(first_words(text, 0).empty());
    CHECK(first_words(text, 3) == text);
    CHECK(without_first_words(text, 0) == "one  two\nthree ");
    CHECK(without_first_words(text, 1) == "two\nthree ");
    CHECK(without_first_words(text, 3).empty());
}
