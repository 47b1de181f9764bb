// Optimisers: by hand, against each other on the host and on a device, and refused options.
#include "../linalg/matrices.hpp"
#include <catch.hpp>

#include <lathe/optimize/adam.hpp>
#include <lathe/optimize/schedule.hpp>
#include <lathe/optimize/sgd.hpp>
#include <lathe/testing/archetype.hpp>

using namespace lathe;
using lathe_test::contains;

namespace {
using plain = lathe_test::plain_backend<>;
vec_view<double *> view(std::vector<double> & x) { return {x.data(), x.size()}; }

using device = testing::archetype<testing::floor::elementwise, double>;
using below = testing::archetype<testing::floor::inner_product_space, double>;
template <class B> constexpr bool can_adam = requires { sizeof(optimize::adam<B, double>); };
template <class B> constexpr bool can_sgd = requires { sizeof(optimize::sgd<B, double>); };
static_assert(can_adam<device> && !can_adam<below>);
static_assert(can_sgd<device> && !can_sgd<below>);
} // namespace

TEST_CASE("Adam follows its recurrence", "[adam]") {
    optimize::host_adam optimiser(2, {0.1, {0.5, 0.75}, 1e-3});
    std::vector<double> p{1, 2};
    optimiser.step(p, std::vector{2.0, 0.0});
    // m = 1, v = 1; corrected both are 2 and 4
    CHECK(p[0] == Approx(1 - 0.1 * 2 / (2 + 1e-3)).epsilon(1e-12));
    CHECK(p[1] == 2);
    auto const before = p[0];
    optimiser.step(p, std::vector{-4.0, 0.0});
    // m = 0.5 - 2 = -1.5, corrected by 3/4; v = 0.75 + 4 = 4.75, corrected by 7/16
    CHECK(p[0] == Approx(before + 0.1 * 2 / (std::sqrt(4.75 / (1 - 0.5625)) + 1e-3)).epsilon(1e-12));
    CHECK_THROWS_AS(optimiser.step(p, std::vector{1.0}), shape_error);
    using optimize::host_adam;
    CHECK_THROWS_WITH(host_adam(1, {0.1, {0.9}, 1e-8}), contains("betas"));
    CHECK_THROWS_WITH(host_adam(1, {0.1, {0.9, 1.0}, 1e-8}), contains("betas"));
    CHECK_THROWS_WITH(host_adam(1, {-1, {0.9, 0.99}, 1e-8}), contains("lr"));
    CHECK_THROWS_WITH(host_adam(1, {0.1, {0.9, 0.99}, 0}), contains("adam_eps"));
    CHECK_THROWS_WITH(host_adam(1, {.weight_decay = -1}), contains("weight_decay"));
}

TEST_CASE("AdamW decays beside the step, Adam within it", "[adam]") {
    plain be;
    for (auto const decoupled : {true, false}) {
        optimize::adam_options const o{
            .lr = 0.1, .betas = {0.5, 0.75}, .eps = 1e-3, .weight_decay = 0.2, .decoupled = decoupled};
        optimize::adam<plain, double> optimiser(be, 1, o);
        std::vector<double> p{3}, g{2};
        optimiser.step(be, view(p), view(g), 0.5); // lr 0.05; corrected m and sqrt(v) are g in the first step
        auto const seen = decoupled ? 2 : 2 + 0.2 * 3;
        CHECK(p[0] == Approx((decoupled ? 3 * (1 - 0.05 * 0.2) : 3) - 0.05 * seen / (seen + 1e-3)).epsilon(1e-12));
        CHECK_THROWS_AS(optimiser.step(be, view(p), view(g), -1), option_error);
    }
}

