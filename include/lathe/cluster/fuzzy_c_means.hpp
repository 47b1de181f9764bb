#pragma once
/// \file  Fuzzy c-means (Bezdek, Pattern recognition with fuzzy objective function algorithms, 1981): clusters that
///        every point belongs to in part. docs/clustering.md.
#include <lathe/cluster/seeding.hpp>
#include <lathe/core/control.hpp>

LATHE_NAMESPACE_BEGIN
namespace cluster {

/// What is small when a method stops. U_t are the memberships at the centres of iteration t.
enum class stopping : unsigned char {
    max,     ///< the largest change of a membership: not above the tolerance
    abs_sum, ///< the sum of all changes of memberships: not above it. It grows with the number of points
    fro,     ///< the root of the sum of their squares: below it
    centre   ///< the largest distance that a centre moved: not above it. The only rule that costs nothing
};

/// Options of fuzzy_c_means, and of k-means as far as they share them.
struct fuzzy_c_means_options {
    std::size_t clusters = 8; ///< K, at least 1
    double fuzzifier = 1.1; ///< m > 1; towards 1 it is k-means. Sentence embeddings need it near 1: see collapse_bound
    cluster::metric metric = cluster::metric::euclidean; ///< what D is
    seeding start = seeding::d_squared;                  ///< unless clustering_inputs bring a start
    double seeding_power = 1;                            ///< of distances in d_squared
    std::uint64_t seed = 0;                              ///< of the start
    stopping stop = stopping::max;                       ///< what is compared with the tolerance
    double tolerance = 1e-4;                             ///< >= 0
    std::size_t max_iterations = 300;                    ///< at least 1
};

/// What belongs to the points, and a start in the place of options.start. Host memory; empty where not given.
struct clustering_inputs {
    std::span<double const> weights{};     ///< of the points, >= 0, not all 0; absent: all 1
    std::span<double const> centres{};     ///< clusters x dimensions to start from
    std::span<double const> memberships{}; ///< points x clusters to start from; then `centres` are those that clusters
                                           ///< without members have
};

/// What fuzzy_c_means found, and where it stopped.
struct fuzzy_c_means_result {
    fuzzy_c_means_options options; ///< echoed
    lathe::status status;          ///< converged, iteration_limit or stopped
    std::size_t iterations;        ///< updates of the centres
    std::size_t dimensions;        ///< of a point
    std::vector<double> centres;   ///< clusters x dimensions
    std::vector<double> weights;   ///< of each cluster: the sum of w u^m
    std::vector<double> masses;    ///< of each cluster: the sum of w u
    double objective;              ///< sum of w u^m D over points and clusters, at the centres and their memberships
    double mixed_objective; ///< the same at the centres and the memberships before: what scikit-fuzzy reports. NaN
                            ///< with stopping::centre
    double residual;        ///< what the stopping rule looked at last
    double separation;      ///< the smallest distance between two centres; infinite of one
};

/// Checks what is given for N points in d dimensions. \throws option_error, shape_error, non_finite_error
inline void validate(fuzzy_c_means_options const & o, clustering_inputs const & in, std::size_t points,
                     std::size_t dimensions) {
    expects_option(o.clusters >= 1, "clusters", "0", "at least 1");
    static_cast<void>(fuzzy_rule(o.fuzzifier));
    expects_option(std::isfinite(o.seeding_power) && o.seeding_power > 0, "seeding_power",
                   std::to_string(o.seeding_power), "a number above 0");
    expects_option(o.tolerance >= 0, "tolerance", std::to_string(o.tolerance), "a number not below 0");
    expects_option(o.max_iterations >= 1, "max_iterations", "0", "at least 1");
    expects_shape(points != 0 && dimensions != 0, "fuzzy_c_means: there are no points, or they have no elements");
    expects_shape(in.weights.empty() || in.weights.size() == points, "fuzzy_c_means: one weight for each point");
    expects_shape(in.centres.empty() || in.centres.size() == o.clusters * dimensions,
                  "fuzzy_c_means: the starting centres are not clusters x dimensions");
    expects_shape(in.memberships.empty() || in.memberships.size() == points * o.clusters,
                  "fuzzy_c_means: the starting memberships are not points x clusters");
    double total = 0;
    for (auto const w : in.weights) {
        expects_option(std::isfinite(w) && w >= 0, "weights", std::to_string(w), "finite numbers >= 0");
        total += w;
    }
    expects_option(in.weights.empty() || (total > 0 && std::isfinite(total)), "weights",
                   "a sum of " + std::to_string(total), "a finite sum above 0");
    for (auto const c : in.centres)
        if (!std::isfinite(c)) [[unlikely]]
            throw non_finite_error{"fuzzy_c_means: a starting centre is not finite"};
    for (std::size_t i = 0; i != in.memberships.size() / o.clusters; ++i) {
        double sum = 0;
        for (auto const u : in.memberships.subspan(i * o.clusters, o.clusters)) {
            expects_option(u >= 0 && u <= 1, "memberships", std::to_string(u), "numbers from 0 to 1");
            sum += u;
        }
        expects_option(std::abs(sum - 1) < 1e-6, "memberships",
                       "a sum of " + std::to_string(sum) + " of point " + std::to_string(i), "a sum of 1");
    }
}

/// The next centres from the sums of a pass: means of the points, of length 1 in cosines. A cluster without weight,
/// and in cosines one whose mean is 0, keeps the centre before. \throws option_error if there is none before;
/// non_finite_error where sums of finite points are not
inline void update_centres(pass_totals const & totals, metric of, std::span<double const> before,
                           std::span<double> centres) {
    auto const clusters = totals.weights.size(), dimensions = centres.size() / clusters;
    for (std::size_t j = 0; j != clusters; ++j) {
        auto const sums = std::span{totals.sums}.subspan(j * dimensions, dimensions);
        auto divisor = totals.weights[j];
        if (of == metric::cosine) {
            double square = 0;
            for (auto const s : sums)
                square += s * s;
            divisor = divisor > 0 ? std::sqrt(square) : 0;
        }
        if (!std::isfinite(divisor) || !std::ranges::all_of(sums, [](double s) { return std::isfinite(s); }))
            throw non_finite_error{"centre " + std::to_string(j)
                                   + ": sums over the points are not finite: they are too large for the arithmetic"};
        if (divisor > 0)
            for (std::size_t k = 0; k != dimensions; ++k)
                centres[j * dimensions + k] = sums[k] / divisor;
        else {
            expects_option(!before.empty(), "memberships", "cluster " + std::to_string(j) + " without members",
                           "starting centres beside them, or members of every cluster");
            std::ranges::copy(before.subspan(j * dimensions, dimensions),
                              centres.begin() + static_cast<std::ptrdiff_t>(j * dimensions));
        }
    }
}

/// Centres of length 1, for cosines. \throws option_error for one of length 0
inline void scale_to_length_one(std::span<double> centres, std::size_t dimensions) {
    for (std::size_t j = 0; j != centres.size() / dimensions; ++j) {
        auto const c = centres.subspan(j * dimensions, dimensions);
        double square = 0;
        for (auto const x : c)
            square += x * x;
        expects_option(square > 0, "centres", "length 0 of centre " + std::to_string(j), "lengths above 0 for cosines");
        if (std::abs(square - 1) > 1e-15)
            for (auto & x : c)
                x /= std::sqrt(square);
    }
}

/// The smallest Euclidean distance between two centres, and the pairs not further apart than `within`: where clusters
/// have merged. K^2 d.
struct centre_distances {
    double smallest = std::numeric_limits<double>::infinity();   ///< infinite of one centre
    std::vector<std::pair<std::size_t, std::size_t>> duplicates; ///< numbers of centres, the larger one first
};
/// Of centres one after the other, `dimensions` numbers each. \throws shape_error
inline centre_distances distances_between(std::span<double const> centres, std::size_t dimensions, double within = 0) {
    expects_shape(dimensions != 0 && centres.size() % dimensions == 0, "distances_between: the extents do not fit");
    centre_distances result;
    for (std::size_t j = 0; j != centres.size() / dimensions; ++j)
        for (std::size_t k = 0; k != j; ++k) {
            double square = 0;
            for (std::size_t i = 0; i != dimensions; ++i) {
                auto const d = centres[j * dimensions + i] - centres[k * dimensions + i];
                square += d * d;
            }
            result.smallest = std::min(result.smallest, std::sqrt(square));
            if (std::sqrt(square) <= within)
                result.duplicates.emplace_back(k, j);
        }
    return result;
}

/// The iteration, over points that `pass(request)` goes through once and returns pass_totals of. \pre valid options;
/// centres or memberships to start from
template <class B, real T, class Pass, class Obs, class Stop>
fuzzy_c_means_result iterate_fuzzy_c_means(B & be, fuzzy_c_means_options const & options, std::size_t dimensions,
                                           std::vector<double> start, membership_source const * memberships,
                                           Pass && pass, control<Obs, Stop> & ctl) {
    auto const k = options.clusters;
    auto const centres_at = [&](std::vector<double> const & c) { return centre_set<B, T>(be, c, k, dimensions); };
    std::vector<double> current(k * dimensions), before = std::move(start);
    bool const by_centre = options.stop == stopping::centre;
    if (options.metric == metric::cosine)
        scale_to_length_one(before, dimensions);

    pass_request<B, T> ask;
    std::optional<centre_set<B, T>> at, previous;
    if (memberships != nullptr)
        ask.memberships = memberships;
    else {
        at.emplace(centres_at(before));
        ask.centres = &*at;
    }
    update_centres(pass(ask), options.metric, before, current);

    fuzzy_c_means_result result{options, status::iteration_limit, 0, dimensions, {}, {}, {}, 0, 0, 0, 0};
    for (;;) {
        ++result.iterations;
        double moved = 0; // the squared distance
        for (std::size_t j = 0; j != k && !before.empty(); ++j) {
            double square = 0;
            for (auto i = j * dimensions; i != (j + 1) * dimensions; ++i)
                square += (current[i] - before[i]) * (current[i] - before[i]);
            moved = std::max(moved, square);
        }
        if (before.empty())
            moved = std::numeric_limits<double>::infinity();
        ask = {};
        previous = std::move(at);
        at.emplace(centres_at(current));
        ask.centres = &*at;
        if (!by_centre) {
            ask.previous_centres = previous ? &*previous : nullptr;
            ask.previous = previous ? nullptr : memberships;
        }
        bool const stops = by_centre && std::sqrt(moved) <= options.tolerance;
        bool const last = stops || result.iterations == options.max_iterations;
        ask.sums = !last;
        auto const totals = pass(ask);
        switch (options.stop) {
        case stopping::max: result.residual = totals.largest_change; break;
        case stopping::abs_sum: result.residual = totals.absolute_change; break;
        case stopping::fro: result.residual = std::sqrt(totals.squared_change); break;
        case stopping::centre: result.residual = std::sqrt(moved); break;
        }
        result.weights = totals.weights;
        result.masses = totals.masses;
        result.objective = totals.objective;
        result.mixed_objective = by_centre ? std::numeric_limits<double>::quiet_NaN() : totals.mixed_objective;
        if (!std::isfinite(result.objective))
            throw non_finite_error{
                "clustering: the objective is not finite: distances are too large for the arithmetic"};
        ctl.observe(progress{result.iterations, options.max_iterations, result.objective, result.residual});
        if (options.stop == stopping::fro ? result.residual < options.tolerance : result.residual <= options.tolerance)
            result.status = status::converged;
        else if (last)
            result.status = status::iteration_limit;
        else if (ctl.stop.stop_requested())
            result.status = status::stopped;
        else {
            before = current;
            update_centres(totals, options.metric, before, current);
            continue;
        }
        result.separation = distances_between(current, dimensions).smallest;
        result.centres = std::move(current);
        return result;
    }
}

/// The method over points that are resident or streamed. See fuzzy_c_means.
template <real T, class Rule, class B, class Points, class Obs, class Stop>
fuzzy_c_means_result cluster_points(B & be, Points & points, Rule const & rule, clustering_inputs const & inputs,
                                    fuzzy_c_means_options const & options, control<Obs, Stop> & ctl) {
    std::vector<double> start(inputs.centres.begin(), inputs.centres.end());
    membership_source memberships;
    if (!inputs.memberships.empty())
        memberships = stored_memberships(inputs.memberships, options.clusters);
    else if (start.empty() && options.start == seeding::random_memberships)
        memberships = random_memberships(options.clusters, options.seed);
    else if (start.empty())
        for (auto const i : seed_points<T>(be, points, inputs.weights, options.clusters, options.start,
                                           options.seeding_power, options.seed)) {
            auto const c = centre_at(be, points, i);
            start.insert(start.end(), c.begin(), c.end());
        }
    membership_pass<B, T, Rule> over(rule, options.clusters, points.dimensions());
    auto const pass = [&](pass_request<B, T> const & ask) {
        auto totals = over.begin(ask);
        points.for_each(be, [&](point_set<B, T> & block, std::size_t number) {
            over.add(be, ask, block,
                     inputs.weights.empty() ? inputs.weights : inputs.weights.subspan(number, block.size()), number,
                     totals);
        });
        return totals;
    };
    return iterate_fuzzy_c_means<B, T>(be, options, points.dimensions(), std::move(start),
                                       memberships ? &memberships : nullptr, pass, ctl);
}

/// Fuzzy c-means of the rows of X. Centres are the means of the points weighted by w u^m, memberships those of
/// fuzzy_rule, in turns; the objective never rises but by rounding. Distances (those of near pairs recomputed) and
/// memberships are in T, ratios of distances and sums over blocks of points in double. Weights u^m below the least
/// normal number of T, 1e-38 in float, are 0.
///
/// Reads X once an iteration and once more at the start and for lengths: iterations + 2 passes, besides the start's
/// (d_squared: one for each cluster). Time: 4 N K d an iteration, 6 N K d with a stopping rule that looks at
/// memberships: the previous ones are computed again, for memberships are never stored. Memory: N doubles, and K d
/// doubles for each of 32 blocks of 1440 points.
/// \throws option_error, shape_error; non_finite_error, also for points of length 0 where distances are cosines, and
/// where sums or distances of finite points are too large for T
template <real T = float, class B, class P, class Obs = no_observer, class Stop = never_stop>
    requires matrix_space<B, T>
fuzzy_c_means_result fuzzy_c_means(B & be, mat_view<P> x, clustering_inputs const & inputs,
                                   fuzzy_c_means_options const & options = {}, control<Obs, Stop> ctl = {}) {
    validate(options, inputs, x.rows, x.cols);
    resident_points<B, T> points(be, cmat<B, T>(x), options.metric);
    return cluster_points<T>(be, points, fuzzy_rule(options.fuzzifier), inputs, options, ctl);
}
/// The same without weights, from the start that the options name.
template <real T = float, class B, class P, class Obs = no_observer, class Stop = never_stop>
    requires matrix_space<B, T>
fuzzy_c_means_result fuzzy_c_means(B & be, mat_view<P> x, fuzzy_c_means_options const & options = {},
                                   control<Obs, Stop> ctl = {}) {
    return fuzzy_c_means<T>(be, x, clustering_inputs{}, options, ctl);
}
/// The same of the rows of a source, which may be larger than memory: the same bits as of a matrix with these rows.
/// Each pass reads the source once. Memory: one block of some 32 MiB in the place of N doubles, but for d_squared,
/// which keeps 3 N. \throws what the source throws too
template <real T = float, class B, class Source, class Obs = no_observer, class Stop = never_stop>
    requires matrix_space<B, T> && row_source<Source, B, T>
fuzzy_c_means_result fuzzy_c_means(B & be, Source & source, clustering_inputs const & inputs,
                                   fuzzy_c_means_options const & options = {}, control<Obs, Stop> ctl = {}) {
    validate(options, inputs, source.rows(), source.cols());
    streamed_points<B, T, Source> points(source, options.metric);
    return cluster_points<T>(be, points, fuzzy_rule(options.fuzzifier), inputs, options, ctl);
}

/// U := the memberships of the rows of X at given centres, N x K. What `fuzzy_c_means` does not store, and prediction
/// for new points: a point's memberships depend on no other. One pass, 2 N K d.
/// \throws option_error, shape_error, non_finite_error
template <real T = float, class B, class P, class Q>
    requires matrix_space<B, T>
void memberships(B & be, mat_view<P> x, std::span<double const> centres, mat_view<Q> u, double fuzzifier,
                 metric of = metric::euclidean) {
    expects_shape(u.rows == x.rows && u.cols != 0 && centres.size() == u.cols * x.cols,
                  "memberships: the extents do not fit");
    fuzzy_rule const rule(fuzzifier);
    std::vector<double> scaled(centres.begin(), centres.end());
    for (auto const c : scaled)
        if (!std::isfinite(c)) [[unlikely]]
            throw non_finite_error{"memberships: a centre is not finite"};
    if (of == metric::cosine)
        scale_to_length_one(scaled, x.cols);
    point_set<B, T> points(be, cmat<B, T>(x), of);
    centre_set<B, T> at(be, scaled, u.cols, x.cols);
    membership_pass<B, T>(rule, u.cols, x.cols).write(be, points, at, mat<B, T>(u));
}

/// Labels: the cluster of each row of X in which it has the largest membership, which is that of the nearest centre,
/// the first of several. One pass. \throws shape_error, option_error, non_finite_error
template <real T = float, class B, class P>
    requires matrix_space<B, T>
std::vector<std::size_t> nearest_centres(B & be, mat_view<P> x, std::span<double const> centres, std::size_t clusters,
                                         metric of = metric::euclidean) {
    expects_shape(clusters != 0 && centres.size() == clusters * x.cols, "nearest_centres: the extents do not fit");
    std::vector<double> scaled(centres.begin(), centres.end());
    for (auto const c : scaled)
        if (!std::isfinite(c)) [[unlikely]]
            throw non_finite_error{"nearest_centres: a centre is not finite"};
    if (of == metric::cosine)
        scale_to_length_one(scaled, x.cols);
    point_set<B, T> points(be, cmat<B, T>(x), of);
    centre_set<B, T> at(be, scaled, clusters, x.cols);
    std::vector<std::size_t> labels(x.rows);
    membership_pass<B, T, nearest_rule>({}, clusters, x.cols).write_labels(be, points, at, labels);
    return labels;
}

} // namespace cluster
LATHE_NAMESPACE_END
