// Fuzzy c-means: the method written down plainly, and its laws.
#include "plain_backend.hpp"
#include "points.hpp"

#include <lathe/cluster/k_means.hpp>
#include <lathe/cluster/streaming.hpp>
#include <lathe/testing/archetype.hpp>

#include <catch.hpp>

#include <numeric>
#include <set>

namespace {
using namespace lathe;
using namespace lathe_test;
using cluster::clustering_inputs;
using cluster::fuzzy_c_means_options;
using cluster::metric;
using cluster::stopping;

/// A plain backend with threads.
struct threaded_backend : plain_backend {
    thread_pool pool;
    explicit threaded_backend(std::size_t n) : pool(n) {}
    thread_pool & executor() { return pool; }
};

template <class T, class B>
std::vector<double> memberships_on(B & be, std::vector<T> const & x, std::size_t d, std::vector<double> const & c,
                                   double m, metric of) {
    auto const n = x.size() / d, k = c.size() / d;
    auto rows = be.template allocate<T>(x.size()), u = be.template allocate<T>(n * k);
    be.upload(std::span<T const>{x}, rows.view());
    cluster::memberships<T>(be, as_matrix(rows.view(), n, d), c, as_matrix(u.view(), n, k), m, of);
    std::vector<T> values(n * k);
    be.download(cvec<B, T>(u.view()), std::span{values});
    return {values.begin(), values.end()};
}
template <class T, class B>
cluster::fuzzy_c_means_result fit_on(B & be, std::vector<T> const & x, std::size_t d, fuzzy_c_means_options const & o,
                                     clustering_inputs const & in = {}) {
    auto rows = be.template allocate<T>(x.size());
    be.upload(std::span<T const>{x}, rows.view());
    return cluster::fuzzy_c_means<T>(be, as_matrix(rows.view(), x.size() / d, d), in, o);
}
} // namespace

TEST_CASE("memberships are those of the definition, in rows that sum to 1", "[fuzzy_c_means]") {
    plain_backend be;
    auto const m = GENERATE(1.01, 1.055, 1.1, 1.5, 2.0, 2.7);
    auto const of = GENERATE(metric::euclidean, metric::cosine);
    for (std::size_t const d : {1u, 3u, 16u, 37u}) {
        auto x = blobs<double>(250, d, 5, 1);
        for (auto & v : x)
            v += 0.5; // no point of length 0
        std::vector<double> const c(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(7 * d));
        std::vector<double> const rest(x.begin() + static_cast<std::ptrdiff_t>(7 * d), x.end());
        if (d == 1 && of == metric::cosine)
            continue; // all directions are one
        auto const u = memberships_on(be, rest, d, c, m, of);
        auto const expected = plain_memberships(plain_distances(rest, c, d, of == metric::cosine), 7, m);
        for (std::size_t i = 0; i != u.size(); ++i)
            REQUIRE(std::abs(u[i] - static_cast<double>(expected[i])) < 1e-11 / (m - 1));
        for (std::size_t i = 0; i != u.size(); i += 7)
            REQUIRE(std::accumulate(u.begin() + static_cast<std::ptrdiff_t>(i),
                                    u.begin() + static_cast<std::ptrdiff_t>(i + 7), 0.0)
                    == Approx(1).epsilon(1e-14));
        std::vector<float> const narrow(rest.begin(), rest.end());
        auto const v = memberships_on(be, narrow, d, c, m, of);
        for (std::size_t i = 0; i != u.size(); ++i)
            REQUIRE(std::abs(u[i] - v[i]) < 1e-5 / (m - 1));
    }
}

