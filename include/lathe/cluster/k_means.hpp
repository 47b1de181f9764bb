#pragma once
/// \file  k-means and spherical k-means (Lloyd 1982; Dhillon and Modha 2001), from the pieces of fuzzy c-means.
#include <lathe/cluster/fuzzy_c_means.hpp>

LATHE_NAMESPACE_BEGIN
namespace cluster {

/// Options of k_means.
struct k_means_options {
    std::size_t clusters = 8;                            ///< K, at least 1
    cluster::metric metric = cluster::metric::euclidean; ///< cosine: spherical k-means
    seeding start = seeding::d_squared;                  ///< d_squared or points
    double seeding_power = 1;                            ///< of distances in d_squared
    std::uint64_t seed = 0;                              ///< of the start
    double tolerance = 0;             ///< stop when no centre moves further; 0: when none moves at all
    std::size_t max_iterations = 300; ///< at least 1
};

/// What k_means found, and where it stopped.
struct k_means_result {
    k_means_options options;     ///< echoed
    lathe::status status;        ///< converged, iteration_limit or stopped
    std::size_t iterations;      ///< updates of the centres
    std::size_t dimensions;      ///< of a point
    std::vector<double> centres; ///< clusters x dimensions
    std::vector<double> weights; ///< of each cluster: the sum of the weights of its points
    double objective;            ///< sum of w D of every point from its centre
    double residual;             ///< how far the centre that moved furthest moved last
};

/// What k-means is to the iteration it shares. \throws option_error
inline fuzzy_c_means_options iteration_options(k_means_options const & o) {
    expects_option(o.start != seeding::random_memberships, "start", "random_memberships", "d_squared or points");
    return {.clusters = o.clusters,
            .fuzzifier = 2, // not looked at
            .metric = o.metric,
            .start = o.start,
            .seeding_power = o.seeding_power,
            .seed = o.seed,
            .stop = stopping::centre,
            .tolerance = o.tolerance,
            .max_iterations = o.max_iterations};
}
/// The shared result in the terms of k-means.
inline k_means_result k_means_result_of(k_means_options const & o, fuzzy_c_means_result && r) {
    return {o,           r.status,  r.iterations, r.dimensions, std::move(r.centres), std::move(r.weights),
            r.objective, r.residual};
}

/// k-means of the rows of X: every point belongs to the nearest centre, of equally near ones to the first; a centre is
/// the weighted mean of its points, of length 1 in cosines; a cluster without points keeps its centre. Starts from
/// inputs.centres, else from the seed. iterations + 2 passes besides the start's; 2 N K d + N d each.
/// \throws option_error, shape_error; non_finite_error, also for points of length 0 where distances are cosines
template <real T = float, class B, class P, class Obs = no_observer, class Stop = never_stop>
    requires matrix_space<B, T>
k_means_result k_means(B & be, mat_view<P> x, clustering_inputs const & inputs, k_means_options const & options = {},
                       control<Obs, Stop> ctl = {}) {
    auto const shared = iteration_options(options);
    expects_option(inputs.memberships.empty(), "memberships", "some", "none: k-means starts from centres");
    validate(shared, inputs, x.rows, x.cols);
    resident_points<B, T> points(be, cmat<B, T>(x), options.metric);
    return k_means_result_of(options, cluster_points<T>(be, points, nearest_rule{}, inputs, shared, ctl));
}
/// The same without weights, from the start that the options name.
template <real T = float, class B, class P, class Obs = no_observer, class Stop = never_stop>
    requires matrix_space<B, T>
k_means_result k_means(B & be, mat_view<P> x, k_means_options const & options = {}, control<Obs, Stop> ctl = {}) {
    return k_means<T>(be, x, clustering_inputs{}, options, ctl);
}
/// The same of the rows of a source, with the same bits. \throws what the source throws too
template <real T = float, class B, class Source, class Obs = no_observer, class Stop = never_stop>
    requires matrix_space<B, T> && row_source<Source, B, T>
k_means_result k_means(B & be, Source & source, clustering_inputs const & inputs, k_means_options const & options = {},
                       control<Obs, Stop> ctl = {}) {
    auto const shared = iteration_options(options);
    expects_option(inputs.memberships.empty(), "memberships", "some", "none: k-means starts from centres");
    validate(shared, inputs, source.rows(), source.cols());
    streamed_points<B, T, Source> points(source, options.metric);
    return k_means_result_of(options, cluster_points<T>(be, points, nearest_rule{}, inputs, shared, ctl));
}

} // namespace cluster
LATHE_NAMESPACE_END
