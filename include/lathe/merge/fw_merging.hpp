#pragma once
/// \file  FW-Merging as published: hard Frank-Wolfe merging with the authors' rules for choosing and stepping.
///
/// These are not the classical algorithm (merge/frank_wolfe.hpp): the oracle is a cosine with the raw checkpoint, the
/// start need not lie in the hull, nothing certifies the result. docs/merging.md says in 6.1 what differs.
#include <lathe/merge/parameters.hpp>
#include <lathe/merge/ties.hpp>

LATHE_NAMESPACE_BEGIN
namespace merge {

namespace kernels {
/// Sums 0 to K-1: <g, x_k>; K: <g, g>; K+1, K+2: left to fw_align_with; from K+3 on: <s_k, s_k> of the list `squared`.
inline constexpr auto fw_align = [](auto & sums, auto const & g, auto const & xs, auto const & squared) {
    for (std::size_t k = 0; k != xs.size(); ++k)
        sums.add(k, g * xs[k]);
    sums.add(xs.size(), g * g);
    for (std::size_t k = 0; k != squared.size(); ++k)
        sums.add(xs.size() + 3 + k, squared[k] * squared[k]);
};
/// K+1: <g, extra>; K+2: <extra, extra>.
inline constexpr auto fw_align_with = [](auto & sums, auto const & g, auto const & xs, auto const & squared,
                                         auto const & extra) {
    fw_align(sums, g, xs, squared);
    sums.add(xs.size() + 1, g * extra);
    sums.add(xs.size() + 2, extra * extra);
};
/// The same with the start, base + sum_k w_k (x_k - base), as what is extra.
inline constexpr auto fw_align_with_start = [](auto & sums, auto const & g, auto const & xs, auto const & squared,
                                               auto const & base, auto const & w) {
    fw_align_with(sums, g, xs, squared, weighted_deltas(base, xs, w));
};
/// For a selection.
inline constexpr auto fw_difference = [](auto & values, auto const & x, auto const & s) { values.add(0, s - x); };
/// x + gamma (s - x) where |s - x| is at least the threshold, x elsewhere.
inline constexpr auto fw_trimmed_step = [](auto const & x, auto const & s, auto const & gamma, auto const & threshold) {
    return x + gamma * trimmed(s, x, threshold);
};
/// x + gamma (s - x).
inline constexpr auto fw_step = [](auto const & x, auto const & s, auto const & gamma) { return x + gamma * (s - x); };
} // namespace kernels

/// Whose behaviour. The published ones also fix what is said at the options below.
enum class fw_variant : unsigned char {
    lathe,        ///< as fusion_bench, but NaN alignments are never chosen and zero_norm is `zero` unless it is given
    fusion_bench, ///< of two NaN alignments of a tensor the first candidate's sticks
    fwm,          ///< hmarkc/FW-Merging: the same, and a tensor whose best alignment is not below 0 is pulled to zero
    fwm_lora      ///< its adapter merging: models are task vectors, there is no base, the start is scaling * sum
};
/// The alignment of the gradient g of a tensor with a candidate c; the smallest is chosen.
enum class fw_oracle : unsigned char {
    cosine, ///< <g, c> / (|g| |c|)
    inner   ///< <g, c>
};
/// Where the state starts.
enum class fw_init : unsigned char {
    merge, ///< start at what merge_fn makes of the pool
    base   ///< start at the base
};
/// How the state x moves towards the chosen s, and by what merge it starts.
enum class fw_merge_fn : unsigned char {
    task_arithmetic, ///< x + gamma (s - x)
    ties             ///< x + gamma trim(s - x): only the largest magnitudes of the whole model move
};
/// What the cosine is where the gradient or the candidate is zero.
enum class fw_zero_norm : unsigned char {
    nan, ///< an alignment with a tensor that is zero is NaN, as in both published codes
    zero ///< it is 0
};

/// The TIES of merge_fn = ties: of the start, where init is merge, and of the trim of every step. See ties_options.
struct fw_ties_options {
    std::optional<double> mask_rate = {}; ///< share dropped: variant fwm, and with lathe FW-Merging's trim; unset: 0.8
    std::optional<double> threshold = {}; ///< share kept, above 1 in percent: variant fusion_bench, lathe; unset: 20
    std::optional<ties_merge_func> merge_func = {}; ///< in the start; unset: sum with fusion_bench, else mean
};

/// Options of fw_merging().
struct fw_merging_options {
    fw_variant variant = fw_variant::lathe; ///< whose behaviour
    /// task: one candidate for the whole model, that of the least sum over the tensors, each counting the same
    merge::granularity granularity = merge::granularity::task;
    fw_oracle lmo = fw_oracle::cosine;                   ///< how gradient and candidates are compared
    fw_init init = fw_init::merge;                       ///< where the state starts
    fw_merge_fn merge_fn = fw_merge_fn::task_arithmetic; ///< how the state moves
    fw_ties_options ties = {};                           ///< merge_fn = ties
    double scaling = 0.3;                                ///< lambda of the start, and a factor of every step
    double step_size = 0.1;                              ///< the step at t is 2 / (t + 2) times this
    bool include_initial = true;                         ///< whether the start is a candidate, after the models
    std::size_t max_iters = 10;                          ///< evaluations of the gradient
    std::optional<fw_zero_norm> zero_norm = {};          ///< unset: nan in the published variants, zero in lathe
};

/// What happened at one step. Candidates are counted: the models in order, then the start.
struct fw_merging_step {
    std::size_t t;                                  ///< number of the step, from 0
    double objective;                               ///< at the state before the step
    std::vector<std::optional<std::size_t>> chosen; ///< of each tensor, or of all (task); none: pulled to zero
    std::vector<double> score;                      ///< the winning alignment of each tensor, or the winning sum
    std::vector<double> sums;                       ///< of each candidate over the tensors; empty at granularity layer
    std::vector<std::vector<double>> alignment;     ///< [candidate][tensor], tensors in the order of parameter_layout
    /// 2 / (t + 2) * step_size.
    double step, gamma;                   ///< x moved by gamma = scaling * step
    std::optional<double> threshold = {}; ///< ties: what lay nearer to the chosen than this did not move
};
/// What fw_merging() did; the merged model is in the sink.
struct fw_merging_result {
    lathe::status status;               ///< iteration_limit, or stopped: then nothing was written
    std::vector<fw_merging_step> trace; ///< the steps, in order
    std::vector<std::size_t> counts; ///< how often each candidate was chosen; tensors that were zeroed are not counted
    double weight_of_start;          ///< what the steps have left of the start: the product of (1 - gamma)
};

/// The options of TIES that the published codes call with merge_fn = ties.
inline ties_options fw_ties(fw_merging_options const & options) {
    bool const fusion_bench = options.variant == fw_variant::fusion_bench;
    bool const fwm =
        options.variant == fw_variant::fwm || (!fusion_bench && options.ties.mask_rate && !options.ties.threshold);
    ties_options ties;
    ties.variant = fwm ? ties_variant::fwm : ties_variant::fusion_bench;
    ties.mask_rate = options.ties.mask_rate;
    ties.threshold = options.ties.threshold;
    ties.scaling = options.scaling;
    ties.merge_func = options.ties.merge_func.value_or(fusion_bench ? ties_merge_func::sum : ties_merge_func::mean);
    return ties;
}

/// \throws option_error
inline void validate(fw_merging_options const & options, model_pool const & pool) {
    auto const number = [](double v, char const * name) {
        expects_option(std::isfinite(v), name, std::to_string(v), "a finite number");
    };
    number(options.scaling, "scaling");
    number(options.step_size, "step_size");
    expects_option(!options.ties.mask_rate || !options.ties.threshold, "ties", "mask_rate and threshold",
                   "one of them");
    if (options.variant == fw_variant::fwm_lora) {
        expects_option(!pool.has_base(), "base", "one", "none: with variant fwm_lora the models are task vectors");
        expects_option(options.init == fw_init::merge, "init", "base", "merge with variant fwm_lora");
        expects_option(options.merge_fn == fw_merge_fn::task_arithmetic, "merge_fn", "ties",
                       "task_arithmetic with variant fwm_lora");
    } else
        expects_option(pool.has_base(), "base", "none", "the checkpoint the models were fine-tuned from");
    if (options.merge_fn == fw_merge_fn::ties)
        validate(fw_ties(options), pool);
}

/// The least of a candidate's alignments as the published codes look for it: strictly less wins, NaN never wins.
inline std::optional<std::size_t> fw_least(std::span<double const> values) {
    std::optional<std::size_t> best;
    for (std::size_t c = 0; c != values.size(); ++c)
        if (values[c] < (best ? values[*best] : std::numeric_limits<double>::infinity()))
            best = c;
    return best;
}

/// The candidates of FW-Merging over a pool, streamed: the models and, if asked for, the start, made anew window by
/// window.
template <class B, real T>
    requires elementwise<B, T>
class fw_candidates {
public:
    /// The models.
    fw_candidates(model_pool const & pool, fw_oracle oracle, fw_zero_norm zero_norm)
        : pool_{&pool}, rows_{merged_rows(pool)}, in_(pool), oracle_{oracle}, zero_norm_{zero_norm},
          squared_norms_(rows_.size()) {}
    /// The models, and the start that `options` describe. If that is a TIES merge: the passes of ties_recipe.
    fw_candidates(B & be, model_pool const & pool, fw_merging_options const & options)
        : fw_candidates(pool, options.lmo,
                        options.zero_norm.value_or(options.variant == fw_variant::lathe ? fw_zero_norm::zero
                                                                                        : fw_zero_norm::nan)) {
        start_ = options.init == fw_init::base           ? start_kind::base
                 : options.merge_fn == fw_merge_fn::ties ? start_kind::ties
                                                         : start_kind::task_arithmetic;
        if (start_ == start_kind::ties)
            ties_.emplace(be, pool, fw_ties(options));
        scaling_.assign(pool.size(), static_cast<T>(options.scaling));
        include_start_ = options.include_initial;
    }

