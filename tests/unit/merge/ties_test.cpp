// TIES: every variant against a plain evaluation of its rule, on dyadic numbers with many equal magnitudes; laws;
// errors.
#include "polytope.hpp"
#include <catch.hpp>

#include <lathe/backend/eigen.hpp>
#include <lathe/core/parameters.hpp>
#include <lathe/merge/ties.hpp>

#include <map>

using namespace lathe;
using lathe_test::bytes_of;
using lathe_test::contains;
using lathe_test::elements;
using merge::ties_options;
using merge::ties_variant;
using vector = std::vector<double>;

namespace {

/// Multiples of 1/64; those of a model differ from the base by at most 8/64, three in ten not at all.
std::unique_ptr<memory_checkpoint> dyadic(std::uint32_t which, dtype type = dtype::f32, double sign = 0) {
    auto made = std::make_unique<memory_checkpoint>("model " + std::to_string(which));
    std::uint32_t tensor = 0;
    for (auto const & [name, extents] :
         std::map<std::string, shape>{{"a", {3, 5}}, {"b.long", {19001}}, {"c", {7}}, {"d.wide", {2, 2100}}}) {
        ++tensor;
        auto const n = count_of(extents);
        auto x = lathe_test::numbers(9, tensor, n);
        auto const own = lathe_test::numbers(9, 100 * which + tensor, n);
        for (std::size_t i = 0; i != n; ++i) {
            auto const step = std::round(8 * own[i]);
            x[i] = (std::round(16 * x[i])
                    + (which == 0 || std::fabs(own[i]) < 0.3 ? 0
                       : sign != 0                           ? sign * std::fabs(step)
                                                             : step))
                   / 64;
        }
        std::vector<std::byte> bytes(n * size_of(type));
        host::store(type, x.data(), n, bytes.data());
        made->set({name, type, extents}, bytes);
    }
    return made;
}

struct fixture {
    std::unique_ptr<memory_checkpoint> base;
    lathe_test::models models{0, 0};
    merge::model_pool pool;

