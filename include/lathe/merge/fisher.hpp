#pragma once
/// \file  Fisher merging (Matena and Raffel, Merging models with Fisher-weighted averaging, NeurIPS 2022): each
///        element is averaged with the diagonal Fisher information of each model there as its weight.
#include <lathe/merge/companion.hpp>
#include <lathe/merge/linear.hpp>

LATHE_NAMESPACE_BEGIN
namespace merge {
namespace kernels {
/// Sum k: of the squares of F_k.
inline constexpr auto squares = [](auto & sums, auto const & fs) {
    for (std::size_t k = 0; k != fs.size(); ++k)
        sums.add(k, fs[k] * fs[k]);
};
/// sum_k c_k (F_k + eps) x_k / sum_k c_k (F_k + eps).
inline constexpr auto fisher_mean = [](auto const & xs, auto const & fs, auto const & c, auto const & eps) {
    auto weight = c[0] * (fs[0] + eps);
    auto sum = weight * xs[0];
    auto total = weight;
    for (std::size_t k = 1; k != xs.size(); ++k) {
        weight = c[k] * (fs[k] + eps);
        sum = sum + weight * xs[k];
        total = total + weight;
    }
    return sum / total;
};
} // namespace kernels

/// Options of fisher().
struct fisher_options {
    bool normalize = true;              ///< divide each model's Fisher by its norm over the whole model
    double eps = 1e-6;                  ///< added to every element, and to the norms
    std::vector<schedule> weights = {}; ///< of the models; none: all 1
};

/// sum_k c_k (F_k + eps) theta_k / sum_k c_k (F_k + eps). With `normalize`, c_k is w_k / (nu_k + eps) divided by the
/// sum of 1 / (nu_j + eps), nu_k the Euclidean norm of all of F_k; else c_k is w_k. F is taken as it is: not negative,
/// by definition.
template <class B, real T> class fisher_recipe {
    companion_reader<B, T> fishers_;
    model_factors<T> factors_;
    std::vector<T> scale_, c_;
    T eps_;

public:
    static constexpr bool reads_base = false; ///< windows of the base are not read
    /// One pass over the Fisher checkpoints if `normalize`. \throws option_error, mismatch_error
    fisher_recipe(B & be, model_pool const & pool, std::vector<checkpoint *> fishers, fisher_options const & options)
        : fishers_("fisher", pool, std::move(fishers)), factors_(options.weights, false, 1, pool),
          scale_(pool.size(), T(1)), c_(pool.size()), eps_(static_cast<T>(options.eps)) {
        expects_option(options.eps >= 0, "eps", std::to_string(options.eps), "a number not below 0");
        if (!options.normalize)
            return;
        std::vector<double> squares(pool.size(), 0.0), row(pool.size());
        for (auto const & r : pool.rows())
            if (r.merged) {
                std::ranges::fill(row, 0.0);
                for_each_window(r.info.count(), pool.window(), [&](std::size_t first, std::size_t count) {
                    ops::reduce<T>(be, kernels::squares, row,
                                   fishers_.read(be, std::size_t(&r - pool.rows().data()), first, count));
                });
                for (std::size_t k = 0; k != row.size(); ++k)
                    squares[k] += row[k];
            }
        double total = 0;
        for (auto const s : squares)
            total += 1 / (std::sqrt(s) + options.eps);
        for (std::size_t k = 0; k != scale_.size(); ++k)
            scale_[k] = static_cast<T>(1 / (std::sqrt(squares[k]) + options.eps) / total);
    }
    /// Makes the window that `in` holds.
    template <class Out> void operator()(B & be, pool_reader<B, T> const & in, Out out) {
        auto const weights = factors_[in.row_index()];
        for (std::size_t k = 0; k != c_.size(); ++k)
            c_[k] = weights[k] * scale_[k];
        ops::map<T>(be, kernels::fisher_mean, out, in.models(),
                    fishers_.read(be, in.row_index(), in.first(), in.count()), list(c_), eps_);
    }
};

/// Writes the Fisher-weighted mean of the models. \param fishers one checkpoint a model: the diagonal of its Fisher
/// information, tensor by tensor. One pass over everything, and one more over the Fishers if `normalize`.
///
/// A position where all weights vanish (eps = 0) is NaN. FusionBench estimates F from gradients of sums over batches
/// and classes, which is not the per-example Fisher; what F is made of is the caller's business here.
/// \returns stopped, or converged. \throws option_error, mismatch_error
template <real T = float, class B, class Obs = no_observer, class Stop = never_stop>
    requires elementwise<B, T>
status fisher(B & be, model_pool const & pool, std::vector<checkpoint *> fishers, checkpoint_sink & sink,
              fisher_options const & options = {}, control<Obs, Stop> ctl = {}) {
    fisher_recipe<B, T> recipe(be, pool, std::move(fishers), options);
    return write<B, T>(be, pool, recipe, sink, ctl);
}

} // namespace merge
LATHE_NAMESPACE_END