    /// The models, and the start if it is one.
    [[nodiscard]] std::size_t size() const noexcept { return pool_->size() + (include_start_ ? 1 : 0); }
    /// The pool of the models.
    [[nodiscard]] model_pool const & pool() const noexcept { return *pool_; }

    /// x := the start.
    void start(B & be, parameter_layout const & layout, vec<B, T> x) {
        for (std::size_t n = 0; n != rows_.size(); ++n)
            for_each_window(rows_[n]->info.count(), pool_->window(), [&](std::size_t first, std::size_t count) {
                auto const out = layout.slice(x, n).sub(first, count);
                if (start_ == start_kind::base)
                    ops::map<T>(be, ops::kernels::identity, out, read_base(be, n, first, count));
                else
                    make_start(be, n, first, count, out);
            });
    }

    /// alignment[c] := that of candidate c with the gradient g of tensor n. One pass over g and the candidates (and the
    /// base, if the start is a candidate); the norms of the models are kept from the first.
    /// \returns whether the gradient is zero
    bool align(B & be, std::size_t n, cvec<B, T> g, std::span<double> alignment) {
        auto const models = pool_->size();
        auto & norms = squared_norms_[n];
        bool const first_time = oracle_ == fw_oracle::cosine && norms.empty();
        totals_.assign(models + 3 + (first_time ? models : 0), 0.0);
        for_each_window(g.n, pool_->window(), [&](std::size_t first, std::size_t count) {
            seek(be, n, first, count, include_start_ && pool_->has_base());
            auto const part = g.sub(first, count);
            auto const squared =
                first_time ? in_.models() : list<input_operand<B, T>>(std::span<input_operand<B, T> const>{});
            if (!include_start_)
                ops::reduce<T>(be, kernels::fw_align, totals_, part, in_.models(), squared);
            else if (start_ == start_kind::base)
                ops::reduce<T>(be, kernels::fw_align_with, totals_, part, in_.models(), squared, in_.base());
            else if (start_ == start_kind::ties)
                ops::reduce<T>(be, kernels::fw_align_with, totals_, part, in_.models(), squared,
                               start_window(be, n, first, count));
            else if (pool_->has_base())
                ops::reduce<T>(be, kernels::fw_align_with_start, totals_, part, in_.models(), squared, in_.base(),
                               list(scaling_));
            else
                ops::reduce<T>(be, kernels::fw_align_with_start, totals_, part, in_.models(), squared, T(0),
                               list(scaling_));
        });
        if (first_time)
            norms.assign(totals_.end() - static_cast<std::ptrdiff_t>(models), totals_.end());
        for (std::size_t c = 0; c != size(); ++c) {
            auto const dot = totals_[c < models ? c : models + 1];
            alignment[c] = oracle_ == fw_oracle::inner
                               ? dot
                               : cosine(g.n, dot, totals_[models], c < models ? norms[c] : totals_[models + 2]);
        }
        return totals_[models] == 0;
    }

