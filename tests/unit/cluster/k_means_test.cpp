// k-means, validity indices and the bound of the fuzzifier.
#include "plain_backend.hpp"
#include "points.hpp"

#include <lathe/cluster/k_means.hpp>
#include <lathe/cluster/validity.hpp>
#include <lathe/testing/archetype.hpp>

#include <catch.hpp>

namespace {
using namespace lathe;
using namespace lathe_test;
using cluster::metric;
using device_type = testing::archetype<testing::floor::matrix_space, double>;

/// Lloyd's iteration, written down.
struct plain_k_means {
    std::vector<double> centres;
    std::vector<std::size_t> labels;
    std::size_t iterations = 0;
};
plain_k_means lloyd(std::vector<double> const & x, std::size_t d, std::vector<double> c, bool cosine) {
    plain_k_means r;
    auto const n = x.size() / d, k = c.size() / d;
    for (;;) {
        auto const distances = plain_distances(x, c, d, cosine);
        r.labels.assign(n, 0);
        for (std::size_t i = 0; i != n; ++i)
            for (std::size_t j = 1; j != k; ++j)
                if (distances[i * k + j] < distances[i * k + r.labels[i]])
                    r.labels[i] = j;
        auto const before = c;
        for (std::size_t j = 0; j != k; ++j) {
            std::vector<double> sum(d);
            double count = 0, square = 0;
            for (std::size_t i = 0; i != n; ++i)
                if (r.labels[i] == j) {
                    ++count;
                    for (std::size_t e = 0; e != d; ++e)
                        sum[e] += x[i * d + e];
                }
            for (auto const s : sum)
                square += s * s;
            for (std::size_t e = 0; e != d && count != 0; ++e)
                c[j * d + e] = sum[e] / (cosine ? std::sqrt(square) : count);
        }
        ++r.iterations;
        double moved = 0;
        for (std::size_t i = 0; i != c.size(); ++i)
            moved = std::max(moved, std::abs(c[i] - before[i]));
        if (moved < 1e-14) {
            r.centres = c;
            return r;
        }
    }
}
} // namespace

TEST_CASE("k-means is Lloyd's iteration, plain and spherical, on the host and on a device", "[k_means]") {
    auto const of = GENERATE(metric::euclidean, metric::cosine);
    std::size_t const d = 8, k = 5, n = 1300;
    auto const x = blobs<double>(n, d, 4, 3, 1.6);
    std::vector<double> start(x.begin(), x.begin() + k * d);
    auto const expected = lloyd(x, d, start, of == metric::cosine);
    auto const check = [&](auto & be) {
        using B = std::remove_reference_t<decltype(be)>;
        auto rows = be.template allocate<double>(x.size());
        be.upload(std::span<double const>{x}, rows.view());
        auto const view = cmat<B, double>(as_matrix(rows.view(), n, d));
        auto const r =
            cluster::k_means<double>(be, view, {.centres = start}, {.clusters = k, .metric = of, .tolerance = 1e-14});
        CHECK(r.status == status::converged);
        CHECK(r.iterations == expected.iterations);
        for (std::size_t i = 0; i != r.centres.size(); ++i)
            CHECK(r.centres[i] == Approx(expected.centres[i]).margin(1e-12));
        CHECK(cluster::nearest_centres<double>(be, view, r.centres, k, of) == expected.labels);
        double total = 0;
        for (std::size_t j = 0; j != k; ++j) {
            CHECK(r.weights[j] == static_cast<double>(std::ranges::count(expected.labels, j)));
            total += r.weights[j];
        }
        CHECK(total == static_cast<double>(n));
        long double inertia = 0;
        auto const distances = plain_distances(x, expected.centres, d, of == metric::cosine);
        for (std::size_t i = 0; i != n; ++i)
            inertia += distances[i * k + expected.labels[i]];
        CHECK(r.objective == Approx(static_cast<double>(inertia)).epsilon(1e-11));
    };
    plain_backend host;
    device_type device;
    check(host);
    check(device);
}

