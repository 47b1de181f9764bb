// FW-Merging as published and AdaMerging, on a device: the same choices as on Eigen.
#include <lathe/merge/fw_merging_soft.hpp>
#include <lathe/merge/quadratic.hpp>

#include "task_distances.hpp"

namespace {
using namespace lathe_test;
using testing::floor;
using here = testing::archetype<floor::elementwise>;
using below = testing::archetype<floor::inner_product_space>;

struct any_objective {
    [[nodiscard]] std::size_t size() const { return 2; }
    template <class B, class X, class G> double value_and_gradient(B &, X const &, G const &) { return 0; }
    template <class B, class X, class G> double value_and_gradient(B &, std::size_t, X const &, G const &) { return 0; }
};
template <class B>
constexpr bool can_fw = requires(B & be, merge::model_pool const & pool, any_objective f, checkpoint_sink & sink) {
    merge::fw_merging(be, pool, f, sink);
};
template <class B>
constexpr bool can_soft = requires(B & be, merge::model_pool const & pool, any_objective f, checkpoint_sink & sink) {
    merge::fw_merging_soft(be, pool, f, sink);
};
template <class B>
constexpr bool can_ada = requires(B & be, merge::model_pool const & pool, any_objective f, checkpoint_sink & sink) {
    merge::adamerging(be, pool, f, sink);
};
static_assert(can_fw<here> && !can_fw<below>);
static_assert(can_soft<here> && !can_soft<below>);
static_assert(can_ada<here> && !can_ada<below>);
} // namespace

TEST_CASE("hard FW-Merging on a device", "[archetype][fw_merging]") {
    models m(3);
    auto const pool = m.pool();
    for (auto const granularity : {merge::granularity::task, merge::granularity::layer})
        for (auto const merge_fn : {merge::fw_merge_fn::task_arithmetic, merge::fw_merge_fn::ties}) {
            auto const run = [&]<class B>(B & be, auto & sink) {
                merge::quadratic_distance<B, double> f(merge::parameter_layout::of(pool), m[1]);
                return merge::fw_merging<double>(be, pool, f, sink,
                                                 {.granularity = granularity, .merge_fn = merge_fn, .max_iters = 3});
            };
            auto const [device, host] = run_on_both<floor::elementwise, double>(run, 1e-9);
            REQUIRE(device.trace.size() == host.trace.size());
            for (std::size_t t = 0; t != host.trace.size(); ++t) {
                CHECK(device.trace[t].chosen == host.trace[t].chosen);
                CHECK(device.trace[t].threshold.has_value() == host.trace[t].threshold.has_value());
                CHECK(device.trace[t].threshold.value_or(0) == Approx(host.trace[t].threshold.value_or(0)));
            }
        }
}

TEST_CASE("soft FW-Merging on a device", "[archetype][fw_merging]") {
    models m(3);
    auto const pool = m.pool();
    auto const hard = [&]<class B>(B & be, auto & sink) {
        distances<B> tasks(pool, m, 2);
        return merge::fw_merging_soft<double>(be, pool, tasks, sink,
                                              {.granularity = merge::granularity::layer, .max_iters = 3});
    };
    auto const [device, host] = run_on_both<floor::elementwise, double>(hard, 1e-9);
    REQUIRE(device.trace.size() == host.trace.size());
    for (std::size_t t = 0; t != host.trace.size(); ++t)
        CHECK(device.trace[t].chosen == host.trace[t].chosen);
    auto const learned = [&]<class B>(B & be, auto & sink) {
        distances<B> tasks(pool, m, 2);
        merge::quadratic_distance<B, double> loss(merge::parameter_layout::of(pool), m[2]);
        return merge::fw_merging_soft<double>(
            be, pool, tasks, loss, sink,
            {.merge_fn = merge::fw_soft_merge_fn::adamerging, .max_iters = 2, .ada_iters = 5});
    };
    run_on_both<floor::elementwise, double>(learned, 1e-8);
}

TEST_CASE("AdaMerging on a device", "[archetype][adamerging]") {
    models m(3);
    auto const pool = m.pool();
    for (auto const level : {merge::granularity::task, merge::granularity::layer}) {
        auto const run = [&]<class B>(B & be, auto & sink) {
            merge::quadratic_distance<B, double> f(merge::parameter_layout::of(pool), m[1]);
            return merge::adamerging<double>(be, pool, f, sink, {.level = level, .lr = 0.05, .steps = 5});
        };
        auto const [device, host] = run_on_both<floor::elementwise, double>(run, 1e-8);
        for (std::size_t k = 0; k != host.coefficients.size(); ++k)
            for (std::size_t n = 0; n != host.coefficients[k].size(); ++n)
                CHECK(device.coefficients[k][n] == Approx(host.coefficients[k][n]).margin(1e-8));
    }
}