TEST_CASE("memberships at every scale, and on centres", "[fuzzy_c_means]") {
    plain_backend be;
    std::vector<double> const c{0, 0, 1, 0, 0, 1, 1, 0}; // the second and the fourth coincide
    for (double const m : {1.01, 1.1, 2.0, 3.0}) {
        for (double const scale : {1e-70, 1e-30, 1.0, 1e30, 1e70}) { // squares stay finite
            std::vector<double> x{3 * scale, scale, -scale, scale / 2}, scaled = c;
            for (auto & v : scaled)
                v *= scale;
            auto const u = memberships_on(be, x, 2, scaled, m, metric::euclidean);
            auto const expected = memberships_on<double>(be, {3, 1, -1, 0.5}, 2, c, m, metric::euclidean);
            for (std::size_t i = 0; i != u.size(); ++i)
                CHECK(u[i] == Approx(expected[i]).margin(1e-12));
        }
        CHECK(memberships_on<double>(be, {1.0, 0.0, 0.0, 1.0}, 2, c, m, metric::euclidean)
              == std::vector<double>{0, 0.5, 0, 0.5, 0, 0, 1, 0});
        // Twenty points at 1e-4 of a centre: inner products alone would say 0 or nonsense in float.
        std::vector<float> close;
        for (int i = 1; i <= 20; ++i)
            close.insert(close.end(), {1 + 1e-4f * static_cast<float>(i), 0.0f});
        auto const u = memberships_on(be, close, 2, {1, 0, 1.005, 0}, m, metric::euclidean);
        std::vector<double> const wide(close.begin(), close.end());
        auto const expected = plain_memberships(plain_distances(wide, {1, 0, 1.005, 0}, 2, false), 2, m);
        for (std::size_t i = 0; i != u.size(); ++i)
            CHECK(u[i] == Approx(static_cast<double>(expected[i])).margin(1e-4));
    }
    CHECK(memberships_on<double>(be, {1.0, 2.0, 3.0, 4.0}, 2, {5, 5}, 1.1, metric::euclidean)
          == std::vector<double>{1, 1});
    CHECK(memberships_on<double>(be, {}, 2, {5, 5}, 1.1, metric::euclidean).empty());
}

TEST_CASE("an iteration is the plain formula: weighted means, memberships, objective", "[fuzzy_c_means]") {
    plain_backend be;
    auto const m = GENERATE(1.1, 1.3, 2.0);
    auto const of = GENERATE(metric::euclidean, metric::cosine);
    std::size_t const d = 19, k = 4, n = 300;
    auto const x = blobs<double>(n, d, k, 2);
    std::vector<double> w(n), c(x.begin(), x.begin() + k * d);
    for (std::size_t i = 0; i != n; ++i)
        w[i] = static_cast<double>(i % 3);
    auto const r = fit_on<double>(
        be, x, d,
        {.clusters = k, .fuzzifier = m, .metric = of, .stop = stopping::abs_sum, .tolerance = 0, .max_iterations = 1},
        {.weights = w, .centres = c});
    auto const before = plain_memberships([&] {
        auto distances = plain_distances(x, c, d, of == metric::cosine);
        for (auto & v : distances)
            v = std::max(v, 1e-30L); // the first points are the centres
        return distances;
    }(), k, m);
    std::vector<double> centres(k * d);
    for (std::size_t j = 0; j != k; ++j) {
        long double weight = 0, square = 0;
        std::vector<long double> sum(d);
        for (std::size_t i = 0; i != n; ++i) {
            auto const v = w[i] * std::pow(before[i * k + j], static_cast<long double>(m));
            weight += v;
            for (std::size_t e = 0; e != d; ++e)
                sum[e] += v * x[i * d + e];
        }
        for (auto const s : sum)
            square += s * s;
        for (std::size_t e = 0; e != d; ++e)
            centres[j * d + e] = static_cast<double>(sum[e] / (of == metric::cosine ? std::sqrt(square) : weight));
    }
    for (std::size_t i = 0; i != centres.size(); ++i)
        CHECK(r.centres[i] == Approx(centres[i]).margin(1e-12));
    auto const distances = plain_distances(x, centres, d, of == metric::cosine);
    auto const after = plain_memberships(distances, k, m);
    long double objective = 0, mixed = 0, change = 0;
    std::vector<double> weights(k), masses(k);
    for (std::size_t i = 0; i != n; ++i)
        for (std::size_t j = 0; j != k; ++j) {
            auto const at = i * k + j;
            auto const um = std::pow(after[at], static_cast<long double>(m));
            objective += w[i] * um * distances[at];
            mixed += w[i] * std::pow(before[at], static_cast<long double>(m)) * distances[at];
            change += std::abs(after[at] - before[at]);
            weights[j] += w[i] * static_cast<double>(um);
            masses[j] += w[i] * static_cast<double>(after[at]);
        }
    CHECK(r.objective == Approx(static_cast<double>(objective)).epsilon(1e-12));
    CHECK(r.mixed_objective == Approx(static_cast<double>(mixed)).epsilon(1e-12));
    CHECK(r.residual == Approx(static_cast<double>(change)).epsilon(1e-10).margin(1e-10));
    for (std::size_t j = 0; j != k; ++j) {
        CHECK(r.weights[j] == Approx(weights[j]).epsilon(1e-12));
        CHECK(r.masses[j] == Approx(masses[j]).epsilon(1e-12));
    }
}

