#pragma once
/// \file  AdaMerging: the coefficients of task arithmetic, learned by Adam on a loss that needs no labels.
#include <lathe/merge/linear.hpp>
#include <lathe/merge/parameters.hpp>
#include <lathe/optimize/adam.hpp>

LATHE_NAMESPACE_BEGIN
namespace merge {

namespace kernels {
/// <g, x_k - base> for all k
inline constexpr auto task_vector_slopes = [](auto & sums, auto const & g, auto const & base, auto const & xs) {
    for (std::size_t k = 0; k != xs.size(); ++k)
        sums.add(k, g * (xs[k] - base));
};
} // namespace kernels

/// Options of adamerging(): of the coefficients, and of Adam.
struct adamerging_options {
    /// one coefficient for each tensor of each model (layer), or for each model (task)
    merge::granularity level = merge::granularity::layer;
    double lr = 1e-3;                           ///< of Adam
    double init = 0.3;                          ///< every coefficient before the first step
    std::size_t steps = 1000;                   ///< evaluations of the loss
    bool clamp = false;                         ///< use coefficients clipped to [0, 1]; outside, their gradient is zero
    std::vector<double> betas{0.9, 0.999};      ///< of Adam
    double adam_eps = 1e-8;                     ///< of Adam
    double entropy_eps = 1e-8;                  ///< in the logarithm of the entropy: for who makes the objective
    std::vector<std::string> tensor_order = {}; ///< of the coefficients in results; empty: by the names' bytes
};

/// One step: the loss before it, the coefficients after it.
struct adamerging_step {
    std::size_t t;                                 ///< number of the step, from 0
    double loss;                                   ///< at the coefficients before the step
    std::vector<std::vector<double>> coefficients; ///< [model][tensor], in tensor_order; at level task [model][0]
};
/// What adamerging() learned; the merged model is in the sink.
struct adamerging_result {
    lathe::status status;                          ///< iteration_limit, or stopped: then nothing was written
    std::size_t steps;                             ///< done
    std::vector<double> losses;                    ///< one for each step, before it
    std::vector<std::vector<double>> coefficients; ///< as in adamerging_step, after the last step
};

/// Positions in `layout` of the tensors in the order asked for. \throws option_error unless `names` is empty or lists
/// each once
inline std::vector<std::size_t> tensor_positions(parameter_layout const & layout,
                                                 std::vector<std::string> const & names) {
    std::vector<std::size_t> order;
    std::vector<bool> seen(layout.tensors().size());
    for (auto const & name : names) {
        auto const i = layout.find(name);
        expects_option(!seen[i], "tensor_order", "'" + name + "' twice", "each merged tensor once");
        seen[i] = true;
        order.push_back(i);
    }
    for (std::size_t i = 0; i != seen.size(); ++i) {
        expects_option(names.empty() || seen[i], "tensor_order", "no '" + layout.tensors()[i].name + "'",
                       "each merged tensor once");
        if (names.empty())
            order.push_back(i);
    }
    return order;
}

/// theta(lambda)_n = base_n + sum_k lambda_{k,n} (v_{k,n} - base_n) and its gradient by lambda, for K task vectors.
///
/// `windows(n, f)` calls f(first, count, base, vs) for the windows of tensor n in order: an operand, and a list of K.
template <class B, real T>
    requires elementwise<B, T>
class task_vector_coefficients {
    parameter_layout const * layout_;
    std::size_t models_;
    merge::granularity level_;
    bool clamp_;
    std::vector<double> values_;

