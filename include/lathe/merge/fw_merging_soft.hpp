#pragma once
/// \file  FW-Merging as published, soft: every task chooses a candidate of its own, and the state moves towards all of
/// them.
#include <lathe/merge/adamerging.hpp>
#include <lathe/merge/fw_merging.hpp>

LATHE_NAMESPACE_BEGIN
namespace merge {

/// How the state x moves towards the s_k that the tasks k have chosen.
enum class fw_soft_merge_fn : unsigned char {
    task_arithmetic, ///< x + gamma sum_k (s_k - x)
    adamerging       ///< x + sum_k lambda_k (s_k - x), lambda learned tensor by tensor at every step
};

/// Options of fw_merging_soft().
struct fw_merging_soft_options {
    fw_soft_merge_fn merge_fn = fw_soft_merge_fn::task_arithmetic; ///< how the state moves
    /// what a task chooses for: the whole model (task), or each tensor (layer)
    merge::granularity granularity = merge::granularity::task;
    double scaling = 0.3;   ///< task_arithmetic: a factor of every step; adamerging: lambda before the first iteration
    double step_size = 0.1; ///< task_arithmetic: the step at t > 0 is 2 / (t + 2) times this; at t = 0 it is 1
    std::size_t max_iters = 10;                  ///< evaluations of the gradient of each task
    fw_zero_norm zero_norm = fw_zero_norm::zero; ///< of an alignment with a tensor that is zero; the authors': nan
    std::size_t ada_iters = 500;                 ///< adamerging: steps of Adam in each iteration
    double ada_coeff = 1e-8;                     ///< adamerging: lambda at the start of the later iterations
    double lr = 1e-3;                            ///< adamerging: of Adam
    std::vector<double> betas{0.9, 0.999};       ///< adamerging: of Adam
    double adam_eps = 1e-8;                      ///< adamerging: of Adam
    double entropy_eps = 1e-8;                  ///< adamerging: in the logarithm of the entropy: for who makes the loss
    std::vector<std::string> tensor_order = {}; ///< of the coefficients in the result; empty: by the names' bytes
};

/// What happened at one step. Tasks that came when all candidates were taken chose nothing and are not listed.
struct fw_merging_soft_step {
    std::size_t t;                                ///< number of the step, from 0
    std::vector<double> objective;                ///< of each task, at the state before the step
    std::vector<std::vector<std::size_t>> chosen; ///< [task][tensor], tensors as in parameter_layout; or [task][0]
    std::vector<std::vector<double>> score;       ///< the winning alignments (at granularity task: the winning sum)
    /// 2 / (t + 2) * step_size; 1 at t = 0.
    double step, gamma;                            ///< task_arithmetic: gamma = scaling * step
    std::vector<double> losses;                    ///< adamerging: before each step of Adam
    std::vector<std::vector<double>> coefficients; ///< adamerging: lambda [task][tensor], in the order of tensor_order
};
/// What fw_merging_soft() did; the merged model is in the sink.
struct fw_merging_soft_result {
    lathe::status status;                    ///< iteration_limit, or stopped: then nothing was written
    std::vector<fw_merging_soft_step> trace; ///< the steps, in order
};

/// In place of the loss of adamerging where there is none.
struct no_loss {};

/// \throws option_error
inline void validate(fw_merging_soft_options const & options, model_pool const & pool) {
    auto const number = [](double v, char const * name) {
        expects_option(std::isfinite(v), name, std::to_string(v), "a finite number");
    };
    expects_option(pool.has_base(), "base", "none", "the checkpoint the models were fine-tuned from");
    number(options.scaling, "scaling");
    number(options.step_size, "step_size");
    number(options.ada_coeff, "ada_coeff");
}

/// The candidate a task takes for each tensor, or for all, when others have been taken before.
class fw_soft_choice {
    merge::granularity granularity_;
    std::vector<std::vector<bool>> taken_; // [tensor or 0][candidate]

public:
    /// What one task takes.
    struct choice {
        std::vector<std::size_t> chosen; ///< candidates: of each tensor, or of all
        std::vector<double> score;       ///< their alignments, or the sum of these over the tensors
    };
    /// Nothing is taken yet. At granularity task the number of tensors does not matter.
    fw_soft_choice(merge::granularity granularity, std::size_t tensors, std::size_t candidates)
        : granularity_{granularity},
          taken_(granularity == merge::granularity::layer ? tensors : 1, std::vector<bool>(candidates)) {}

