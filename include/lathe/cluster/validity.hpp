#pragma once
/// \file  How good a fuzzy partition is, and whether the fuzzifier lets there be one. docs/clustering.md.
#include <lathe/cluster/fuzzy_c_means.hpp>

LATHE_NAMESPACE_BEGIN
namespace cluster {

/// Indices of a partition of N points (of weight W) into K clusters. The first are of memberships alone; a partition
/// coefficient near 1 / K together with a huge Xie-Beni index tells of centres that have merged.
struct validity_result {
    double partition_coefficient;  ///< sum of w u^2 / W, in [1 / K, 1] (Bezdek)
    double modified_coefficient;   ///< 1 - K / (K - 1) (1 - that), in [0, 1] (Dave); 1 of one cluster
    double partition_entropy;      ///< -sum of w u ln u / W, in [0, ln K]
    double partition_entropy_bits; ///< the same with log2
    double normalised_entropy;     ///< the entropy / ln K; 0 of one cluster
    double xie_beni;               ///< sum of w u^m D / (W separation); infinite where centres coincide
    double xie_beni_squares;       ///< the same with u^2, as it was published
    double fukuyama_sugeno;        ///< sum of w u^m (D - the distance of the centre from the mean of all points)
    double separation;             ///< the smallest distance D between two centres; infinite of one cluster
    double objective;              ///< sum of w u^m D
};

/// D between two vectors of numbers.
inline double distance_between(std::span<double const> a, std::span<double const> b, metric of) {
    double square = 0, aa = 0, bb = 0, ab = 0;
    for (std::size_t k = 0; k != a.size(); ++k) {
        square += (a[k] - b[k]) * (a[k] - b[k]);
        aa += a[k] * a[k];
        bb += b[k] * b[k];
        ab += a[k] * b[k];
    }
    return of == metric::euclidean ? square : std::max(0.0, 1 - ab / (std::sqrt(aa) * std::sqrt(bb)));
}

/// The indices of the partition that given centres make of points, resident or streamed. One pass; another for the
/// mean.
/// \throws shape_error, option_error, non_finite_error
template <real T, class B, class Points>
    requires matrix_space<B, T> && requires(Points & p) { p.distance(); }
validity_result validity(B & be, Points & points, std::span<double const> centres, std::size_t clusters,
                         double fuzzifier, std::span<double const> weights) {
    auto const dimensions = points.dimensions();
    fuzzy_c_means_options const o{.clusters = clusters, .fuzzifier = fuzzifier, .metric = points.distance()};
    validate(o, {.weights = weights, .centres = centres}, points.size(), dimensions);
    expects_shape(!centres.empty(), "validity: there are no centres");
    std::vector<double> scaled(centres.begin(), centres.end());
    if (o.metric == metric::cosine)
        scale_to_length_one(scaled, dimensions);
    auto const pass = [&](std::span<double const> at, std::size_t k, bool indices) {
        centre_set<B, T> set(be, at, k, dimensions);
        membership_pass<B, T> over(fuzzy_rule(fuzzifier), k, dimensions);
        pass_request<B, T> ask;
        ask.centres = &set;
        ask.sums = !indices;
        ask.indices = indices;
        auto totals = over.begin(ask);
        points.for_each(be, [&](point_set<B, T> & block, std::size_t number) {
            over.add(be, ask, block, weights.empty() ? weights : weights.subspan(number, block.size()), number, totals);
        });
        return totals;
    };
    auto const totals = pass(scaled, clusters, true);
    // Everything belongs to one cluster, whose centre is the mean.
    auto const whole = pass(std::span<double const>{scaled}.first(dimensions), 1, false);
    std::vector<double> mean(dimensions);
    for (std::size_t k = 0; k != dimensions; ++k)
        mean[k] = whole.sums[k] / whole.weights[0];
    auto const row = [&](std::size_t j) { return std::span<double const>{scaled}.subspan(j * dimensions, dimensions); };

    validity_result r{};
    auto const k = static_cast<double>(clusters), total = whole.weights[0];
    r.partition_coefficient = totals.squares / total;
    r.modified_coefficient = clusters == 1 ? 1 : 1 - k / (k - 1) * (1 - r.partition_coefficient);
    r.partition_entropy = -totals.entropy / total;
    r.partition_entropy_bits = r.partition_entropy / std::log(2.0);
    r.normalised_entropy = clusters == 1 ? 0 : r.partition_entropy / std::log(k);
    r.separation = std::numeric_limits<double>::infinity();
    r.objective = r.fukuyama_sugeno = totals.objective;
    for (std::size_t j = 0; j != clusters; ++j) {
        r.fukuyama_sugeno -= totals.weights[j] * distance_between(row(j), mean, o.metric);
        for (std::size_t i = 0; i != j; ++i)
            r.separation = std::min(r.separation, distance_between(row(i), row(j), o.metric));
    }
    auto const by_separation = [&](double sum) {
        return r.separation == 0 ? std::numeric_limits<double>::infinity() : sum / (total * r.separation);
    };
    r.xie_beni = by_separation(totals.objective);
    r.xie_beni_squares = by_separation(totals.compactness);
    return r;
}
/// The same of the rows of X.
template <real T = float, class B, class P>
    requires matrix_space<B, T>
validity_result validity(B & be, mat_view<P> x, std::span<double const> centres, std::size_t clusters, double fuzzifier,
                         metric of = metric::euclidean, std::span<double const> weights = {}) {
    resident_points<B, T> points(be, cmat<B, T>(x), of);
    return validity<T>(be, points, centres, clusters, fuzzifier, weights);
}

/// The largest eigenvalue of a symmetric tridiagonal matrix, by bisection on the signs of its pivots (Sturm).
inline double largest_eigenvalue(std::span<double const> diagonal, std::span<double const> beside) {
    double low = -std::numeric_limits<double>::infinity(), high = low;
    for (std::size_t i = 0; i != diagonal.size(); ++i) {
        auto const radius =
            (i == 0 ? 0 : std::abs(beside[i - 1])) + (i + 1 == diagonal.size() ? 0 : std::abs(beside[i]));
        low = std::max(low, diagonal[i]);
        high = std::max(high, diagonal[i] + radius);
    }
    auto const all_below = [&](double x) {
        double pivot = 1;
        for (std::size_t i = 0; i != diagonal.size(); ++i) {
            pivot = x - diagonal[i] - (i == 0 ? 0 : beside[i - 1] * beside[i - 1] / pivot);
            if (!(pivot > 0))
                return false;
        }
        return true;
    };
    for (int i = 0; i != 200 && low < high; ++i) {
        auto const middle = low + (high - low) / 2;
        if (middle <= low || middle >= high)
            break;
        (all_below(middle) ? high : low) = middle;
    }
    return high;
}

/// out[i] := <x_i, v>. One pass.
template <real T, class B>
    requires matrix_space<B, T>
void products_with(B & be, point_set<B, T> & points, std::span<double const> v, std::span<double> out) {
    auto const d = points.dimensions();
    centre_set<B, T> one(be, v, 1, d);
    if constexpr (host_addressable<B, T>) {
        auto && e = host::executor_of(be);
        e.parallel_for((points.size() + host::panel_rows - 1) / host::panel_rows, [&](std::size_t panel) {
            auto const first = panel * host::panel_rows, count = std::min(host::panel_rows, points.size() - first);
            host::panel_products<T>(points.block(first, count), one.rounded(), out.data() + first);
        });
    } else {
        auto memory = be.template allocate<T>(block_rows);
        std::vector<T> values(block_rows);
        for (std::size_t first = 0; first < points.size(); first += block_rows) {
            auto const rows = std::min(block_rows, points.size() - first);
            auto const to = memory.view().sub(0, rows);
            ops::gemm(be, op::none, op::transpose, T(1), one.device(), points.block(first, rows), T(0),
                      as_matrix(to, 1, rows));
            be.download(cvec<B, T>(to), std::span{values}.first(rows));
            std::copy_n(values.begin(), rows, out.begin() + static_cast<std::ptrdiff_t>(first));
        }
    }
}
/// out := the sum of w_i x_i. One pass.
template <real T, class B>
    requires matrix_space<B, T>
void weighted_sum(B & be, point_set<B, T> & points, std::span<double const> w, std::span<double> out) {
    auto const d = points.dimensions();
    std::ranges::fill(out, 0.0);
    if constexpr (host_addressable<B, T>) {
        auto && e = host::executor_of(be);
        auto const blocks = (points.size() + block_rows - 1) / block_rows;
        std::vector<host::weighted_rows<T>> sums(blocks, host::weighted_rows<T>(1, d));
        e.parallel_for(blocks, [&](std::size_t block) {
            std::array<T, host::panel_rows> v;
            auto const end = std::min(points.size(), (block + 1) * block_rows);
            for (auto first = block * block_rows; first < end; first += host::panel_rows) {
                auto const count = std::min(host::panel_rows, end - first);
                for (std::size_t i = 0; i != count; ++i)
                    v[i] = static_cast<T>(w[first + i]);
                sums[block].add(points.block(first, count), v.data());
            }
        });
        for (auto const & s : sums)
            s.add_to(0, out.data());
    } else {
        auto factors = be.template allocate<T>(block_rows), sums = be.template allocate<T>(d);
        std::vector<T> values(std::max(block_rows, d));
        for (std::size_t first = 0; first < points.size(); first += block_rows) {
            auto const rows = std::min(block_rows, points.size() - first);
            for (std::size_t i = 0; i != rows; ++i)
                values[i] = static_cast<T>(w[first + i]);
            be.upload(std::span<T const>{values}.first(rows), factors.view().sub(0, rows));
            ops::gemm(be, op::none, op::none, T(1), as_matrix(factors.view().sub(0, rows), 1, rows),
                      points.block(first, rows), T(0), as_matrix(sums.view(), 1, d));
            be.download(cvec<B, T>(sums.view()), std::span{values}.first(d));
            for (std::size_t k = 0; k != d; ++k)
                out[k] += static_cast<double>(values[k]);
        }
    }
}

/// What collapse_bound found.
struct collapse_result {
    double lambda;     ///< the largest eigenvalue of the mean of y y^T / |y|^2, y the points less their mean
    double fuzzifier;  ///< with fuzzifiers not below this all centres may end at the mean; infinite if with none
    std::size_t steps; ///< passes it took
    bool converged;    ///< whether lambda settled within the tolerance
};

/// The fuzzifier from which on "all centres at the mean" attracts: 1 / (1 - 2 lambda), whatever the number of clusters
/// (docs/clustering.md). Of data spread evenly over d directions lambda is 1 / d: sentence embeddings need a
/// fuzzifier near 1. Euclidean distances. Lanczos' iteration: a pass a step, some tens of them, to a relative change
/// below `tolerance`; 4 N d each. Points equal to the mean are left out. \throws shape_error, non_finite_error
template <real T = float, class B, class P>
    requires matrix_space<B, T>
collapse_result collapse_bound(B & be, mat_view<P> x, double tolerance = 1e-9, std::size_t max_steps = 200) {
    expects_shape(x.rows != 0 && x.cols != 0, "collapse_bound: there are no points");
    point_set<B, T> points(be, cmat<B, T>(x), metric::euclidean);
    auto const n = x.rows, d = x.cols;
    // The mean: the centre of one cluster. Distances from it are |y|^2.
    std::vector<double> mean(d, 0.0), squares(n);
    {
        centre_set<B, T> origin(be, mean, 1, d);
        membership_pass<B, T> over(fuzzy_rule(2), 1, d);
        pass_request<B, T> ask;
        ask.centres = &origin;
        auto totals = over.begin(ask);
        over.add(be, ask, points, {}, 0, totals);
        for (std::size_t k = 0; k != d; ++k)
            mean[k] = totals.sums[k] / static_cast<double>(n);
        resident_points<B, T> all(be, cmat<B, T>(x), metric::euclidean);
        distances_from<T>(be, all, mean, squares);
    }
    // w := F v
    auto const apply = [&](std::vector<double> const & v) {
        std::vector<double> products(n), w(d);
        double along_mean = 0, sum = 0;
        for (std::size_t k = 0; k != d; ++k)
            along_mean += v[k] * mean[k];
        products_with<T>(be, points, v, products);
        for (std::size_t i = 0; i != n; ++i) {
            products[i] = squares[i] > 0 ? (products[i] - along_mean) / squares[i] : 0;
            sum += products[i];
        }
        weighted_sum<T>(be, points, products, w);
        for (std::size_t k = 0; k != d; ++k)
            w[k] = (w[k] - sum * mean[k]) / static_cast<double>(n);
        return w;
    };
    auto const dot = [](std::vector<double> const & a, std::vector<double> const & b) {
        double s = 0;
        for (std::size_t k = 0; k != a.size(); ++k)
            s += a[k] * b[k];
        return s;
    };
    std::vector<std::vector<double>> basis;
    std::vector<double> alpha, beta, v(d);
    random::uniform_stream const u{0, seeding_purpose};
    for (std::size_t k = 0; k != d; ++k)
        v[k] = static_cast<double>(u[k]) - 0.5;
    double length = std::sqrt(dot(v, v));
    collapse_result r{0, 0, 0, false};
    for (auto const most = std::min(d, max_steps); r.steps != most && length > 1e-14;) {
        for (auto & e : v)
            e /= length;
        basis.push_back(v);
        v = apply(basis.back());
        ++r.steps;
        alpha.push_back(dot(v, basis.back()));
        for (int twice = 0; twice != 2; ++twice) // against every vector so far, or copies of eigenvalues appear
            for (auto const & b : basis) {
                auto const c = dot(v, b);
                for (std::size_t k = 0; k != d; ++k)
                    v[k] -= c * b[k];
            }
        length = std::sqrt(dot(v, v));
        auto const lambda = largest_eigenvalue(alpha, beta);
        r.converged = r.steps > 1 && std::abs(lambda - r.lambda) <= tolerance * lambda;
        r.lambda = lambda;
        if (r.converged)
            break;
        beta.push_back(length);
    }
    r.converged |= r.steps == d || length <= 1e-14;
    r.fuzzifier = r.lambda < 0.5 ? 1 / (1 - 2 * r.lambda) : std::numeric_limits<double>::infinity();
    return r;
}

} // namespace cluster
LATHE_NAMESPACE_END
