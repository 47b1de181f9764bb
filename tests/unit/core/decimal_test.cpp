#include <lathe/core/decimal.hpp>

#include <catch.hpp>

#include <clocale>
#include <limits>
#include <utility>

using lathe::parse_decimal;

TEST_CASE("a decimal number is the double nearest to it") {
    using limits = std::numeric_limits<double>;
    for (auto const & [text, value] : {std::pair<char const *, double>{"0", 0},
                                       {"00012", 12},
                                       {"-1.5", -1.5},
                                       {".5", 0.5},
                                       {"2.", 2},
                                       {"-.5E+1", -5},
                                       {"1e-3", 1e-3},
                                       {"0.1", 0.1},
                                       {"9007199254740993", 9007199254740992.0},
                                       {"9007199254740993.00000000000000000000000001", 9007199254740994.0},
                                       {"1.7976931348623158e308", limits::max()},
                                       {"2.2250738585072011e-308", 0x0.fffffffffffffp-1022},
                                       {"4e-324", limits::denorm_min()},
                                       {"2e-324", 0},
                                       {"1e-99999999999999999999", 0},
                                       {"0e99999999999999999999", 0}}) {
        CAPTURE(text);
        auto const found = parse_decimal(text);
        REQUIRE(found);
        CHECK(*found == value);
    }
    for (auto const * const text : {"-0", "-0.0", "-1e-400"})
        CHECK((parse_decimal(text) == 0.0 && std::signbit(*parse_decimal(text))));
}

TEST_CASE("what is not a decimal number, or larger than any double, is none") {
    for (auto const * const text :
         {"",    "-",   ".",        "-.",   "e5",  "1e",     "1e+",   "1e-",
          "+1",  " 1",  "1 ",       "1x",   "1,5", "1.5.",   "0x1",   "0x1p3",
          "--1", "1_0", "infinity", "-inf", "nan", "nan(1)", "1e400", "1.7976931348623159e308"}) {
        CAPTURE(text);
        CHECK_FALSE(parse_decimal(text));
    }
    CHECK_FALSE(parse_decimal(std::string_view{"1\0002", 3}));
}

TEST_CASE("the point is a point in every locale") {
    std::string const before = std::setlocale(LC_NUMERIC, nullptr);
    for (auto const * const name : {"de_DE.UTF-8", "fr_FR.UTF-8", "da_DK.UTF-8"}) // those that are installed
        if (std::setlocale(LC_NUMERIC, name) != nullptr) {
            CHECK(parse_decimal("0.5") == 0.5);
            CHECK_FALSE(parse_decimal("0,5"));
        }
    std::setlocale(LC_NUMERIC, before.c_str());
    CHECK(parse_decimal("0.5") == 0.5);
}
