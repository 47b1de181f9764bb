// The laws of every backend, asked of the supplied one: one thread, two, and three where blocks do not divide evenly.
#include <lathe/backend/eigen.hpp>

#include "check_conformance.hpp"

TEMPLATE_TEST_CASE("the Eigen backend obeys the laws", "[conformance]", float, double) {
    auto const threads = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{3});
    CAPTURE(threads);
    lathe::eigen_backend be(threads);
    lathe::testing::conformance_options options;
    options.large = threads == 2;
    lathe_test::check_conformance<lathe::eigen_backend, TestType>(be, options);
}

TEST_CASE("the Eigen backend copies what fits", "[ops]") {
    lathe::eigen_backend be;
    auto memory = be.allocate<float>(3);
    std::vector<float> longer(memory.view().n + 1);
    CHECK_THROWS_AS(be.upload(std::span<float const>{longer}, memory.view()), lathe::shape_error);
    CHECK_THROWS_AS(be.download<float>(memory.view(), std::span{longer}), lathe::shape_error);
}
