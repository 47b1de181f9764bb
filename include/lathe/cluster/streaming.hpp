#pragma once
/// \file  Fuzzy c-means of points that come once, batch by batch. docs/clustering.md.
#include <lathe/cluster/fuzzy_c_means.hpp>

LATHE_NAMESPACE_BEGIN
namespace cluster {

/// Options of streaming_fuzzy_c_means.
struct streaming_options {
    double fuzzifier = 1.1;                              ///< m > 1
    cluster::metric metric = cluster::metric::euclidean; ///< what D is
    double forget = 1; ///< factor of all earlier sums at each batch (rho), in [0, 1]; 1 forgets nothing
    double prior = 0;  ///< weight of the starting centres, as if that of points; >= 0
};

/// Centres that follow a stream: sums of w u^m x and of w u^m, to which each batch adds, once, at the centres as they
/// are. One batch without prior is one iteration of fuzzy_c_means from these centres. Memory: 2 K d.
template <class B, real T = float>
    requires matrix_space<B, T>
class streaming_fuzzy_c_means {
    streaming_options options_;
    std::size_t clusters_, dimensions_;
    std::vector<double> centres_, sums_, weights_;
    membership_pass<B, T> over_;

public:
    /// \param centres to start from, clusters x dimensions \throws option_error, shape_error, non_finite_error
    streaming_fuzzy_c_means(std::span<double const> centres, std::size_t clusters,
                            streaming_options const & options = {})
        : options_{options}, clusters_{clusters}, dimensions_{clusters == 0 ? 0 : centres.size() / clusters},
          centres_(centres.begin(), centres.end()), sums_(centres.size()), weights_(clusters, options.prior),
          over_(fuzzy_rule(options.fuzzifier), clusters, dimensions_) {
        expects_shape(clusters != 0 && dimensions_ != 0 && centres.size() == clusters * dimensions_,
                      "streaming_fuzzy_c_means: the centres are not clusters x dimensions");
        expects_option(options.forget >= 0 && options.forget <= 1, "forget", std::to_string(options.forget),
                       "a number from 0 to 1");
        expects_option(options.prior >= 0 && std::isfinite(options.prior), "prior", std::to_string(options.prior),
                       "a number not below 0");
        for (auto const c : centres_)
            if (!std::isfinite(c)) [[unlikely]]
                throw non_finite_error{"streaming_fuzzy_c_means: a centre is not finite"};
        if (options.metric == metric::cosine)
            scale_to_length_one(centres_, dimensions_);
        for (std::size_t i = 0; i != sums_.size(); ++i)
            sums_[i] = options.prior * centres_[i];
    }
    /// clusters x dimensions
    [[nodiscard]] std::span<double const> centres() const noexcept { return centres_; }
    /// Of each cluster: the sum of w u^m, as far as it is remembered, with the prior.
    [[nodiscard]] std::span<double const> weights() const noexcept { return weights_; }

