// Model kinship: all metrics against their definitions, undefined values, cancellation, 8 bits, one pass, same bits.
#include "matrix_models.hpp"
#include "polytope.hpp"
#include <catch.hpp>

#include <lathe/merge/kinship.hpp>
#include <lathe/testing/archetype.hpp>

using namespace lathe;
using lathe_test::contains;
using merge::kinship_metric;
using merge::kinship_mode;
using backend = lathe_test::plain_backend<>;

namespace {

double const nan_value = std::numeric_limits<double>::quiet_NaN();

/// As docs/merging.md, 10 has it, on whole vectors.
merge::kinship_scores define(std::vector<double> x, std::vector<double> y, bool low_precision) {
    if (low_precision)
        for (auto * v : {&x, &y}) {
            double peak = 0;
            for (auto const e : *v)
                peak = std::max(peak, std::abs(e));
            for (auto & e : *v)
                e = std::clamp(std::nearbyint(127 * e / peak), -127.0, 127.0);
        }
    double xy = 0, xx = 0, yy = 0, apart = 0, mean_x = 0, mean_y = 0, c = 0, cx = 0, cy = 0;
    for (std::size_t i = 0; i != x.size(); ++i) {
        xy += x[i] * y[i];
        xx += x[i] * x[i];
        yy += y[i] * y[i];
        apart += (x[i] - y[i]) * (x[i] - y[i]);
        mean_x += x[i] / static_cast<double>(x.size());
        mean_y += y[i] / static_cast<double>(x.size());
    }
    for (std::size_t i = 0; i != x.size(); ++i) {
        c += (x[i] - mean_x) * (y[i] - mean_y);
        cx += (x[i] - mean_x) * (x[i] - mean_x);
        cy += (y[i] - mean_y) * (y[i] - mean_y);
    }
    return {x.size() == 1 ? nan_value : c / std::sqrt(cx * cy), std::sqrt(xy * xy / (xx * yy)), xy / std::sqrt(xx * yy),
            std::sqrt(apart)};
}

/// The task vector of model k, tensor by tensor.
std::vector<std::vector<double>> tasks(memory_checkpoint const & model, memory_checkpoint const & base) {
    std::vector<std::vector<double>> all;
    for (std::size_t i = 0; i != base.tensors().size(); ++i)
        if (auto const & t = base.tensors()[i]; is_floating(t.type) && t.count() != 0) {
            std::vector<double> x(t.count()), b(t.count());
            host::load(t.type, model.bytes(i).data(), t.count(), x.data());
            host::load(t.type, base.bytes(i).data(), t.count(), b.data());
            for (std::size_t j = 0; j != x.size(); ++j)
                x[j] -= b[j];
            all.push_back(std::move(x));
        }
    return all;
}
merge::kinship_scores define(memory_checkpoint const & a, memory_checkpoint const & b, memory_checkpoint const & base,
                             kinship_mode mode, bool low_precision) {
    auto const x = tasks(a, base), y = tasks(b, base);
    std::vector<double> whole_x, whole_y;
    std::array<double, 4> sum{}, weight{};
    for (std::size_t t = 0; t != x.size(); ++t) {
        whole_x.insert(whole_x.end(), x[t].begin(), x[t].end());
        whole_y.insert(whole_y.end(), y[t].begin(), y[t].end());
        auto const s = define(x[t], y[t], low_precision);
        for (std::size_t m = 0; m != 4; ++m)
            if (auto const v = s[static_cast<kinship_metric>(m)]; !std::isnan(v)) {
                sum[m] += v * static_cast<double>(x[t].size());
                weight[m] += static_cast<double>(x[t].size());
            }
    }
    if (mode == kinship_mode::full)
        return define(whole_x, whole_y, low_precision);
    return {sum[0] / weight[0], sum[1] / weight[1], sum[2] / weight[2], sum[3] / weight[3]};
}

void check_equal(merge::kinship_scores const & found, merge::kinship_scores const & expected, double tolerance) {
    for (auto const m : {kinship_metric::pcc, kinship_metric::cs, kinship_metric::cs_signed, kinship_metric::ed}) {
        CAPTURE(static_cast<int>(m));
        if (std::isnan(expected[m]))
            CHECK(std::isnan(found[m]));
        else
            CHECK(found[m] == Approx(expected[m]).epsilon(tolerance).margin(tolerance));
    }
}

/// One vector each, as f64.
struct vectors {
    memory_checkpoint base{"base"}, x{"x"}, y{"y"};
    vectors(std::vector<double> const & b, std::vector<double> const & u, std::vector<double> const & v) {
        lathe_test::set(base, "t", b);
        lathe_test::set(x, "t", u);
        lathe_test::set(y, "t", v);
    }
    template <class T = double> merge::kinship_scores scores(merge::kinship_options const & options = {}) {
        backend be;
        return merge::kinship<T>(be, merge::model_pool(&base, {&x, &y}), options).full.at(0, 1);
    }
};

} // namespace