TEST_CASE("k-means: ties go to the first centre, empty clusters keep theirs", "[k_means]") {
    plain_backend be;
    device_type device;
    std::vector<double> const x{-1, 0, 1, 0, 0, 0}; // the last is as near to one as to the other
    std::vector<double> const c{-1, 0, 1, 0, 50, 50};
    CHECK(cluster::nearest_centres<double>(be, rows_of(x, 2), c, 3) == std::vector<std::size_t>{0, 1, 0});
    auto rows = device.allocate<double>(x.size());
    device.upload(std::span<double const>{x}, rows.view());
    CHECK(cluster::nearest_centres<double>(device, as_matrix(rows.view(), 3, 2), c, 3)
          == std::vector<std::size_t>{0, 1, 0});
    auto const r = cluster::k_means<double>(be, rows_of(x, 2), {.centres = c}, {.clusters = 3});
    CHECK(r.weights == std::vector<double>{2, 1, 0});
    CHECK(std::vector<double>(r.centres.begin() + 4, r.centres.end()) == std::vector<double>{50, 50});
    CHECK_THROWS_AS(cluster::k_means<double>(be, rows_of(x, 2), {.start = cluster::seeding::random_memberships}),
                    option_error);
    CHECK_THROWS_AS(cluster::k_means<double>(be, rows_of(x, 2), {.memberships = c}, {.clusters = 2}), option_error);
    memory_checkpoint file;
    file.set<double>("points", {3, 2}, std::span<double const>{x});
    cluster::checkpoint_rows<plain_backend, double> source(file, 0);
    CHECK(cluster::k_means<double>(be, source, {.centres = c}, {.clusters = 3}).centres == r.centres);
}

TEST_CASE("validity indices are their formulas, weighted and on a device", "[validity]") {
    auto const of = GENERATE(metric::euclidean, metric::cosine);
    std::size_t const d = 5, k = 3, n = 400;
    auto const x = blobs<double>(n, d, 3, 8, 1.0);
    double const m = 1.7;
    std::vector<double> c(x.begin() + 5 * d, x.begin() + 8 * d), w(n);
    if (of == metric::cosine)
        cluster::scale_to_length_one(c, d);
    for (std::size_t i = 0; i != n; ++i)
        w[i] = 0.5 + static_cast<double>(i % 4);
    w[5] = w[6] = w[7] = 0; // the points that are centres
    auto distances = plain_distances(x, c, d, of == metric::cosine);
    for (auto & v : distances)
        v = std::max(v, 1e-25L);
    auto const u = plain_memberships(distances, k, m);
    long double total = 0, squares = 0, entropy = 0, objective = 0, compact = 0, weight[k] = {};
    std::vector<double> mean(d);
    for (std::size_t i = 0; i != n; ++i) {
        total += w[i];
        for (std::size_t e = 0; e != d; ++e)
            mean[e] += w[i] * x[i * d + e];
        for (std::size_t j = 0; j != k; ++j) {
            auto const v = u[i * k + j], vm = std::pow(v, static_cast<long double>(m));
            squares += w[i] * v * v;
            entropy -= w[i] * v * std::log(v);
            objective += w[i] * vm * distances[i * k + j];
            compact += w[i] * v * v * distances[i * k + j];
            weight[j] += w[i] * vm;
        }
    }
    for (auto & e : mean)
        e /= static_cast<double>(total);
    auto const row = [&](std::size_t j) { return std::span<double const>{c}.subspan(j * d, d); };
    double separation = 1e300, from_mean = 0;
    for (std::size_t j = 0; j != k; ++j) {
        from_mean += static_cast<double>(weight[j]) * cluster::distance_between(row(j), mean, of);
        for (std::size_t i = 0; i != j; ++i)
            separation = std::min(separation, cluster::distance_between(row(i), row(j), of));
    }
    auto const check = [&](auto & be) {
        using B = std::remove_reference_t<decltype(be)>;
        auto rows = be.template allocate<double>(x.size());
        be.upload(std::span<double const>{x}, rows.view());
        auto const v = cluster::validity<double>(be, cmat<B, double>(as_matrix(rows.view(), n, d)), c, k, m, of, w);
        auto const is = [](double actual, long double expected) {
            CHECK(actual == Approx(static_cast<double>(expected)).epsilon(1e-10));
        };
        is(v.partition_coefficient, squares / total);
        is(v.modified_coefficient, 1 - 1.5L * (1 - squares / total));
        is(v.partition_entropy, entropy / total);
        is(v.partition_entropy_bits, entropy / total / std::log(2.0L));
        is(v.normalised_entropy, entropy / total / std::log(3.0L));
        is(v.xie_beni, objective / (total * separation));
        is(v.xie_beni_squares, compact / (total * separation));
        is(v.fukuyama_sugeno, objective - from_mean);
        is(v.objective, objective);
    };
    plain_backend host;
    device_type device;
    check(host);
    check(device);
    std::vector<double> same(c.begin(), c.begin() + d);
    same.insert(same.end(), c.begin(), c.begin() + d);
    auto const merged = cluster::validity<double>(host, rows_of(x, d), same, 2, m, of);
    CHECK(std::isinf(merged.xie_beni));
    CHECK(merged.partition_coefficient == Approx(0.5));
    auto const one =
        cluster::validity<double>(host, rows_of(x, d), std::vector<double>(c.begin(), c.begin() + d), 1, m, of);
    CHECK(one.partition_coefficient == Approx(1));
    CHECK(one.normalised_entropy == 0);
    CHECK(one.modified_coefficient == 1);
    CHECK(std::isinf(one.separation));
}