    explicit fixture(std::uint32_t n = 3, dtype type = dtype::f32,
                     merge::pool_options const & options = {.window = 4096})
        : base(dyadic(0, type)), pool(base.get(), make(n, type), options) {}
    std::vector<checkpoint *> make(std::uint32_t n, dtype type) {
        for (std::uint32_t k = 1; k <= n; ++k)
            models.add(dyadic(k, type));
        return models.pointers;
    }
    [[nodiscard]] std::vector<vector> deltas() const {
        std::vector<vector> all;
        auto const b = elements(*base);
        for (auto const & m : models.all) {
            auto x = elements(*m);
            for (std::size_t i = 0; i != x.size(); ++i)
                x[i] -= b[i];
            all.push_back(std::move(x));
        }
        return all;
    }
};

// ---- the rules, as the specification has them
// -------------------------------------------------------------------------

double sign(double x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }

/// Zero where smaller than the kth smallest magnitude.
std::uint64_t trim_from(vector & v, std::size_t kth) {
    auto sorted = v;
    for (auto & x : sorted)
        x = std::fabs(x);
    std::ranges::sort(sorted);
    std::uint64_t kept = 0;
    for (auto & x : v) {
        kept += std::fabs(x) >= sorted[kth - 1] ? 1 : 0;
        x = std::fabs(x) >= sorted[kth - 1] ? x : 0;
    }
    return kept;
}
/// Zero but for the k largest magnitudes of [first, last), of equal ones the first.
void trim_to(vector & v, std::size_t first, std::size_t last, std::size_t k) {
    std::vector<std::size_t> order;
    for (auto i = first; i != last; ++i)
        order.push_back(i);
    std::ranges::sort(order, [&](auto i, auto j) { // stable_sort is deprecated in clang's eyes
        auto const a = std::fabs(v[i]), b = std::fabs(v[j]);
        return a > b || (a == b && i < j);
    });
    for (auto i = k; i < order.size(); ++i)
        v[order[i]] = 0;
}
void rescale(vector & v, vector const & whole, std::size_t first, std::size_t last) {
    double before = 0, after = 0;
    for (auto i = first; i != last; ++i) {
        before += std::fabs(whole[i]);
        after += std::fabs(v[i]);
    }
    for (auto i = first; i != last; ++i)
        v[i] *= before / after;
}
double column(std::vector<vector> const & v, std::size_t i) {
    double sum = 0;
    for (auto const & x : v)
        sum += x[i];
    return sum;
}
double majority(std::vector<vector> const & trimmed) {
    double votes = 0;
    for (std::size_t i = 0; i != trimmed[0].size(); ++i)
        votes += sign(column(trimmed, i));
    return sign(votes);
}
vector published(vector result, std::vector<vector> const & trimmed, merge::ties_merge_func func, double scaling) {
    auto const m = majority(trimmed);
    for (std::size_t i = 0; i != result.size(); ++i) {
        auto const total = sign(column(trimmed, i));
        auto const s = total == 0 ? m : total;
        double sum = 0, count = 0, most = 0;
        for (auto const & x : trimmed)
            if (s > 0 ? x[i] > 0 : x[i] < 0) {
                sum += x[i];
                count += 1;
                most = std::max(most, std::fabs(x[i]));
            }
        result[i] += scaling
                     * (func == merge::ties_merge_func::mean  ? sum / std::max(count, 1.0)
                        : func == merge::ties_merge_func::sum ? sum
                                                              : s * most);
    }
    return result;
}
vector elected(vector result, std::vector<vector> const & trimmed, vector const & w, bool count, bool normalize,
               double scaling) {
    for (std::size_t i = 0; i != result.size(); ++i) {
        double vote = 0, sum = 0, weight = 0;
        for (std::size_t k = 0; k != w.size(); ++k)
            vote += count ? sign(w[k] * trimmed[k][i]) : w[k] * trimmed[k][i];
        for (std::size_t k = 0; k != w.size(); ++k)
            if (auto const u = w[k] * trimmed[k][i]; sign(u) == (vote >= 0 ? 1 : -1)) {
                sum += u;
                weight += w[k];
            }
        result[i] += scaling * sum / (normalize && weight != 0 ? weight : 1);
    }
    return result;
}
void check_near(vector const & found, vector const & expected, double tolerance = 1e-6) {
    REQUIRE(found.size() == expected.size());
    double worst = 0;
    for (std::size_t i = 0; i != found.size(); ++i)
        worst = std::max(worst, std::fabs(found[i] - expected[i]));
    CHECK(worst <= tolerance);
}
std::vector<std::pair<std::size_t, std::size_t>> tensors_of(fixture const & f) {
    auto const layout = parameter_layout::of(f.pool);
    std::vector<std::pair<std::size_t, std::size_t>> all;
    for (std::size_t i = 0; i != layout.tensors().size(); ++i)
        all.emplace_back(layout.offset(i), layout.offset(i + 1));
    return all;
}
constexpr auto funcs = {merge::ties_merge_func::mean, merge::ties_merge_func::sum, merge::ties_merge_func::max};

} // namespace

TEST_CASE("the rank of the threshold is that of the published codes", "[ties]") {
    using merge::kth_of;
    CHECK(kth_of(ties_variant::fwm, 0.8, 10) == 9); // 1 - 0.8 is less than 0.2: keeps 1, and one more
    CHECK(kth_of(ties_variant::fwm, 0.7, 10) == 7);
    CHECK(kth_of(ties_variant::fwm, 0.5, 10) == 5);
    CHECK(kth_of(ties_variant::fwm, 1.0, 10) == 10);
    CHECK(kth_of(ties_variant::fwm, 0.0, 1000) == 990); // everything is taken for 1 percent
    CHECK(kth_of(ties_variant::fwm, -99, 10) == 1);
    CHECK(kth_of(ties_variant::fusion_bench, 20, 601) == 481);
    CHECK(kth_of(ties_variant::fusion_bench, 0.2, 601) == 481);
    CHECK(kth_of(ties_variant::fusion_bench, 0, 10) == 10);
    for (double const rate : {1.0, 100.0, 101.0, -1.0, std::numeric_limits<double>::quiet_NaN()})
        CHECK_THROWS_WITH(kth_of(ties_variant::fusion_bench, rate, 10), contains("threshold"));
    CHECK_THROWS_WITH(kth_of(ties_variant::fwm, 1.5, 10), contains("mask_rate"));
}