TEST_CASE("Adam is the same on the host and where pointers are not plain", "[adam]") {
    device be;
    auto const start = lathe_test::random_matrix<double>(1, 37, 1), slope = lathe_test::random_matrix<double>(1, 37, 2);
    optimize::adam_options const o{.lr = 0.05, .weight_decay = 0.1};
    auto on_host = start.values;
    optimize::host_adam host(37, o);
    auto p = be.allocate<double>(37), g = be.allocate<double>(37);
    be.upload(std::span<double const>{start.values}, p.view());
    optimize::adam<device, double> there(be, 37, o);
    for (int t = 0; t != 5; ++t) {
        std::vector<double> gradient(37);
        for (std::size_t i = 0; i != 37; ++i)
            gradient[i] = on_host[i] + slope.values[i];
        be.upload(std::span<double const>{gradient}, g.view());
        host.step(on_host, gradient);
        there.step(be, p.view(), g.view());
    }
    std::vector<double> back(37);
    be.download(cvec<device, double>(p.view()), std::span<double>{back});
    for (std::size_t i = 0; i != 37; ++i)
        CHECK(back[i] == Approx(on_host[i]).epsilon(1e-13));
}

TEST_CASE("SGD with momentum, dampening, decay and Nesterov's look ahead", "[sgd]") {
    plain be;
    std::vector<double> p{1}, g{2};
    optimize::sgd<plain, double>(be, 1, {.lr = 0.1, .weight_decay = 0.5}).step(be, view(p), view(g));
    CHECK(p[0] == Approx(1 - 0.1 * 2.5));
    p[0] = 1;
    optimize::sgd<plain, double> damped(be, 1, {.lr = 0.1, .momentum = 0.5, .dampening = 0.25});
    damped.step(be, view(p), view(g)); // m = 2, whatever the dampening
    CHECK(p[0] == Approx(0.8));
    damped.step(be, view(p), view(g), 0.5); // m = 1 + 0.75 2
    CHECK(p[0] == Approx(0.8 - 0.05 * 2.5));
    p[0] = 1;
    optimize::sgd<plain, double> ahead(be, 1, {.lr = 0.1, .momentum = 0.5, .nesterov = true});
    ahead.step(be, view(p), view(g)); // g + 0.5 m = 3
    CHECK(p[0] == Approx(0.7));
    ahead.step(be, view(p), view(g)); // m = 3, g + 0.5 m = 3.5
    CHECK(p[0] == Approx(0.35));
    using optimiser = optimize::sgd<plain, double>;
    CHECK_THROWS_WITH(optimiser(be, 1, {.momentum = 1}), contains("momentum"));
    CHECK_THROWS_WITH(optimiser(be, 1, {.nesterov = true}), contains("nesterov"));
    CHECK_THROWS_WITH(optimiser(be, 1, {.lr = std::numeric_limits<double>::quiet_NaN()}), contains("lr"));
    CHECK_THROWS_WITH(optimiser(be, 1, {.momentum = 0.5, .dampening = 2}), contains("dampening"));
    std::vector<double> longer(2);
    CHECK_THROWS_AS(ahead.step(be, view(longer), view(longer)), shape_error);

    device there;
    auto x = there.allocate<double>(3), slope = there.allocate<double>(3);
    ops::fill(there, 1, x.view());
    ops::fill(there, 2, slope.view());
    optimize::sgd<device, double> same(there, 3, {.lr = 0.1, .momentum = 0.5, .nesterov = true});
    same.step(there, x.view(), slope.view());
    std::vector<double> back(3);
    there.download(cvec<device, double>(x.view()), std::span<double>{back});
    CHECK(back[2] == Approx(0.7));
}

TEST_CASE("a linear schedule rises through the warm-up and falls to 0", "[schedule]") {
    auto const s = optimize::linear_schedule::with_ratio(0.06, 100);
    CHECK(s.warmup == 6);
    CHECK(s(0) == 0);
    CHECK(s(3) == Approx(0.5));
    CHECK(s(6) == 1);
    CHECK(s(53) == Approx(0.5));
    CHECK(s(100) == 0);
    CHECK(s(1000) == 0);
    optimize::linear_schedule const none{0, 4}, only{4, 4};
    CHECK(none(0) == 1);
    CHECK(none(2) == Approx(0.5));
    CHECK(only(3) == Approx(0.75));
    CHECK(only(4) == 0);
    CHECK_THROWS_AS(optimize::linear_schedule::with_ratio(1.5, 10), option_error);
    CHECK_THROWS_AS(optimize::linear_schedule::with_ratio(0.5, 0), option_error);
}