    /// x := x + gamma (c - x) for candidate c of tensor n, or for the zero tensor; only where |c - x| >= threshold, if
    /// there is one. One pass over x and the candidate.
    void move(B & be, std::size_t n, std::optional<std::size_t> c, T gamma, std::optional<T> threshold, vec<B, T> x) {
        for_each_window(x.n, pool_->window(), [&](std::size_t first, std::size_t count) {
            auto const part = x.sub(first, count);
            with(be, n, c, first, count, [&](auto const & s) {
                if (threshold)
                    ops::map<T>(be, kernels::fw_trimmed_step, part, cvec<B, T>(part), s, gamma, *threshold);
                else
                    ops::map<T>(be, kernels::fw_step, part, cvec<B, T>(part), s, gamma);
            });
        });
    }

    /// The rank-th smallest |c - x| of the whole model, where chosen(n) is the candidate of tensor n. A few passes over
    /// x and the candidates: magnitude_selection.
    template <class Chosen>
    T threshold(B & be, parameter_layout const & layout, Chosen && chosen, std::uint64_t rank, cvec<B, T> x) {
        selection_.start(std::span{&rank, 1}, x.n);
        while (!selection_.done()) {
            for (std::size_t n = 0; n != rows_.size(); ++n)
                for_each_window(rows_[n]->info.count(), pool_->window(), [&](std::size_t first, std::size_t count) {
                    auto const part = layout.slice(x, n).sub(first, count);
                    with(be, n, chosen(n), first, count,
                         [&](auto const & s) { selection_.add(be, kernels::fw_difference, part, s); });
                });
            selection_.end_pass();
        }
        auto const found = selection_.value(0); // NaN is above all: then nothing is kept
        return std::isnan(found) ? std::numeric_limits<T>::infinity() : found;
    }

private:
    model_pool const * pool_;
    std::vector<model_pool::row const *> rows_;
    pool_reader<B, T> in_;
    window_reader<B, T> chosen_;
    std::optional<buffer_t<B, T>> start_window_;
    enum class start_kind : unsigned char { base, task_arithmetic, ties } start_ = start_kind::base;
    std::optional<ties_recipe<B, T>> ties_;
    std::vector<T> scaling_; // of the task vectors in the start: one number for each model, all the same
    bool include_start_ = false;
    fw_oracle oracle_;
    fw_zero_norm zero_norm_;
    std::vector<std::vector<double>> squared_norms_; // [tensor][model], empty until known
    std::vector<double> totals_;
    magnitude_selection<B, T> selection_;
    struct place {
        std::size_t n, first, count;
        bool base;
    };
    std::optional<place> at_; // what in_ holds

