#include "cluster_job.hpp"
#include "report.hpp"

namespace lathe_cli {

namespace cluster = lathe::cluster;

namespace {
using B = selected_backend;

/// run(be, T, source), in the precision of the points.
template <class Run> auto in_precision(cluster_job const & job, Run run) {
    auto be = lathe::compiled::make_backend<B>(job.threads, job.device);
    auto const with = [&]<class T>(std::type_identity<T> precision) {
        cluster::checkpoint_rows<B, T> source(job.points, job.tensor);
        return run(be, precision, source);
    };
    return job.in_double() ? with(std::type_identity<double>{}) : with(std::type_identity<float>{});
}
} // namespace

template <class Backend>
cluster::fuzzy_c_means_result run_cluster_fit(cluster_job const & job, cluster::clustering_inputs const & inputs,
                                              cluster::fuzzy_c_means_options const & options) {
    auto const observe = [&](lathe::progress const & p) { job.progress(p); };
    auto result = in_precision(job, [&]<class T>(B & be, std::type_identity<T>, auto & source) {
        return cluster::fuzzy_c_means<T>(be, source, inputs, options, lathe::control{observe, interrupt_token{}});
    });
    if (result.status == lathe::status::stopped)
        throw interrupted{};
    return result;
}
template cluster::fuzzy_c_means_result run_cluster_fit<selected>(cluster_job const &,
                                                                 cluster::clustering_inputs const &,
                                                                 cluster::fuzzy_c_means_options const &);

template <class Backend>
void run_cluster_predict(cluster_job const & job, std::span<double const> centres, std::size_t clusters,
                         double fuzzifier, cluster::metric metric, membership_receiver const & receive) {
    in_precision(job, [&]<class T>(B & be, std::type_identity<T>, auto & source) {
        auto const block = 16 * cluster::block_rows;
        auto u = be.template allocate<T>(std::min(block, source.rows()) * clusters);
        for (std::size_t first = 0; first < source.rows(); first += block) {
            if (interrupt_token{}.stop_requested())
                throw interrupted{};
            auto const rows = std::min(block, source.rows() - first);
            auto const view = u.view().sub(0, rows * clusters);
            cluster::memberships<T>(be, source.read(be, first, rows), centres, lathe::as_matrix(view, rows, clusters),
                                    fuzzifier, metric);
            std::vector<T> values(view.n);
            be.download(lathe::cvec<B, T>(view), std::span{values});
            receive(first, std::vector<double>(values.begin(), values.end()));
            job.progress({first + rows, source.rows(), 0, 0});
        }
    });
}
template void run_cluster_predict<selected>(cluster_job const &, std::span<double const>, std::size_t, double,
                                            cluster::metric, membership_receiver const &);

template <class Backend>
cluster::validity_result run_cluster_validate(cluster_job const & job, std::span<double const> centres,
                                              std::size_t clusters, double fuzzifier, cluster::metric metric) {
    return in_precision(job, [&]<class T>(B & be, std::type_identity<T>, auto & source) {
        cluster::streamed_points<B, T, std::remove_reference_t<decltype(source)>> points(source, metric);
        return cluster::validity<T>(be, points, centres, clusters, fuzzifier, {});
    });
}
template cluster::validity_result run_cluster_validate<selected>(cluster_job const &, std::span<double const>,
                                                                 std::size_t, double, cluster::metric);

template <class Backend> cluster::collapse_result run_collapse_bound(cluster_job const & job, std::size_t rows) {
    return in_precision(job, [&]<class T>(B & be, std::type_identity<T>, auto & source) {
        return cluster::collapse_bound<T>(be, source.read(be, 0, std::min(rows, source.rows())), 1e-6, 60);
    });
}
template cluster::collapse_result run_collapse_bound<selected>(cluster_job const &, std::size_t);

} // namespace lathe_cli