    [[nodiscard]] std::size_t per_model() const noexcept {
        return level_ == merge::granularity::layer ? layout_->tensors().size() : 1;
    }
    [[nodiscard]] std::size_t index(std::size_t k, std::size_t n) const noexcept {
        return level_ == merge::granularity::layer ? k * layout_->tensors().size() + n : k;
    }

public:
    /// All coefficients are `init`. Refers to the layout.
    task_vector_coefficients(parameter_layout const & layout, std::size_t models, merge::granularity level, double init,
                             bool clamp)
        : layout_{&layout}, models_{models}, level_{level}, clamp_{clamp} {
        values_.assign(models * per_model(), init);
    }
    /// One number for each coefficient, model by model.
    [[nodiscard]] std::span<double> values() noexcept { return values_; }
    /// [model][tensor], tensors in the order of `positions`; [model][0] at level task.
    [[nodiscard]] std::vector<std::vector<double>> table(std::span<std::size_t const> positions) const {
        std::vector<std::vector<double>> rows(models_);
        for (std::size_t k = 0; k != models_; ++k)
            for (std::size_t i = 0; i != per_model(); ++i)
                rows[k].push_back(values_[index(k, level_ == merge::granularity::layer ? positions[i] : 0)]);
        return rows;
    }
    /// The weights of the K task vectors at tensor n.
    [[nodiscard]] std::vector<T> weights(std::size_t n) const {
        std::vector<T> w(models_);
        for (std::size_t k = 0; k != models_; ++k)
            w[k] = static_cast<T>(clamp_ ? std::clamp(values_[index(k, n)], 0.0, 1.0) : values_[index(k, n)]);
        return w;
    }
    /// theta := theta(lambda). One pass over base and task vectors. theta may be the base.
    template <class Windows> void combine(B & be, Windows && windows, vec<B, T> theta) const {
        for (std::size_t n = 0; n != layout_->tensors().size(); ++n) {
            auto const w = weights(n);
            auto const out = layout_->slice(theta, n);
            windows(n, [&](std::size_t first, std::size_t count, auto const & base, auto const & vs) {
                ops::map<T>(be, kernels::weighted_deltas, out.sub(first, count), base, vs, list(w));
            });
        }
    }
    /// By the coefficients, of a loss whose gradient at theta(lambda) is g. One pass over g, base and task vectors.
    template <class Windows>
    [[nodiscard]] std::vector<double> gradient(B & be, Windows && windows, cvec<B, T> g) const {
        std::vector<double> slopes(values_.size()), totals(models_);
        for (std::size_t n = 0; n != layout_->tensors().size(); ++n) {
            std::ranges::fill(totals, 0.0);
            windows(n, [&](std::size_t first, std::size_t count, auto const & base, auto const & vs) {
                ops::reduce<T>(be, kernels::task_vector_slopes, totals, layout_->slice(g, n).sub(first, count), base,
                               vs);
            });
            for (std::size_t k = 0; k != models_; ++k)
                slopes[index(k, n)] += totals[k];
        }
        for (std::size_t i = 0; clamp_ && i != values_.size(); ++i)
            if (!(values_[i] >= 0 && values_[i] <= 1))
                slopes[i] = 0;
        return slopes;
    }
};

/// The windows of a pool as task_vector_coefficients wants them.
template <class B, real T> auto pool_windows(B & be, model_pool const & pool) {
    return [&be, window = pool.window(), rows = merged_rows(pool), in = pool_reader<B, T>(pool)](std::size_t n,
                                                                                                 auto && f) mutable {
        for_each_window(rows[n]->info.count(), window, [&](std::size_t first, std::size_t count) {
            in.seek(be, *rows[n], first, count);
            f(first, count, in.base(), in.models());
        });
    };
}

/// AdaMerging (Yang et al. 2023): theta_n = base_n + sum_i lambda_{i(,n)} (model_i - base)_n with the lambda that Adam
/// finds for `objective`, which the authors make the sum over the tasks of the mean entropy of the predictions for
/// unlabelled inputs. docs/merging.md, 7.
///
/// The objective (differentiable<B, T>, over parameter_layout::of(pool)) is called once for each step, in order, so it
/// may change its batch from call to call. `on_step` is told adamerging_step after each. Where the authors' log has the
/// loss of the last task only, results have the whole. Tensors in which all models equal the base keep their
/// coefficients. Time: a step is an evaluation of the objective, two passes over the pool. Memory: theta, its gradient,
/// a window of each model.
/// \throws option_error; mismatch_error if tensor_order names no tensor; non_finite_error if the loss is not finite;
///         what the objective throws
template <real T = float, class B, class Objective, class Obs = no_observer, class Stop = never_stop,
          class OnStep = ignore_steps>
    requires elementwise<B, T> && differentiable<Objective, B, T>
adamerging_result adamerging(B & be, model_pool const & pool, Objective && objective, checkpoint_sink & sink,
                             adamerging_options const & options = {}, control<Obs, Stop> ctl = {},
                             OnStep && on_step = {}) {
    expects_option(pool.has_base(), "base", "none", "the checkpoint the models were fine-tuned from");
    expects_option(std::isfinite(options.init), "init", std::to_string(options.init), "a finite number");
    auto const layout = parameter_layout::of(pool);
    auto const order = tensor_positions(layout, options.tensor_order);
    task_vector_coefficients<B, T> lambda(layout, pool.size(), options.level, options.init, options.clamp);
    optimize::host_adam optimiser(lambda.values().size(), {options.lr, options.betas, options.adam_eps});
    auto windows = pool_windows<B, T>(be, pool);

    adamerging_result result{status::iteration_limit, 0, {}, {}};
    {
        auto theta = be.template allocate<T>(layout.size());
        auto g = be.template allocate<T>(layout.size());
        for (; result.steps != options.steps; ++result.steps) {
            if (ctl.stop.stop_requested()) {
                result.status = status::stopped;
                break;
            }
            lambda.combine(be, windows, theta.view());
            double const loss = objective.value_and_gradient(be, cvec<B, T>(theta.view()), g.view());
            if (!std::isfinite(loss))
                throw non_finite_error{"adamerging: step " + std::to_string(result.steps) + ": the loss is not finite"};
            optimiser.step(lambda.values(), lambda.gradient(be, windows, g.view()));
            result.losses.push_back(loss);
            on_step(adamerging_step{result.steps, loss, lambda.table(order)});
            ctl.observe(progress{result.steps + 1, options.steps, loss, std::numeric_limits<double>::quiet_NaN()});
        }
    }
    result.coefficients = lambda.table(order);
    if (result.status == status::stopped)
        return result;

    std::vector<std::size_t> tensor; // of a row of the pool
    for (std::size_t i = 0, n = 0; i != pool.rows().size(); ++i)
        tensor.push_back(pool.rows()[i].merged ? n++ : n);
    auto combine = [&](B & b, pool_reader<B, T> const & in, auto out) {
        auto const w = lambda.weights(tensor[in.row_index()]);
        ops::map<T>(b, kernels::weighted_deltas, out, in.base(), in.models(), list(w));
    };
    if (write<B, T>(be, pool, combine, sink, control<no_observer, Stop>{{}, ctl.stop}) == status::stopped)
        result.status = status::stopped;
    return result;
}

} // namespace merge
LATHE_NAMESPACE_END
