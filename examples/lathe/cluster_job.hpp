#pragma once
/// \file  Clustering as the command hands it to the code of a backend.
#include "interrupt.hpp"
#include "progress_bar.hpp"

#include <lathe/cluster/streaming.hpp>
#include <lathe/cluster/validity.hpp>

namespace lathe_cli {

/// A tensor with points as rows, and what to do with them.
struct cluster_job {
    lathe::checkpoint & points;
    std::size_t tensor;
    std::size_t threads;
    std::string device;
    progress_bar & progress;

    /// Points of F64 are clustered in double, others in float.
    [[nodiscard]] bool in_double() const { return points.tensors()[tensor].type == lathe::dtype::f64; }
};
/// Receives memberships of the points [first, first + rows of `values`), one row of K numbers each.
using membership_receiver = std::function<void(std::size_t first, std::span<double const> values)>;

/// Defined and instantiated in backend/cluster.cpp. \throws interrupted, lathe::error
template <class Backend>
lathe::cluster::fuzzy_c_means_result run_cluster_fit(cluster_job const & job,
                                                     lathe::cluster::clustering_inputs const & inputs,
                                                     lathe::cluster::fuzzy_c_means_options const & options);
template <class Backend>
void run_cluster_predict(cluster_job const & job, std::span<double const> centres, std::size_t clusters,
                         double fuzzifier, lathe::cluster::metric metric, membership_receiver const & receive);
template <class Backend>
lathe::cluster::validity_result run_cluster_validate(cluster_job const & job, std::span<double const> centres,
                                                     std::size_t clusters, double fuzzifier,
                                                     lathe::cluster::metric metric);
/// Of the first points, at most `rows`.
template <class Backend> lathe::cluster::collapse_result run_collapse_bound(cluster_job const & job, std::size_t rows);

} // namespace lathe_cli