    /// From alignments[tensor][candidate]. As the authors' codes look: strictly less wins; at granularity layer the
    /// first candidate that is left is taken unseen, and keeps its place if it is NaN. \throws non_finite_error if
    /// every sum is NaN
    choice next(std::vector<std::vector<double>> const & alignments) {
        std::vector<std::vector<double>> scores = alignments;
        if (granularity_ == merge::granularity::task) {
            scores.assign(1, std::vector<double>(taken_[0].size()));
            for (auto const & row : alignments)
                for (std::size_t c = 0; c != row.size(); ++c)
                    scores[0][c] += row[c];
        }
        choice made;
        for (std::size_t n = 0; n != scores.size(); ++n) {
            std::optional<std::size_t> best;
            for (std::size_t c = 0; c != scores[n].size(); ++c)
                if (!taken_[n][c]
                    && (best ? scores[n][c] < scores[n][*best]
                             : granularity_ == merge::granularity::layer || !std::isnan(scores[n][c])))
                    best = c;
            if (!best)
                throw non_finite_error{"no candidate can be chosen: all sums are NaN"};
            taken_[n][*best] = true;
            made.chosen.push_back(*best);
            made.score.push_back(scores[n][*best]);
        }
        return made;
    }
};

/// Soft FW-Merging (Chen et al. 2025) as fusion_bench runs it. docs/merging.md, 6.2.
///
/// At every step each task in turn aligns its gradient at x with the models and takes the least aligned one that no
/// earlier task has taken, for the whole model or tensor by tensor; when all are taken the other tasks are not asked.
/// Then x moves towards all that were taken at once: the differences are added, not averaged, so x may leave the hull.
/// `tasks` (task_objectives<B, T>, over parameter_layout::of(pool)) is called once for each task and step, in order.
/// With merge_fn = adamerging `loss` (differentiable<B, T>: the authors' is the sum over all tasks of the mean entropy)
/// is called ada_iters times after them. `on_step` is told (fw_merging_soft_step, cvec<B, T> x) after each step.
///
/// Time of a step: a gradient, and a pass over the pool, for each task; a pass over x and what was chosen; with
/// adamerging two more for each of ada_iters. Memory: x, g, a window of each model; with adamerging one vector more.
/// \throws option_error; non_finite_error if no candidate can be chosen or the loss is not finite; what the objectives
/// throw
template <real T = float, class B, class Tasks, class Loss, class Obs = no_observer, class Stop = never_stop,
          class OnStep = ignore_steps>
    requires elementwise<B, T> && task_objectives<Tasks, B, T>
             && (differentiable<Loss, B, T> || std::same_as<std::remove_cvref_t<Loss>, no_loss>)
fw_merging_soft_result
    fw_merging_soft(B & be, model_pool const & pool, Tasks && tasks, Loss && loss, checkpoint_sink & sink,
                    fw_merging_soft_options const & options = {}, control<Obs, Stop> ctl = {}, OnStep && on_step = {}) {
    constexpr bool learns = differentiable<Loss, B, T>;
    bool const ada = options.merge_fn == fw_soft_merge_fn::adamerging;
    validate(options, pool);
    expects_option(learns || !ada, "merge_fn", "adamerging", "task_arithmetic, or a loss to learn the coefficients by");
    auto const layout = parameter_layout::of(pool);
    auto const order = tensor_positions(layout, options.tensor_order);
    auto const tensors = layout.tensors().size();
    auto const rows = merged_rows(pool);

    auto x = be.template allocate<T>(layout.size());
    auto g = be.template allocate<T>(layout.size());
    std::optional<buffer_t<B, T>> theta;
    if (ada)
        theta.emplace(be.template allocate<T>(layout.size()));
    read_parameters<B, T>(be, layout, pool.base(), x.view());

    fw_candidates<B, T> candidates(pool, fw_oracle::cosine, options.zero_norm);
    std::vector<window_reader<B, T>> readers(pool.size());
    std::vector<std::vector<double>> alignments(tensors, std::vector<double>(pool.size()));
    fw_merging_soft_result result{status::iteration_limit, {}};

    for (std::size_t t = 0; t != options.max_iters; ++t) {
        auto const step = t == 0 ? 1.0 : 2.0 / (static_cast<double>(t) + 2.0) * options.step_size;
        fw_merging_soft_step record{t, {}, {}, {}, step, options.scaling * step, {}, {}};
        fw_soft_choice choice(options.granularity, tensors, pool.size());
        auto const count = std::min<std::size_t>(static_cast<std::size_t>(tasks.size()), pool.size());
        for (std::size_t k = 0; k != count; ++k) {
            if (ctl.stop.stop_requested()) {
                result.status = status::stopped;
                return result;
            }
            record.objective.push_back(
                static_cast<double>(tasks.value_and_gradient(be, k, cvec<B, T>(x.view()), g.view())));
            for (std::size_t n = 0; n != tensors; ++n)
                candidates.align(be, n, layout.slice(cvec<B, T>(g.view()), n), alignments[n]);
            try {
                auto made = choice.next(alignments);
                record.chosen.push_back(std::move(made.chosen));
                record.score.push_back(std::move(made.score));
            } catch (non_finite_error const & e) {
                throw non_finite_error{"fw_merging_soft: step " + std::to_string(t) + ", task " + std::to_string(k)
                                       + ": " + e.what()};
            }
        }
        // The windows of x as base, and of what the tasks chose as the models.
        auto windows = [&, operands = std::vector<input_operand<B, T>>{}](std::size_t n, auto && f) mutable {
            for_each_window(rows[n]->info.count(), pool.window(), [&](std::size_t first, std::size_t size) {
                operands.clear();
                for (auto const & chosen : record.chosen) {
                    auto const c = chosen[options.granularity == merge::granularity::layer ? n : 0];
                    operands.push_back(readers[c].read(be, pool.model(c), rows[n]->index[c], first, size));
                }
                f(first, size, layout.slice(cvec<B, T>(x.view()), n).sub(first, size), list(operands));
            });
        };
        auto const start = !ada ? record.gamma : t == 0 ? options.scaling : options.ada_coeff;
        task_vector_coefficients<B, T> lambda(layout, record.chosen.size(), merge::granularity::layer, start, false);
        if constexpr (learns) {
            optimize::host_adam optimiser(lambda.values().size(), {options.lr, options.betas, options.adam_eps});
            for (std::size_t i = 0; ada && i != options.ada_iters; ++i) {
                if (ctl.stop.stop_requested()) {
                    result.status = status::stopped;
                    return result;
                }
                lambda.combine(be, windows, theta->view());
                record.losses.push_back(
                    static_cast<double>(loss.value_and_gradient(be, cvec<B, T>(theta->view()), g.view())));
                if (!std::isfinite(record.losses.back()))
                    throw non_finite_error{"fw_merging_soft: step " + std::to_string(t) + "." + std::to_string(i)
                                           + ": the loss is not finite"};
                optimiser.step(lambda.values(), lambda.gradient(be, windows, g.view()));
            }
        }
        if (ada)
            record.coefficients = lambda.table(order);
        if (!record.chosen.empty())
            lambda.combine(be, windows, x.view());
        double mean = 0;
        for (auto const f : record.objective)
            mean += f / static_cast<double>(record.objective.size());
        on_step(std::as_const(record), cvec<B, T>(x.view()));
        ctl.observe(progress{t + 1, options.max_iters, mean, std::numeric_limits<double>::quiet_NaN()});
        result.trace.push_back(std::move(record));
    }
    write_merged<B, T>(be, pool, x.view(), sink);
    return result;
}

/// The same without a loss: merge_fn = task_arithmetic.
template <real T = float, class B, class Tasks, class Obs = no_observer, class Stop = never_stop,
          class OnStep = ignore_steps>
    requires elementwise<B, T> && task_objectives<Tasks, B, T>
fw_merging_soft_result fw_merging_soft(B & be, model_pool const & pool, Tasks && tasks, checkpoint_sink & sink,
                                       fw_merging_soft_options const & options = {}, control<Obs, Stop> ctl = {},
                                       OnStep && on_step = {}) {
    return fw_merging_soft<T>(be, pool, tasks, no_loss{}, sink, options, ctl, on_step);
}

} // namespace merge
LATHE_NAMESPACE_END