    /// Takes in the rows of X; `weights` of them are all 1 if there are none. One pass.
    /// \throws shape_error, option_error, non_finite_error
    template <class P> void add(B & be, mat_view<P> x, std::span<double const> weights = {}) {
        expects_shape(x.cols == dimensions_, "streaming_fuzzy_c_means: the points have other dimensions");
        expects_shape(weights.empty() || weights.size() == x.rows,
                      "streaming_fuzzy_c_means: one weight for each point");
        for (auto const w : weights)
            expects_option(std::isfinite(w) && w >= 0, "weights", std::to_string(w), "finite numbers >= 0");
        point_set<B, T> points(be, cmat<B, T>(x), options_.metric);
        centre_set<B, T> at(be, centres_, clusters_, dimensions_);
        pass_request<B, T> ask;
        ask.centres = &at;
        auto totals = over_.begin(ask);
        over_.add(be, ask, points, weights, 0, totals);
        for (std::size_t j = 0; j != clusters_; ++j)
            totals.weights[j] = weights_[j] = options_.forget * weights_[j] + totals.weights[j];
        for (std::size_t i = 0; i != sums_.size(); ++i)
            totals.sums[i] = sums_[i] = options_.forget * sums_[i] + totals.sums[i];
        auto const before = centres_;
        update_centres(totals, options_.metric, before, centres_);
    }
};

/// Options of single_pass_fuzzy_c_means.
struct single_pass_options {
    double fuzzifier = 1.1;                              ///< m > 1
    cluster::metric metric = cluster::metric::euclidean; ///< what D is
    std::size_t iterations = 5;                          ///< on each chunk
};

/// Fuzzy c-means chunk by chunk (Hore, Hall and Goldgof 2007): a fixed number of iterations on each chunk together with
/// the centres so far, which weigh as much as the points they stand for. Memory: K d, and the chunk.
template <class B, real T = float>
    requires matrix_space<B, T>
class single_pass_fuzzy_c_means {
    single_pass_options options_;
    std::size_t clusters_, dimensions_;
    std::vector<double> centres_, masses_; // no masses before the first chunk

public:
    /// \param centres to start from, clusters x dimensions \throws option_error, shape_error, non_finite_error
    single_pass_fuzzy_c_means(std::span<double const> centres, std::size_t clusters,
                              single_pass_options const & options = {})
        : options_{options}, clusters_{clusters}, dimensions_{clusters == 0 ? 0 : centres.size() / clusters},
          centres_(centres.begin(), centres.end()) {
        validate(iteration_options(), {.centres = centres}, 1, dimensions_);
    }
    /// clusters x dimensions
    [[nodiscard]] std::span<double const> centres() const noexcept { return centres_; }
    /// Of each cluster: the sum of w u over all points so far, as their chunks saw them.
    [[nodiscard]] std::span<double const> masses() const noexcept { return masses_; }

    /// Takes in a chunk, the rows of X. options.iterations + 1 passes over it.
    /// \throws shape_error, option_error, non_finite_error
    template <class P> void add(B & be, mat_view<P> x, std::span<double const> weights = {}) {
        expects_shape(x.cols == dimensions_, "single_pass_fuzzy_c_means: the points have other dimensions");
        if (x.rows == 0)
            return;
        auto const options = iteration_options();
        validate(options, {.weights = weights, .centres = centres_}, x.rows, x.cols);
        point_set<B, T> chunk(be, cmat<B, T>(x), options.metric);
        auto memory = be.template allocate<T>(centres_.size());
        std::vector<T> rounded(centres_.size());
        for (std::size_t i = 0; i != rounded.size(); ++i)
            rounded[i] = static_cast<T>(centres_[i]);
        be.upload(std::span<T const>{rounded}, memory.view());
        point_set<B, T> carried(be, cmat<B, T>(as_matrix(memory.view(), clusters_, dimensions_)), options.metric);
        membership_pass<B, T> over(fuzzy_rule(options.fuzzifier), clusters_, dimensions_);
        auto const pass = [&](pass_request<B, T> const & ask) {
            auto totals = over.begin(ask);
            if (!masses_.empty())
                over.add(be, ask, carried, masses_, 0, totals);
            over.add(be, ask, chunk, weights, clusters_, totals);
            return totals;
        };
        control<> none;
        auto result = iterate_fuzzy_c_means<B, T>(be, options, dimensions_, centres_, nullptr, pass, none);
        centres_ = std::move(result.centres);
        masses_ = std::move(result.masses);
    }

private:
    [[nodiscard]] fuzzy_c_means_options iteration_options() const {
        return {.clusters = clusters_,
                .fuzzifier = options_.fuzzifier,
                .metric = options_.metric,
                .stop = stopping::centre,
                .tolerance = 0,
                .max_iterations = options_.iterations};
    }
};

} // namespace cluster
LATHE_NAMESPACE_END
