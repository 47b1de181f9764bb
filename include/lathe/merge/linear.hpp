#pragma once
/// \file  Averages and task vectors: the merges that are one weighted sum.
#include <lathe/merge/schedule.hpp>

#include <numeric>

LATHE_NAMESPACE_BEGIN
namespace merge {
namespace kernels {

/// sum_k w_k x_k
inline constexpr auto weighted_sum = [](auto const & xs, auto const & w) {
    auto sum = w[0] * xs[0];
    for (std::size_t k = 1; k != xs.size(); ++k)
        sum = sum + w[k] * xs[k];
    return sum;
};
/// base + sum_k w_k (x_k - base). The differences first: they are small, and exact where x_k is near base.
inline constexpr auto weighted_deltas = [](auto const & base, auto const & xs, auto const & w) {
    auto sum = w[0] * (xs[0] - base);
    for (std::size_t k = 1; k != xs.size(); ++k)
        sum = sum + w[k] * (xs[k] - base);
    return base + sum;
};

} // namespace kernels

/// What `normalize` divides by. \throws option_error if the weights cancel: |sum w| <= 1e-8 sum |w|
inline double sum_of_weights(std::span<double const> weights, std::string_view tensor) {
    double sum = 0, magnitude = 0;
    for (auto const w : weights) {
        sum += w;
        magnitude += std::fabs(w);
    }
    if (std::fabs(sum) <= 1e-8 * magnitude)
        throw option_error{"weights: found values that sum to " + std::to_string(sum) + " for tensor '"
                           + std::string{tensor} + "', expected another sum, or normalize = false"};
    return sum;
}

/// Factors of the models for every row of a pool: factor w_k, divided by the sum of w if `normalize`.
/// Memory: rows x models numbers. \throws option_error
template <real T> class model_factors {
    std::size_t models_;
    std::vector<T> values_;

public:
    /// \param weights one schedule for each model, one for all, or none: all 1
    model_factors(std::vector<schedule> const & weights, bool normalize, double factor, model_pool const & pool)
        : models_{pool.size()} {
        schedule_table const table("weights", weights, pool, weights.empty() ? std::optional{1.0} : std::nullopt);
        for (std::size_t r = 0; r != pool.rows().size(); ++r) {
            auto const & row = pool.rows()[r];
            auto const divisor = normalize && row.merged ? sum_of_weights(table[r], row.info.name) : 1.0;
            for (auto const w : table[r])
                values_.push_back(static_cast<T>(factor * w / divisor));
        }
    }
    /// Of the models, at a row of the pool.
    [[nodiscard]] std::span<T const> operator[](std::size_t row) const {
        return std::span{values_}.subspan(row * models_, models_);
    }
};

// ---- linear ---------------------------------------------------------------------------------------------------------

/// Options of linear().
struct linear_options {
    std::vector<schedule> weights = {}; ///< of the models; none: all 1
    bool normalize = true;              ///< divide by the sum of the weights
};

/// sum_k w_k theta_k, divided by sum_k w_k if `normalize` (docs/merging.md, 1). One pass, one rounding.
template <class B, real T> class linear_recipe {
    model_factors<T> factors_;

public:
    static constexpr bool reads_base = false; ///< windows of the base are not read
    /// \throws option_error: model_factors
    linear_recipe(B &, model_pool const & pool, linear_options const & options)
        : factors_(options.weights, options.normalize, 1, pool) {}
    /// Makes the window that `in` holds.
    template <class Out> void operator()(B & be, pool_reader<B, T> const & in, Out out) {
        ops::map<T>(be, kernels::weighted_sum, out, in.models(), list(factors_[in.row_index()]));
    }
};

/// Writes the weighted sum (mean) of the models. A base only gives types and copied tensors.
///
/// mergekit divides by weights that sum to zero and returns inf or NaN; here that is an error. Memory: one window of
/// each checkpoint. \returns stopped, or converged. \throws option_error, and what the checkpoints and the sink throw
template <real T = float, class B, class Obs = no_observer, class Stop = never_stop>
    requires elementwise<B, T>
status linear(B & be, model_pool const & pool, checkpoint_sink & sink, linear_options const & options = {},
              control<Obs, Stop> ctl = {}) {
    linear_recipe<B, T> recipe(be, pool, options);
    return write<B, T>(be, pool, recipe, sink, ctl);
}

/// Options of average(): there are none.
struct average_options {};

/// Writes the mean of the models: linear with equal weights.
template <real T = float, class B, class Obs = no_observer, class Stop = never_stop>
    requires elementwise<B, T>
status average(B & be, model_pool const & pool, checkpoint_sink & sink, average_options const & = {},
               control<Obs, Stop> ctl = {}) {
    return linear<T>(be, pool, sink, {}, ctl);
}

// ---- task arithmetic ------------------------------------------------------------------------------------------------

/// Options of task_arithmetic().
struct task_arithmetic_options {
    double scaling = 0.3;               ///< of the sum of the task vectors (lambda)
    std::vector<schedule> weights = {}; ///< of the task vectors; none: all 1
    bool normalize = false;             ///< divide by the sum of the weights
};

/// theta_0 + scaling sum_k w_k (theta_k - theta_0), the sum divided by sum_k w_k if `normalize` (docs/merging.md, 1;
/// Ilharco et al., Editing models with task arithmetic, 2023). One pass, one rounding.
template <class B, real T> class task_arithmetic_recipe {
    model_factors<T> factors_;

public:
    /// \throws option_error: model_factors
    task_arithmetic_recipe(B &, model_pool const & pool, task_arithmetic_options const & options)
        : factors_(options.weights, options.normalize, options.scaling, pool) {}
    /// Makes the window that `in` holds.
    template <class Out> void operator()(B & be, pool_reader<B, T> const & in, Out out) {
        ops::map<T>(be, kernels::weighted_deltas, out, in.base(), in.models(), list(factors_[in.row_index()]));
    }
};

/// Writes the base plus the scaled sum of the task vectors.
///
/// mergekit divides by 1 where |sum w| < 1e-8; here that is an error. Memory: one window of each checkpoint.
/// \returns stopped, or converged. \throws option_error, also without a base; what the checkpoints and the sink throw
template <real T = float, class B, class Obs = no_observer, class Stop = never_stop>
    requires elementwise<B, T>
status task_arithmetic(B & be, model_pool const & pool, checkpoint_sink & sink,
                       task_arithmetic_options const & options = {}, control<Obs, Stop> ctl = {}) {
    static_cast<void>(pool.base());
    expects_option(std::isfinite(options.scaling), "scaling", std::to_string(options.scaling), "a finite number");
    task_arithmetic_recipe<B, T> recipe(be, pool, options);
    return write<B, T>(be, pool, recipe, sink, ctl);
}

} // namespace merge
LATHE_NAMESPACE_END