TEMPLATE_TEST_CASE("published TIES follows its rule", "[ties]", float, double) {
    fixture f(4);
    eigen_backend be(2);
    auto const d = f.deltas()[0].size();
    for (auto const variant : {ties_variant::fusion_bench, ties_variant::fwm})
        for (auto const func : funcs)
            for (double const kept : {0.1, 0.3}) {
                auto trimmed = f.deltas();
                ties_options options{.variant = variant, .scaling = 0.5, .merge_func = func};
                (variant == ties_variant::fwm ? options.mask_rate : options.threshold) =
                    variant == ties_variant::fwm ? 1 - kept : 100 * kept;
                memory_checkpoint out;
                auto const r = merge::ties<TestType>(be, f.pool, out, options);
                auto const kth = merge::kth_of(options, d);
                CHECK(r.kth == kth);
                for (std::size_t k = 0; k != trimmed.size(); ++k)
                    CHECK(r.kept[k] == trim_from(trimmed[k], kth));
                CHECK(r.majority == majority(trimmed));
                check_near(elements(out), published(elements(*f.base), trimmed, func, 0.5));
            }
}

TEMPLATE_TEST_CASE("the exact variants follow their rule", "[ties]", float, double) {
    fixture f;
    eigen_backend be(2);
    auto const tensors = tensors_of(f);
    auto const d = tensors.back().second;
    vector const densities{0.2, 0.5, 1.0}, w{1, -0.5, 0.75};
    for (auto const variant : {ties_variant::lathe, ties_variant::mergekit})
        for (bool const rescaled : {false, true})
            for (bool const count : {false, true}) {
                auto trimmed = f.deltas();
                auto const whole = trimmed;
                std::uint64_t kept = 0;
                for (std::size_t k = 0; k != trimmed.size(); ++k)
                    for (auto const & [first, last] :
                         variant == ties_variant::lathe ? std::vector{std::pair{std::size_t{0}, d}} : tensors) {
                        auto const most = static_cast<std::size_t>(densities[k] * static_cast<double>(last - first));
                        trim_to(trimmed[k], first, last, most);
                        if (rescaled)
                            rescale(trimmed[k], whole[k], first, last);
                        kept += k == 0 ? most : 0;
                    }
                memory_checkpoint out;
                auto const r = merge::ties<TestType>(
                    be, f.pool, out,
                    {.variant = variant,
                     .density = {0.2, 0.5, 1.0},
                     .weights = {1.0, -0.5, 0.75},
                     .lambda = 0.8,
                     .consensus = count ? merge::ties_consensus::count : merge::ties_consensus::sum,
                     .normalize = !count,
                     .rescale = rescaled});
                CHECK(r.kept[0] == kept);
                CHECK(r.kept[2] == d);
                check_near(elements(out), elected(elements(*f.base), trimmed, w, count, !count, 0.8));
            }
}

TEST_CASE("TIES does not depend on windows, threads or whether majority is found ahead", "[ties]") {
    fixture small(4), large(4, dtype::f32, merge::pool_options{});
    eigen_backend one(1), three(3);
    for (auto const & options :
         {ties_options{.density = {0.3}, .rescale = true},
          ties_options{.variant = ties_variant::mergekit, .density = {0.3}, .rescale = true},
          ties_options{.variant = ties_variant::fusion_bench, .threshold = 30},
          ties_options{.variant = ties_variant::fwm, .merge_func = merge::ties_merge_func::max}}) {
        memory_checkpoint first, second;
        merge::ties(one, small.pool, first, options);
        merge::ties(three, large.pool, second, options);
        CHECK((bytes_of(first) == bytes_of(second)));
        merge::ties_recipe<eigen_backend, float> recipe(one, small.pool, options);
        memory_checkpoint third;
        merge::write<eigen_backend, float>(one, small.pool, recipe, third);
        CHECK(recipe.again().empty());
        CHECK((bytes_of(first) == bytes_of(third)));
    }
}

