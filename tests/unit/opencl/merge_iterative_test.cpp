// Merges that iterate: Frank-Wolfe, FW-Merging hard and soft, AdaMerging.
#include <lathe/merge/fw_merging_soft.hpp>
#include <lathe/merge/quadratic.hpp>

#include "merge_test.hpp"
#include "task_distances.hpp"

namespace {
using namespace lathe_test;

auto const same_choices = [](auto const & found, auto const & expected) {
    REQUIRE(found.trace.size() == expected.trace.size());
    for (std::size_t t = 0; t != expected.trace.size(); ++t)
        CHECK(found.trace[t].chosen == expected.trace[t].chosen);
};
auto const same_end = [](auto const & found, auto const & expected) {
    CHECK(found.objective == Approx(expected.objective).margin(1e-9));
    REQUIRE(found.weights.size() == expected.weights.size());
    for (std::size_t b = 0; b != expected.weights.size(); ++b)
        for (std::size_t k = 0; k != expected.weights[b].size(); ++k)
            CHECK(found.weights[b][k] == Approx(expected.weights[b][k]).margin(1e-8));
};
} // namespace

TEST_CASE("Frank-Wolfe on OpenCL", "[opencl][merge]") {
    models m(4);
    auto const pool = m.pool();
    memory_checkpoint target;
    eigen_backend be;
    merge::linear(be, pool, target, {.weights = {0.5, 0.0, 0.3, 0.2}});
    for (auto const granularity : {merge::granularity::task, merge::granularity::layer})
        on_device_and_host([&]<class B>(B & backend, auto & sink) {
            merge::quadratic_distance<B, double> f(merge::parameter_layout::of(pool), target);
            return merge::frank_wolfe<double>(backend, pool, f, sink,
                                              {.method = merge::frank_wolfe_method::away,
                                               .step = merge::step_rule::exact,
                                               .granularity = granularity,
                                               .iters = 6,
                                               .gap_tolerance = 0});
        }, 1e-8, same_end);
    on_device_and_host([&]<class B>(B & backend, auto & sink) {
        merge::quadratic_distance<B, double> f(merge::parameter_layout::of(pool), m.base());
        return merge::frank_wolfe_gram<double>(backend, pool, f, sink, {.step = merge::step_rule::exact, .iters = 50});
    }, 1e-8, same_end);
}

TEST_CASE("FW-Merging on OpenCL", "[opencl][merge]") {
    models m(3);
    auto const pool = m.pool();
    for (auto const granularity : {merge::granularity::task, merge::granularity::layer})
        for (auto const merge_fn : {merge::fw_merge_fn::task_arithmetic, merge::fw_merge_fn::ties})
            on_device_and_host([&]<class B>(B & be, auto & sink) {
                merge::quadratic_distance<B, double> f(merge::parameter_layout::of(pool), m[1]);
                return merge::fw_merging<double>(be, pool, f, sink,
                                                 {.granularity = granularity, .merge_fn = merge_fn, .max_iters = 3});
            }, 1e-8, same_choices);
    on_device_and_host([&]<class B>(B & be, auto & sink) {
        distances<B> tasks(pool, m, 2);
        return merge::fw_merging_soft<double>(be, pool, tasks, sink,
                                              {.granularity = merge::granularity::layer, .max_iters = 3});
    }, 1e-8, same_choices);
}

TEST_CASE("AdaMerging on OpenCL", "[opencl][merge]") {
    models m(3);
    auto const pool = m.pool();
    for (auto const level : {merge::granularity::task, merge::granularity::layer})
        on_device_and_host([&]<class B>(B & be, auto & sink) {
            merge::quadratic_distance<B, double> f(merge::parameter_layout::of(pool), m[1]);
            return merge::adamerging<double>(be, pool, f, sink, {.level = level, .lr = 0.05, .steps = 5});
        }, 1e-7, [](auto const & found, auto const & expected) {
            for (std::size_t k = 0; k != expected.coefficients.size(); ++k)
                for (std::size_t n = 0; n != expected.coefficients[k].size(); ++n)
                    CHECK(found.coefficients[k][n] == Approx(expected.coefficients[k][n]).margin(1e-7));
        });
}