    void seek(B & be, std::size_t n, std::size_t first, std::size_t count, bool base) {
        at_.reset();
        in_.seek(be, *rows_[n], first, count, base);
        at_ = place{n, first, count, base};
    }
    [[nodiscard]] bool holds(std::size_t n, std::size_t first, std::size_t count) const {
        return at_ && at_->n == n && at_->first == first && at_->count == count;
    }

    [[nodiscard]] double cosine(std::size_t n, double dot, double gg, double cc) const {
        if (zero_norm_ == fw_zero_norm::zero && (gg == 0 || cc == 0))
            return 0;
        if (n == 1 && dot != 0
            && std::isfinite(dot)) // squares rounded to T would leave a trace of their rounding, and break ties
            return std::copysign(1.0, dot);
        return dot / (std::sqrt(gg) * std::sqrt(cc));
    }

    input_operand<B, T> read_base(B & be, std::size_t n, std::size_t first, std::size_t count) {
        return chosen_.read(be, pool_->base(), rows_[n]->index[pool_->size()], first, count);
    }
    /// Elements of a start that is a merge.
    void make_start(B & be, std::size_t n, std::size_t first, std::size_t count, vec<B, T> out) {
        if (!holds(n, first, count) || at_->base != pool_->has_base())
            seek(be, n, first, count, pool_->has_base());
        if (start_ == start_kind::ties)
            (*ties_)(be, in_, out);
        else if (pool_->has_base())
            ops::map<T>(be, kernels::weighted_deltas, out, in_.base(), in_.models(), list(scaling_));
        else
            ops::map<T>(be, kernels::weighted_deltas, out, T(0), in_.models(), list(scaling_));
    }
    cvec<B, T> start_window(B & be, std::size_t n, std::size_t first, std::size_t count) {
        if (!start_window_ || start_window_->view().n < count)
            start_window_.emplace(be.template allocate<T>(count));
        auto const window = start_window_->view().sub(0, count);
        make_start(be, n, first, count, window);
        return window;
    }
    /// f(operand) for elements of a candidate of tensor n: a number for the zero tensor.
    template <class F>
    void with(B & be, std::size_t n, std::optional<std::size_t> c, std::size_t first, std::size_t count, F && f) {
        if (!c)
            return f(T(0));
        if (*c == pool_->size() && start_ == start_kind::base)
            return f(read_base(be, n, first, count));
        if (*c == pool_->size())
            return f(start_window(be, n, first, count));
        if (holds(n, first, count))
            return f(in_.model(*c));
        f(chosen_.read(be, pool_->model(*c), rows_[n]->index[*c], first, count));
    }
};

/// Hard FW-Merging (Chen et al. 2025) as the published codes run it, from a pool into a checkpoint.
///
/// At every step the gradient of `objective` at the state x is aligned with each candidate, the least aligned one is
/// chosen, for the whole model or tensor by tensor, and x moves towards it by scaling * step_size * 2 / (t + 2). x is
/// kept in T and rounded once, at the end. Candidates are raw checkpoints: models first, then the start. The objective
/// (differentiable<B, T>, over parameter_layout::of(pool)) is called once for each step, in order. `on_step` is told
/// (fw_merging_step, cvec<B, T> x) after each step.
///
/// Time of a step: the gradient, one pass over g and the pool (and the base, if a start that was merged is a
/// candidate), one over x and the chosen tensors; with ties the passes of core/selection.hpp over those before it.
/// Memory: x, g, a window of each model; whatever the number of models.
/// \throws option_error; non_finite_error, naming the tensor, if no candidate can be chosen; what the objective throws
template <real T = float, class B, class Objective, class Obs = no_observer, class Stop = never_stop,
          class OnStep = ignore_steps>
    requires elementwise<B, T> && differentiable<Objective, B, T>
fw_merging_result fw_merging(B & be, model_pool const & pool, Objective && objective, checkpoint_sink & sink,
                             fw_merging_options const & options = {}, control<Obs, Stop> ctl = {},
                             OnStep && on_step = {}) {
    validate(options, pool);
    auto const layout = parameter_layout::of(pool);
    auto const tensors = layout.tensors().size();
    bool const published = options.variant != fw_variant::lathe;
    bool const zeroes = options.variant == fw_variant::fwm || options.variant == fw_variant::fwm_lora;
    bool const by_layer = options.granularity == merge::granularity::layer;
    bool const trims = options.merge_fn == fw_merge_fn::ties;
    auto const rank = trims ? kth_of(fw_ties(options), layout.size()) : 0; // 0 where there are no parameters
    fw_candidates<B, T> candidates(be, pool, options);

    auto x = be.template allocate<T>(layout.size());
    auto g = be.template allocate<T>(layout.size());
    candidates.start(be, layout, x.view());
    fw_merging_result result{status::iteration_limit, {}, std::vector<std::size_t>(candidates.size()), 1};
    std::vector<double> alignment(candidates.size());

    for (std::size_t t = 0; t != options.max_iters; ++t) {
        if (ctl.stop.stop_requested()) {
            result.status = status::stopped;
            return result;
        }
        auto const step = 2.0 / (static_cast<double>(t) + 2.0) * options.step_size;
        fw_merging_step record{
            t, 0, {}, {}, {}, std::vector<std::vector<double>>(candidates.size()), step, options.scaling * step};
        auto const gamma = static_cast<T>(record.gamma);
        auto const fail = [&](std::string const & why) {
            throw non_finite_error{"fw_merging: step " + std::to_string(t) + ": no candidate can be chosen: " + why};
        };
        record.objective = objective.value_and_gradient(be, cvec<B, T>(x.view()), g.view());

        std::optional<std::size_t> zero_gradient;
        for (std::size_t n = 0; n != tensors; ++n) {
            if (candidates.align(be, n, layout.slice(cvec<B, T>(g.view()), n), alignment) && !zero_gradient)
                zero_gradient = n;
            for (std::size_t c = 0; c != candidates.size(); ++c)
                record.alignment[c].push_back(alignment[c]);
            if (!by_layer)
                continue;
            auto best = fw_least(alignment);
            if (published
                && std::isnan(alignment[0])) // the first candidate is taken unseen, and nothing is less than NaN
                best = 0;
            if (!best)
                fail("all alignments of tensor '" + layout.tensors()[n].name + "' are NaN");
            record.score.push_back(alignment[*best]);
            if (zeroes && !(alignment[*best] < 0))
                best.reset();
            record.chosen.push_back(best);
            if (!trims)
                candidates.move(be, n, best, gamma, {}, layout.slice(x.view(), n));
        }
        if (!by_layer) {
            for (auto const & row : record.alignment) {
                double sum = 0;
                for (auto const a : row)
                    sum += a;
                record.sums.push_back(sum);
            }
            auto const best = fw_least(record.sums);
            if (!best && zero_gradient)
                fail("the gradient of tensor '" + layout.tensors()[*zero_gradient].name
                     + "' is zero, so all sums are NaN (zero_norm = zero counts it as 0)");
            if (!best) {
                auto const & row = record.alignment.front();
                auto const n = static_cast<std::size_t>(
                    std::ranges::find_if(row, [](double a) { return std::isnan(a); }) - row.begin());
                fail("all sums are NaN; that of the first candidate because of tensor '"
                     + layout.tensors()[std::min(n, tensors - 1)].name + "'");
            }
            record.chosen.push_back(best);
            record.score.push_back(record.sums[*best]);
        }
        auto const chosen = [&](std::size_t n) { return record.chosen[by_layer ? n : 0]; };
        std::optional<T> threshold;
        if (rank != 0) {
            threshold = candidates.threshold(be, layout, chosen, rank, x.view());
            record.threshold = static_cast<double>(*threshold);
        }
        for (std::size_t n = 0; n != tensors && (trims || !by_layer);
             ++n) // else each tensor has moved while it was at hand
            candidates.move(be, n, chosen(n), gamma, threshold, layout.slice(x.view(), n));
        for (auto const & c : record.chosen)
            if (c)
                ++result.counts[*c];
        result.weight_of_start *= 1 - record.gamma;
        on_step(std::as_const(record), cvec<B, T>(x.view()));
        ctl.observe(progress{t + 1, options.max_iters, record.objective, std::numeric_limits<double>::quiet_NaN()});
        result.trace.push_back(std::move(record));
    }
    write_merged<B, T>(be, pool, x.view(), sink);
    return result;
}

} // namespace merge
LATHE_NAMESPACE_END