TEMPLATE_TEST_CASE("all pairs, modes and precisions are what their definitions say", "[kinship]", float, double) {
    backend be;
    auto base = lathe_test::model(5, 90);
    lathe_test::models models(5, 4);
    auto const frozen = base->find("f.scale").value(); // one tensor frozen everywhere, one in a single model
    for (auto const & m : models.all)
        std::ranges::copy(base->bytes(frozen), m->bytes(frozen).begin());
    std::ranges::copy(base->bytes(0), models.all[2]->bytes(0).begin());
    merge::model_pool const pool(base.get(), models.pointers);
    for (bool const low : {false, true}) {
        auto const result = merge::kinship<TestType>(be, pool, {.low_precision = low});
        CHECK(result.status == status::converged);
        for (std::size_t a = 0; a != 4; ++a)
            for (std::size_t b = a + 1; b != 4; ++b)
                for (auto const mode : {kinship_mode::full, kinship_mode::split}) {
                    CAPTURE(low, a, b, static_cast<int>(mode));
                    auto const & table = mode == kinship_mode::full ? result.full : result.split;
                    check_equal(table.at(a, b), define(*models.all[a], *models.all[b], *base, mode, low),
                                std::same_as<TestType, float> && !low ? 2e-6 : 1e-12);
                    CHECK(table.at(b, a).ed == table.at(a, b).ed);
                }
    }
    CHECK_THROWS_AS(merge::kinship<TestType>(be, pool).full.at(1, 1), shape_error);
    CHECK_THROWS_AS(merge::kinship<TestType>(be, pool).full.at(0, 4), shape_error);
}

TEST_CASE("the metrics of related vectors", "[kinship]") {
    std::vector<double> const base{1, 2, 3, 4}, x{1.5, 2.25, 2, 4.125};
    auto const scaled = [&](double factor, double shift) {
        std::vector<double> y;
        for (std::size_t i = 0; i != 4; ++i)
            y.push_back(base[i] + factor * (x[i] - base[i]) + shift);
        return y;
    };
    auto const same = vectors(base, x, scaled(2, 0)).scores();
    CHECK(same.pcc == Approx(1));
    CHECK(same.cs == Approx(1));
    CHECK(same.cs_signed == Approx(1));
    CHECK(same.ed == Approx(std::sqrt(0.25 + 0.0625 + 1 + 0.015625)));
    auto const opposite = vectors(base, x, scaled(-1, 0)).scores();
    CHECK(opposite.pcc == Approx(-1));
    CHECK(opposite.cs == Approx(1)); // as published
    CHECK(opposite.cs_signed == Approx(-1));
    CHECK(vectors(base, x, scaled(1, 8)).scores().pcc == Approx(1)); // a shift is no difference to pcc
    CHECK(vectors(base, x, scaled(1, 8)).scores().cs < 0.5);
}

TEST_CASE("what is not defined is NaN", "[kinship]") {
    std::vector<double> const base{1, 2, 3}, x{2, 2, 5};
    auto const frozen = vectors(base, x, base).scores();
    CHECK(std::isnan(frozen.pcc));
    CHECK(std::isnan(frozen.cs));
    CHECK(std::isnan(frozen.cs_signed));
    CHECK(frozen.ed == Approx(std::sqrt(5.0)));
    auto const low = vectors(base, x, base).scores({.low_precision = true});
    CHECK(std::isnan(low.cs));
    CHECK(std::isnan(low.ed));                        // 0 / 0 in every element
    std::vector<double> const shifted{1.1, 2.1, 3.1}; // constant up to rounding
    auto const constant = vectors(base, x, shifted).scores();
    CHECK(std::isnan(constant.pcc));
    CHECK(constant.cs == Approx(std::sqrt(3.0) / std::sqrt(5.0)));
    auto const one = vectors({1}, {2}, {0.5}).scores();
    CHECK(std::isnan(one.pcc));
    CHECK(one.cs == 1);
    CHECK(one.cs_signed == -1);
    auto const broken = vectors(base, {2, nan_value, 5}, x).scores();
    CHECK(std::isnan(broken.pcc));
    CHECK(std::isnan(broken.ed));
    // A large constant task vector, longer than a block, in single precision.
    std::vector<double> const zeros(9000, 0.0), tenth(9000, static_cast<double>(0.1f));
    auto varied = zeros;
    for (std::size_t i = 0; i != varied.size(); ++i)
        varied[i] = static_cast<double>(i % 7);
    CHECK(std::isnan(vectors(zeros, tenth, varied).scores<float>().pcc));
}

TEST_CASE("nothing cancels: large means, nearly equal models", "[kinship]") {
    auto const noise = lathe_test::numbers(1, 1, 20000), other = lathe_test::numbers(1, 2, 20000);
    std::vector<double> const base(20000, 0.0);
    std::vector<double> x, y, nearly;
    for (std::size_t i = 0; i != 20000; ++i) {
        x.push_back(static_cast<double>(static_cast<float>(100 + 0.01 * noise[i]))); // the mean is 10^4 deviations
        y.push_back(static_cast<double>(static_cast<float>(-50 + 0.01 * (noise[i] + other[i]))));
        nearly.push_back(static_cast<double>(
            static_cast<float>(noise[i] + 1e-5 * other[i]))); // and their distance 1e-5 of the length
    }
    check_equal(vectors(base, x, y).scores<float>(), define(x, y, false), 1e-5);
    check_equal(vectors(base, x, y).scores<double>(), define(x, y, false), 1e-9);
    std::vector<double> rounded;
    for (auto const v : noise)
        rounded.push_back(static_cast<double>(static_cast<float>(v)));
    CHECK(vectors(base, rounded, nearly).scores<float>().ed == Approx(define(rounded, nearly, false).ed).epsilon(1e-6));
}