TEMPLATE_TEST_CASE("the objective never rises", "[fuzzy_c_means]", float, double) {
    plain_backend be;
    auto const m = GENERATE(1.05, 1.5, 2.5);
    auto const of = GENERATE(metric::euclidean, metric::cosine);
    auto x = blobs<TestType>(700, 24, 6, 3, 2.0);
    if (of == metric::cosine) // the mean minimises for points of length 1
        for (std::size_t i = 0; i != 700; ++i) {
            double square = 0;
            for (std::size_t k = 0; k != 24; ++k)
                square += static_cast<double>(x[i * 24 + k]) * static_cast<double>(x[i * 24 + k]);
            for (std::size_t k = 0; k != 24; ++k)
                x[i * 24 + k] = static_cast<TestType>(static_cast<double>(x[i * 24 + k]) / std::sqrt(square));
        }
    double last = std::numeric_limits<double>::infinity();
    std::size_t steps = 0;
    for (std::size_t t = 1; t != 20; ++t, ++steps) {
        auto const r = cluster::fuzzy_c_means<TestType>(
            be, rows_of(x, 24),
            {.clusters = 5, .fuzzifier = m, .metric = of, .seed = 4, .tolerance = 0, .max_iterations = t});
        double const room = 1 + 20 * static_cast<double>(std::numeric_limits<TestType>::epsilon());
        CHECK(r.objective <= last * room);
        CHECK(r.objective <= r.mixed_objective * room); // memberships are the best for these centres
        CHECK(r.mixed_objective <= last * room);        // and the centres for those memberships
        last = r.objective;
    }
    CHECK(steps == 19);
}

TEST_CASE("any number of threads gives the same bits, and so does a stream", "[fuzzy_c_means]") {
    std::size_t const n = 5000, d = 21;
    auto const x = blobs<float>(n, d, 7, 5, 1.5);
    std::vector<double> w(n);
    for (std::size_t i = 0; i != n; ++i)
        w[i] = 0.25 + static_cast<double>(i % 5);
    auto const of = GENERATE(metric::euclidean, metric::cosine);
    auto const start =
        GENERATE(cluster::seeding::d_squared, cluster::seeding::points, cluster::seeding::random_memberships);
    fuzzy_c_means_options const o{
        .clusters = 6, .fuzzifier = 1.3, .metric = of, .start = start, .seed = 8, .max_iterations = 6};
    clustering_inputs const in{.weights = w};
    plain_backend one;
    auto const expected = cluster::fuzzy_c_means<float>(one, rows_of(x, d), in, o);
    auto const same = [&](cluster::fuzzy_c_means_result const & r) {
        CHECK(r.centres == expected.centres);
        CHECK(r.weights == expected.weights);
        CHECK(r.masses == expected.masses);
        CHECK(r.objective == expected.objective);
        CHECK(r.mixed_objective == expected.mixed_objective);
        CHECK(r.residual == expected.residual);
        CHECK(r.iterations == expected.iterations);
    };
    for (std::size_t const threads : {2u, 3u, 7u}) {
        threaded_backend be(threads);
        same(cluster::fuzzy_c_means<float>(be, rows_of(x, d), in, o));
    }
    memory_checkpoint file;
    file.set<float>("points", {n, d}, std::span<float const>{x});
    cluster::checkpoint_rows<plain_backend, float> source(file, 0);
    same(cluster::fuzzy_c_means<float>(one, source, in, o));

    // Blocks of a few rows, of another type in the file.
    struct short_blocks {
        cluster::checkpoint_rows<plain_backend, float> all;
        std::size_t reads = 0;
        [[nodiscard]] std::size_t rows() const { return all.rows(); }
        [[nodiscard]] std::size_t cols() const { return all.cols(); }
        cmat<plain_backend, float> read(plain_backend & be, std::size_t first, std::size_t count) {
            ++reads;
            return all.read(be, first, count);
        }
    };
    std::vector<double> const wide(x.begin(), x.end());
    memory_checkpoint doubles;
    doubles.set<double>("points", {n, d}, std::span<double const>{wide});
    short_blocks blocks{cluster::checkpoint_rows<plain_backend, float>(doubles, 0)};
    same(cluster::fuzzy_c_means<float>(one, blocks, in, o));
    CHECK(blocks.reads >= expected.iterations + 1);
}