TEST_CASE("windows made before the majority changed its mind are made again", "[ties]") {
    // Plus in the first tensor, minus in the long one at the end: the zero sum between them was taken for plus.
    memory_checkpoint base, a, b, out;
    std::vector<float> const zero(8192), plus(16, 1), minus(8192, -1), x{1, -1}, y{1, 1};
    for (auto * const c : {&base, &a, &b}) {
        c->set<float>("first", {16}, c == &base ? std::span{zero}.first(16) : std::span{plus});
        c->set<float>("last", {8192}, c == &base ? zero : minus);
        c->set<float>("in between", {2}, c == &base ? std::span{zero}.first(2) : c == &a ? std::span{x} : std::span{y});
    }
    eigen_backend be;
    merge::model_pool const pool(&base, {&a, &b}, {.window = 4096});
    for (auto const func : funcs) {
        auto const r =
            merge::ties(be, pool, out, {.variant = ties_variant::fusion_bench, .threshold = 50, .merge_func = func});
        CHECK(r.majority == -1.0);
        CHECK(elements(out)[16] == (func == merge::ties_merge_func::sum ? 2 : 1));
        CHECK(elements(out)[17] == -1);
    }
}

TEST_CASE("equal and opposite votes leave no majority", "[ties]") {
    memory_checkpoint base, a, b, out;
    std::vector<float> const zero(4), x{1, -1, 1, 0}, y{1, -1, -1, 0};
    base.set<float>("a", {4}, zero);
    a.set<float>("a", {4}, x);
    b.set<float>("a", {4}, y);
    eigen_backend be;
    merge::model_pool const pool(&base, {&a, &b});
    ties_options options{.variant = ties_variant::fusion_bench, .threshold = 0.9};
    CHECK(merge::ties(be, pool, out, options).majority == 0.0);
    CHECK(elements(out) == vector{1, -1, -1, 0}); // counts as minus
    options.merge_func = merge::ties_merge_func::max;
    merge::ties(be, pool, out, options);
    CHECK(elements(out) == vector{1, -1, 0, 0}); // but is zero as a factor
}

TEST_CASE("weights are relative, however small", "[ties]") {
    fixture f;
    eigen_backend be;
    for (auto const variant : {ties_variant::lathe, ties_variant::mergekit}) {
        memory_checkpoint whole, part;
        merge::ties(be, f.pool, whole, {.variant = variant, .density = {1.0}, .weights = {1.0, 0.5, -0.25}});
        merge::ties(be, f.pool, part, {.variant = variant, .density = {1.0}, .weights = {0x1p-30, 0x1p-31, -0x1p-32}});
        CHECK((bytes_of(whole) == bytes_of(part)));
    }
}

TEST_CASE("models merge in any order", "[ties]") {
    fixture f;
    eigen_backend be;
    merge::model_pool const swapped(f.base.get(), {f.models.pointers[2], f.models.pointers[0], f.models.pointers[1]});
    memory_checkpoint first, second;
    merge::ties(be, f.pool, first, {.weights = {1.0, 2.0, 4.0}, .normalize = false});
    merge::ties(be, swapped, second, {.weights = {4.0, 1.0, 2.0}, .normalize = false});
    CHECK((bytes_of(first) == bytes_of(second))); // dyadic sums are exact
}

TEST_CASE("one model is trimmed and added", "[ties]") {
    fixture f(1);
    eigen_backend be;
    memory_checkpoint out;
    merge::ties(be, f.pool, out, {.density = {1.0}});
    CHECK((bytes_of(out) == bytes_of(*f.models.all[0])));
}

