// Projection on the simplex: the conditions that define it, invariances, errors.
#include "polytope.hpp"
#include <catch.hpp>

#include <lathe/merge/simplex.hpp>

#include <numeric>

using namespace lathe;

TEMPLATE_TEST_CASE("the projection satisfies the conditions of the nearest point", "[simplex]", float, double) {
    auto const eps = static_cast<double>(std::numeric_limits<TestType>::epsilon());
    for (std::uint32_t seed = 0; seed != 50; ++seed) {
        auto const raw = lathe_test::numbers(7, seed, 1 + seed % 9);
        std::vector<TestType> v;
        for (auto const x : raw)
            v.push_back(static_cast<TestType>(3 * x));
        auto w = v;
        merge::project_simplex<TestType>(w);
        double sum = 0, threshold = -std::numeric_limits<double>::infinity();
        for (std::size_t i = 0; i != v.size(); ++i) {
            CHECK(w[i] >= 0);
            sum += static_cast<double>(w[i]);
            if (w[i] > 0)
                threshold = std::max(threshold, static_cast<double>(v[i]) - static_cast<double>(w[i]));
        }
        CHECK(sum == Approx(1).epsilon(16 * eps));
        // v - w is one number on the support and no greater off it: then no point of the simplex is nearer.
        for (std::size_t i = 0; i != v.size(); ++i) {
            if (w[i] > 0)
                CHECK(static_cast<double>(v[i]) - static_cast<double>(w[i]) == Approx(threshold).margin(16 * eps));
            else
                CHECK(static_cast<double>(v[i]) <= threshold + 16 * eps);
        }
        auto again = w;
        merge::project_simplex<TestType>(again);
        for (std::size_t i = 0; i != v.size(); ++i)
            CHECK(static_cast<double>(again[i]) == Approx(static_cast<double>(w[i])).margin(16 * eps));
    }
}

TEST_CASE("known projections", "[simplex]") {
    auto const project = [](std::vector<double> v) {
        merge::project_simplex<double>(v);
        return v;
    };
    CHECK(project({0, 0, 0, 0}) == std::vector{0.25, 0.25, 0.25, 0.25});
    CHECK(project({5, -3}) == std::vector{1.0, 0.0});
    CHECK(project({-7}) == std::vector{1.0});
    CHECK(project({0.5, 0.5, -1}) == std::vector{0.5, 0.5, 0.0});
    CHECK(project({0x1p40, 0x1p40 + 0.5}) == std::vector{0.25, 0.75}); // a large common part costs nothing
}

TEST_CASE("what cannot be projected", "[simplex]") {
    std::vector<double> none, bad{0, std::numeric_limits<double>::quiet_NaN()},
        far{std::numeric_limits<double>::infinity(), 0};
    CHECK_THROWS_AS(merge::project_simplex<double>(none), shape_error);
    CHECK_THROWS_AS(merge::project_simplex<double>(bad), non_finite_error);
    CHECK_THROWS_WITH(merge::project_simplex<double>(far), lathe_test::contains("entry 0"));
}