TEST_CASE("clusters have no order: permuted starting centres give permuted results", "[fuzzy_c_means]") {
    plain_backend be;
    std::size_t const d = 6;
    auto const x = blobs<double>(400, d, 3, 6, 1.0);
    std::vector<double> const c(x.begin(), x.begin() + 3 * d);
    std::vector<double> permuted;
    for (std::size_t const j : {2u, 0u, 1u})
        permuted.insert(permuted.end(), c.begin() + static_cast<std::ptrdiff_t>(j * d),
                        c.begin() + static_cast<std::ptrdiff_t>((j + 1) * d));
    fuzzy_c_means_options const o{.clusters = 3, .fuzzifier = 1.5, .max_iterations = 9};
    auto const a = fit_on<double>(be, x, d, o, {.centres = c}), b = fit_on<double>(be, x, d, o, {.centres = permuted});
    CHECK(a.iterations == b.iterations);
    std::size_t j = 0;
    for (std::size_t const from : {2u, 0u, 1u}) {
        for (std::size_t e = 0; e != d; ++e)
            CHECK(b.centres[j * d + e] == Approx(a.centres[from * d + e]).epsilon(1e-12));
        ++j;
    }
}

TEMPLATE_TEST_CASE("a device has what the host has", "[fuzzy_c_means][archetype]", float, double) {
    testing::archetype<testing::floor::matrix_space, TestType> device;
    plain_backend host;
    auto const of = GENERATE(metric::euclidean, metric::cosine);
    auto const m = GENERATE(1.1, 1.37);
    std::size_t const n = 1500, d = 9; // more than one block
    auto x = blobs<TestType>(n, d, 4, 7, 0.8);
    for (std::size_t k = 0; k != d; ++k) // close neighbours: distances from differences
        x[d + k] = x[k] + TestType(1e-3) * static_cast<TestType>(k % 2);
    std::vector<double> const c(x.begin(), x.begin() + 4 * d);
    std::vector<double> w(n, 1.0);
    w[3] = 2.5;
    double const near = std::same_as<TestType, float> ? 3e-5 : 1e-11;
    for (auto const stop : {stopping::max, stopping::abs_sum, stopping::fro, stopping::centre}) {
        fuzzy_c_means_options const o{
            .clusters = 4, .fuzzifier = m, .metric = of, .stop = stop, .tolerance = 0, .max_iterations = 3};
        auto const a = fit_on<TestType>(host, x, d, o, {.weights = w, .centres = c}),
                   b = fit_on<TestType>(device, x, d, o, {.weights = w, .centres = c});
        for (std::size_t i = 0; i != a.centres.size(); ++i)
            CHECK(b.centres[i] == Approx(a.centres[i]).margin(near));
        CHECK(b.objective == Approx(a.objective).epsilon(near));
        CHECK(b.residual == Approx(a.residual).margin(stop == stopping::abs_sum ? 1500 * near : 50 * near));
        if (stop != stopping::centre)
            CHECK(b.mixed_objective == Approx(a.mixed_objective).epsilon(near));
        for (std::size_t j = 0; j != 4; ++j) {
            CHECK(b.weights[j] == Approx(a.weights[j]).epsilon(10 * near));
            CHECK(b.masses[j] == Approx(a.masses[j]).epsilon(10 * near));
        }
        auto const u = memberships_on(host, x, d, a.centres, m, of), v = memberships_on(device, x, d, a.centres, m, of);
        for (std::size_t i = 0; i != u.size(); ++i)
            REQUIRE(std::abs(u[i] - v[i]) < 20 * near);
    }
    for (auto const start :
         {cluster::seeding::d_squared, cluster::seeding::points, cluster::seeding::random_memberships}) {
        fuzzy_c_means_options const o{.clusters = 4,
                                      .fuzzifier = m,
                                      .metric = of,
                                      .start = start,
                                      .seed = 2,
                                      .tolerance = 0,
                                      .max_iterations = 2};
        auto const a = fit_on<TestType>(host, x, d, o), b = fit_on<TestType>(device, x, d, o);
        for (std::size_t i = 0; i != a.centres.size(); ++i)
            CHECK(b.centres[i] == Approx(a.centres[i]).margin(10 * near));
    }
}