TEST_CASE("two-byte types follow the same rule", "[ties]") {
    for (auto const type : {dtype::f16, dtype::bf16}) {
        fixture f(3, type);
        eigen_backend be;
        auto trimmed = f.deltas();
        for (auto const & [first, last] : tensors_of(f))
            for (auto & x : trimmed)
                trim_to(x, first, last, (last - first) * 3 / 10);
        memory_checkpoint out;
        merge::ties(be, f.pool, out, {.variant = ties_variant::mergekit, .density = {0.3}});
        check_near(elements(out), elected(elements(*f.base), trimmed, {1, 1, 1}, false, true, 1),
                   type == dtype::f16 ? 1e-3 : 4e-3);
    }
}

TEST_CASE("TIES keeps what is not finite where it is", "[ties]") {
    fixture f;
    float const nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
    std::memcpy(f.models.all[0]->bytes(1).data() + 4 * 100, &nan, 4);
    std::memcpy(f.models.all[1]->bytes(1).data() + 4 * 200, &infinity, 4);
    eigen_backend be;
    for (auto const variant :
         {ties_variant::lathe, ties_variant::mergekit, ties_variant::fusion_bench, ties_variant::fwm}) {
        memory_checkpoint out;
        merge::ties(
            be, f.pool, out,
            {.variant = variant, .rescale = variant == ties_variant::lathe || variant == ties_variant::mergekit});
        auto const all = elements(out);
        CHECK(std::ranges::count_if(all, [](double x) { return std::isnan(x); }) == 1);
        CHECK(std::isnan(all[15 + 100]));
        CHECK(all[15 + 200] == std::numeric_limits<double>::infinity());
    }
}

TEST_CASE("TIES refuses what it cannot do", "[ties]") {
    fixture f;
    eigen_backend be;
    memory_checkpoint out;
    auto const fails = [&](ties_options const & options, char const * name) {
        CHECK_THROWS_WITH(merge::ties(be, f.pool, out, options), contains(name));
    };
    fails({.mask_rate = 0.5}, "mask_rate");
    fails({.threshold = 20}, "threshold");
    fails({.variant = ties_variant::fwm, .threshold = 20}, "threshold");
    fails({.variant = ties_variant::fwm, .density = {0.5}}, "density");
    fails({.variant = ties_variant::fusion_bench, .weights = {1.0}}, "weights");
    fails({.variant = ties_variant::fusion_bench, .consensus = merge::ties_consensus::count}, "consensus");
    fails({.variant = ties_variant::fusion_bench, .normalize = false}, "normalize");
    fails({.variant = ties_variant::fusion_bench, .rescale = true}, "rescale");
    fails({.merge_func = merge::ties_merge_func::max}, "merge_func");
    fails({.scaling = std::numeric_limits<double>::infinity()}, "scaling");
    fails({.lambda = std::numeric_limits<double>::quiet_NaN()}, "lambda");
    fails({.density = {0.5, 0.5}}, "density");
    fails({.density = {-0.5}}, "density");
    fails({.density = {merge::schedule::gradient{0.1, 0.2}}}, "density");
    fails({.variant = ties_variant::mergekit, .density = {0.1}}, "tensor 'c'"); // keeps none of 7
    CHECK_NOTHROW(merge::ties(be, f.pool, out, {.density = {0.1}}));
    CHECK_THROWS_WITH(merge::ties(be, merge::model_pool(nullptr, f.models.pointers), out), contains("base"));
}

TEST_CASE("TIES that is stopped writes nothing", "[ties]") {
    fixture f;
    eigen_backend be;
    struct at_once {
        static bool stop_requested() { return true; }
    };
    memory_checkpoint out;
    for (auto const variant : {ties_variant::lathe, ties_variant::mergekit, ties_variant::fwm})
        CHECK(merge::ties(be, f.pool, out, {.variant = variant}, control<no_observer, at_once>{}).status
              == status::stopped);
}