TEST_CASE("the largest eigenvalue of tridiagonal matrices", "[validity]") {
    CHECK(cluster::largest_eigenvalue(std::vector<double>{3}, {}) == Approx(3));
    CHECK(cluster::largest_eigenvalue(std::vector<double>{0, 0}, std::vector<double>{2}) == Approx(2));
    // 2 on the diagonal, -1 beside it: 2 + 2 cos(pi / (n + 1)).
    std::vector<double> const diagonal(20, 2.0), beside(19, -1.0);
    CHECK(cluster::largest_eigenvalue(diagonal, beside)
          == Approx(2 + 2 * std::cos(std::acos(-1.0) / 21)).epsilon(1e-12));
}

TEST_CASE("the bound of the fuzzifier: flat data collapse late, spread data early", "[validity]") {
    plain_backend be;
    device_type device;
    std::size_t const n = 2000;
    random::uniform_stream const u{12};
    for (std::size_t const d : {2, 5, 40}) {
        std::vector<double> x(n * d);
        for (std::size_t i = 0; i != x.size(); ++i)
            x[i] = static_cast<double>(u[i]) - 0.5 + 3; // far from the origin: the mean has to go
        auto const r = cluster::collapse_bound<double>(be, rows_of(x, d));
        CHECK(r.converged);
        CHECK(r.lambda >= 1 / static_cast<double>(d) - 1e-9); // its mean eigenvalue
        CHECK(r.lambda < 1.6 / static_cast<double>(d));
        CHECK((r.lambda < 0.5) == std::isfinite(r.fuzzifier));
        auto rows = device.allocate<double>(x.size());
        device.upload(std::span<double const>{x}, rows.view());
        CHECK(cluster::collapse_bound<double>(device, as_matrix(rows.view(), n, d)).lambda
              == Approx(r.lambda).epsilon(1e-8));
    }
    std::vector<double> line(60); // on a line: lambda is 1
    for (std::size_t i = 0; i != 20; ++i)
        for (std::size_t k = 0; k != 3; ++k)
            line[3 * i + k] = static_cast<double>(i) * (1 + static_cast<double>(k));
    auto const r = cluster::collapse_bound<double>(be, rows_of(line, 3));
    CHECK(r.lambda == Approx(1));
    CHECK(std::isinf(r.fuzzifier));
    std::vector<double> const equal(30, 2.0);
    auto const none = cluster::collapse_bound<double>(be, rows_of(equal, 3));
    CHECK(none.lambda == 0);
    CHECK(none.fuzzifier == 1);
}