template <class B>
constexpr bool can_cluster = requires(B & be, cmat<B, float> x) { cluster::fuzzy_c_means<float>(be, x); };
static_assert(can_cluster<testing::archetype<testing::floor::matrix_space>>);
static_assert(!can_cluster<testing::archetype<testing::floor::elementwise>>);

TEST_CASE("weights: zeros leave points out, copies count", "[fuzzy_c_means]") {
    plain_backend be;
    std::size_t const d = 5;
    auto const x = blobs<double>(60, d, 3, 9);
    std::vector<double> w(60, 1.0), repeated, kept;
    for (std::size_t i = 0; i != 60; ++i) {
        w[i] = static_cast<double>(i % 3);
        for (std::size_t copy = 0; copy != i % 3; ++copy)
            repeated.insert(repeated.end(), x.begin() + static_cast<std::ptrdiff_t>(i * d),
                            x.begin() + static_cast<std::ptrdiff_t>((i + 1) * d));
    }
    std::vector<double> const c(x.begin() + 3 * d, x.begin() + 6 * d);
    fuzzy_c_means_options const o{
        .clusters = 3, .fuzzifier = 1.4, .stop = stopping::centre, .tolerance = 0, .max_iterations = 7};
    auto const a = fit_on<double>(be, x, d, o, {.weights = w, .centres = c}),
               b = fit_on<double>(be, repeated, d, o, {.centres = c});
    for (std::size_t i = 0; i != a.centres.size(); ++i)
        CHECK(a.centres[i] == Approx(b.centres[i]).epsilon(1e-11));
    CHECK(a.objective == Approx(b.objective).epsilon(1e-11));
}

