// Host backends share kernels and sums, so xtensor gives the bits of Eigen; only factorisations and products differ.
#include <lathe/backend/xtensor.hpp>
#include <lathe/merge/dare.hpp>
#include <lathe/merge/frank_wolfe.hpp>
#include <lathe/merge/quadratic.hpp>
#include <lathe/merge/slerp.hpp>
#include <lathe/merge/spectral.hpp>
#include <lathe/merge/ties.hpp>

#include "models.hpp"

namespace {
using namespace lathe_test;

/// Runs run(be, sink) on both, with other numbers of threads.
template <class Run> void with_both(Run && run, double tolerance = 0) {
    eigen_backend eigen(1);
    xtensor_backend xtensor(3);
    memory_checkpoint from_eigen, from_xtensor;
    run(eigen, from_eigen);
    run(xtensor, from_xtensor);
    if (tolerance != 0)
        return check_alike(from_xtensor, from_eigen, tolerance);
    REQUIRE(std::ranges::equal(from_xtensor.tensors(), from_eigen.tensors()));
    for (std::size_t i = 0; i != from_eigen.tensors().size(); ++i) {
        CAPTURE(from_eigen.tensors()[i].name);
        CHECK(std::ranges::equal(from_xtensor.bytes(i), from_eigen.bytes(i)));
    }
}
} // namespace

TEST_CASE("merges on xtensor are the merges on Eigen, to the bit", "[xtensor]") {
    models m(3), pair(2);
    auto const pool = m.pool(), two = pair.pool();
    with_both([&](auto & be, auto & sink) { merge::linear(be, pool, sink, {.weights = {0.5, 2.0, -0.25}}); });
    with_both([&](auto & be, auto & sink) { merge::ties(be, pool, sink, {.density = {0.3}}); });
    with_both([&](auto & be, auto & sink) { merge::dare(be, pool, sink, {.drop = 0.4, .seed = 5}); });
    with_both([&](auto & be, auto & sink) { merge::slerp(be, two, sink, {.t = 0.3}); });
    with_both([&]<class B>(B & be, auto & sink) {
        merge::quadratic_distance<B, float> to_base(lathe::parameter_layout::of(pool), m.base());
        merge::frank_wolfe(be, pool, to_base, sink, {.iters = 7});
    });
}

TEST_CASE("spectral merges on xtensor are those on Eigen up to rounding", "[xtensor]") {
    models m(2);
    auto const pool = m.pool();
    with_both([&](auto & be, auto & sink) { merge::iso_c(be, pool, sink); }, 1e-5);
}