TEST_CASE("each checkpoint is read once; in 8 bits twice", "[kinship]") {
    backend be;
    auto base = lathe_test::model(5, 90);
    lathe_test::models models(5, 5);
    std::vector<std::unique_ptr<lathe_test::counting_checkpoint>> counted;
    std::vector<checkpoint *> pointers;
    std::size_t size = 0;
    for (auto const & t : base->tensors())
        size += is_floating(t.type) ? t.bytes() : 0;
    for (auto const & m : models.all) {
        counted.push_back(std::make_unique<lathe_test::counting_checkpoint>(*m));
        pointers.push_back(counted.back().get());
    }
    lathe_test::counting_checkpoint base_counted(*base);
    merge::model_pool const pool(&base_counted, pointers, {.window = 4096});
    static_cast<void>(merge::kinship<float>(be, pool));
    for (auto const & c : counted)
        CHECK(c->bytes_read == size);
    CHECK(base_counted.bytes_read == size);
    static_cast<void>(merge::kinship<float>(be, pool, {.low_precision = true}));
    CHECK(base_counted.bytes_read == 3 * size);
}

TEST_CASE("windows, threads and the company of other models do not show", "[kinship]") {
    auto base = lathe_test::model(5, 90);
    lathe_test::models models(5, 3);
    backend one;
    lathe_test::plain_backend<thread_pool> three(3);
    for (bool const low : {false, true}) {
        auto const a =
            merge::kinship<float>(one, merge::model_pool(base.get(), models.pointers), {.low_precision = low});
        auto const b = merge::kinship<float>(three, merge::model_pool(base.get(), models.pointers, {.window = 4096}),
                                             {.low_precision = low});
        auto const c = merge::kinship<float>(
            one, merge::model_pool(base.get(), {models.pointers[2], models.pointers[0]}), {.low_precision = low});
        for (auto const m : {kinship_metric::pcc, kinship_metric::cs_signed, kinship_metric::ed})
            for (auto const mode : {kinship_mode::full, kinship_mode::split}) {
                CHECK(a.value(m, mode, 0, 2) == b.value(m, mode, 0, 2));
                CHECK(a.value(m, mode, 1, 2) == b.value(m, mode, 2, 1));
                CHECK(c.value(m, mode, 0, 1) == Approx(a.value(m, mode, 0, 2)).epsilon(1e-14));
            }
    }
}

TEST_CASE("tensors one by one, on request; every model of a pool; pointers that are not plain", "[kinship]") {
    auto base = lathe_test::model(5, 90);
    lathe_test::models models(5, 3);
    backend be;
    merge::model_pool const pool(base.get(), models.pointers);
    CHECK(merge::kinship<double>(be, pool).tensors.empty());
    auto const result = merge::kinship<double>(be, pool, {.per_tensor = true});
    REQUIRE(result.tensors.size() == 5); // the integer and the empty tensor have none
    double sum = 0, weight = 0;
    for (auto const & t : result.tensors) {
        if (!std::isnan(t.scores.at(0, 1).pcc)) {
            sum += t.scores.at(0, 1).pcc * static_cast<double>(t.count);
            weight += static_cast<double>(t.count);
        }
    }
    CHECK(result.tensors[1].name == "b.bias");
    CHECK(std::isnan(result.tensors[1].scores.at(0, 1).pcc));
    CHECK(result.split.at(0, 1).pcc == Approx(sum / weight));

    testing::archetype<testing::floor::elementwise> device;
    for (bool const low : {false, true}) {
        auto const here = merge::kinship<float>(be, pool, {.low_precision = low}),
                   there = merge::kinship<float>(device, pool, {.low_precision = low});
        check_equal(there.full.at(1, 2), here.full.at(1, 2),
                    low ? 1e-3 : 1e-5); // in 8 bits a quotient near one half may differ
    }
}

TEST_CASE("kinship needs a base, and stops when asked", "[kinship]") {
    auto base = lathe_test::model(5, 90);
    lathe_test::models models(5, 2);
    backend be;
    CHECK_THROWS_AS(merge::kinship<float>(be, merge::model_pool(nullptr, models.pointers)), option_error);
    struct at_once {
        static bool stop_requested() { return true; }
    };
    merge::model_pool const pool(base.get(), models.pointers);
    for (bool const low : {false, true})
        CHECK(merge::kinship<float>(be, pool, {.low_precision = low}, control<no_observer, at_once>{}).status
              == status::stopped);
    CHECK(merge::kinship<float>(be, merge::model_pool(base.get(), {models.pointers[0]})).full.models() == 1);
}