TEST_CASE("seeds: the draw, distinct points, and more clusters than points", "[fuzzy_c_means][seeding]") {
    CHECK(cluster::draw(std::vector<double>{1, 2, 1}, 0) == 0);
    CHECK(cluster::draw(std::vector<double>{1, 2, 1}, 0.25) == 1);
    CHECK(cluster::draw(std::vector<double>{1, 2, 1}, 0.999) == 2);
    CHECK(cluster::draw(std::vector<double>{0, 2, 0}, 0.999) == 1);
    plain_backend be;
    std::vector<double> const x{0, 0, 5, 5, 0, 0, 5, 5, 9, 9}; // three distinct points, two twice
    cluster::resident_points<plain_backend, double> points(be, rows_of(x, 2), metric::euclidean);
    for (std::uint64_t seed = 0; seed != 20; ++seed) {
        auto three = cluster::distinct_points(be, points, 3, seed, {});
        std::set<double> values;
        for (auto const i : three)
            values.insert(x[2 * i]);
        CHECK(values.size() == 3);
        CHECK(cluster::distinct_points(be, points, 4, seed, {}).size() == 4);
        CHECK(cluster::distinct_points(be, points, 9, seed, {}).size() == 9);
    }
    std::vector<double> const w{0, 0, 1, 1, 0};
    CHECK(cluster::distinct_points(be, points, 2, 1, w).size() == 2);
    auto const uniforms = std::vector<double>{0.1, 0.9, 0.5, 0.7};
    auto const four = cluster::d_squared_seeding<double>(be, rows_of(x, 2), uniforms);
    CHECK(four.size() == 4);
    CHECK_THROWS_AS(cluster::d_squared_seeding<double>(be, rows_of(x, 2), std::vector<double>{1.0}), option_error);
    // All centres are at points, extra ones coincide.
    auto const r = cluster::fuzzy_c_means<double>(be, rows_of(x, 2), {.clusters = 4, .seed = 3});
    CHECK(r.objective == Approx(0).margin(1e-12));
    CHECK(r.separation == 0);
    CHECK_FALSE(cluster::distances_between(r.centres, 2).duplicates.empty());
}

TEST_CASE("what cannot be clustered is refused", "[fuzzy_c_means]") {
    plain_backend be;
    auto x = blobs<double>(40, 3, 2, 1);
    auto const run = [&](fuzzy_c_means_options const & o, clustering_inputs const & in = {}) {
        return cluster::fuzzy_c_means<double>(be, rows_of(x, 3), in, o);
    };
    CHECK_THROWS_AS(run({.clusters = 0}), option_error);
    for (double const m : {1.0, 0.5, -1.0, std::numeric_limits<double>::infinity(), std::nan("")})
        CHECK_THROWS_AS(run({.fuzzifier = m}), option_error);
    CHECK_THROWS_AS(run({.tolerance = -1}), option_error);
    CHECK_THROWS_AS(run({.tolerance = std::nan("")}), option_error);
    CHECK_THROWS_AS(run({.max_iterations = 0}), option_error);
    CHECK_THROWS_AS(run({.seeding_power = 0}), option_error);
    std::vector<double> w(40, 1.0), c(2 * 3, 0.5), u(40 * 2, 0.5);
    CHECK_THROWS_AS(run({.clusters = 2}, {.weights = std::span{w}.first(39)}), shape_error);
    CHECK_THROWS_AS(run({.clusters = 3}, {.centres = c}), shape_error);
    CHECK_THROWS_AS(run({.clusters = 3}, {.memberships = u}), shape_error);
    w[7] = -1;
    CHECK_THROWS_AS(run({.clusters = 2}, {.weights = w}), option_error);
    std::ranges::fill(w, 0.0);
    CHECK_THROWS_AS(run({.clusters = 2}, {.weights = w}), option_error);
    u[3] = 0.6;
    CHECK_THROWS_WITH(run({.clusters = 2}, {.memberships = u}), contains("of point 1"));
    for (std::size_t i = 0; i != 40; ++i) {
        u[2 * i] = 1;
        u[2 * i + 1] = 0;
    }
    CHECK_THROWS_WITH(run({.clusters = 2}, {.memberships = u}), contains("cluster 1 without members"));
    CHECK_NOTHROW(run({.clusters = 2}, {.centres = c, .memberships = u}));
    c[2] = std::nan("");
    CHECK_THROWS_AS(run({.clusters = 2}, {.centres = c}), non_finite_error);
    CHECK_THROWS_AS(cluster::fuzzy_c_means<double>(be, mat_view<double const *>(x.data(), 0, 3)), shape_error);
    x[3 * 17 + 1] = std::numeric_limits<double>::infinity();
    CHECK_THROWS_WITH(run({.clusters = 2}), contains("point 17"));
    std::vector<float> const large(30, 3e38F); // whose sum is none
    CHECK_THROWS_WITH(cluster::fuzzy_c_means<float>(be, rows_of(large, 3), {.clusters = 1}),
                      contains("centre 0: sums over the points are not finite"));
    x[3 * 17 + 1] = std::nan("");
    CHECK_THROWS_AS(run({.clusters = 2}), non_finite_error);
    x[3 * 17] = x[3 * 17 + 1] = x[3 * 17 + 2] = 0;
    CHECK_NOTHROW(run({.clusters = 2}));
    CHECK_THROWS_WITH(run({.clusters = 2, .metric = metric::cosine}), contains("point 17: has length 0"));
    testing::archetype<testing::floor::matrix_space, double> device;
    CHECK_THROWS_WITH(fit_on<double>(device, x, 3, {.clusters = 2, .metric = metric::cosine}), contains("point 17"));
    x[3 * 17] = std::nan("");
    CHECK_THROWS_WITH(fit_on<double>(device, x, 3, {.clusters = 2}), contains("point 17"));
}

TEST_CASE("progress is told, and a stop is heard", "[fuzzy_c_means]") {
    plain_backend be;
    auto const x = blobs<float>(300, 4, 3, 2, 3.0);
    struct at_third {
        std::size_t const * seen;
        [[nodiscard]] bool stop_requested() const { return *seen == 3; }
    };
    std::size_t seen = 0;
    double last = 0;
    auto const observe = [&](progress const & p) {
        CHECK(p.step == ++seen);
        CHECK(p.total == 50);
        last = p.objective;
    };
    auto const r = cluster::fuzzy_c_means<float>(be, rows_of(x, 4),
                                                 {.clusters = 3, .fuzzifier = 2, .tolerance = 0, .max_iterations = 50},
                                                 control{observe, at_third{&seen}});
    CHECK(r.status == status::stopped);
    CHECK(r.iterations == 3);
    CHECK(r.objective == last);
}

TEST_CASE("one batch without prior is one iteration; a single chunk is the method itself", "[streaming]") {
    plain_backend be;
    std::size_t const d = 7, k = 3;
    auto const x = blobs<double>(500, d, k, 4, 1.2);
    std::vector<double> const c(x.begin(), x.begin() + k * d);
    cluster::streaming_fuzzy_c_means<plain_backend, double> stream(c, k, {.fuzzifier = 1.6});
    stream.add(be, rows_of(x, d));
    fuzzy_c_means_options const o{
        .clusters = k, .fuzzifier = 1.6, .stop = stopping::centre, .tolerance = 0, .max_iterations = 1};
    auto const one = fit_on<double>(be, x, d, o, {.centres = c});
    CHECK(std::ranges::equal(stream.centres(), one.centres));
    cluster::single_pass_fuzzy_c_means<plain_backend, double> pass(c, k, {.fuzzifier = 1.6, .iterations = 4});
    pass.add(be, rows_of(x, d));
    auto four = o;
    four.max_iterations = 4;
    auto const expected = fit_on<double>(be, x, d, four, {.centres = c});
    CHECK(std::ranges::equal(pass.centres(), expected.centres));
    CHECK(std::ranges::equal(pass.masses(), expected.masses));
    pass.add(be, mat_view<double const *>(x.data(), 0, d));
    CHECK(std::ranges::equal(pass.centres(), expected.centres));
    CHECK(std::accumulate(pass.masses().begin(), pass.masses().end(), 0.0) == Approx(500));
    CHECK_THROWS_AS(stream.add(be, mat_view<double const *>(x.data(), 2, d - 1)), shape_error);
    CHECK_THROWS_AS((cluster::streaming_fuzzy_c_means<plain_backend, double>(c, k, {.forget = 1.5})), option_error);
    CHECK_THROWS_AS((cluster::streaming_fuzzy_c_means<plain_backend, double>(c, k, {.prior = -1})), option_error);
    CHECK_THROWS_AS((cluster::streaming_fuzzy_c_means<plain_backend, double>(c, 4)), shape_error);
    CHECK_THROWS_AS((cluster::single_pass_fuzzy_c_means<plain_backend, double>(c, k, {.iterations = 0})), option_error);
}
