#pragma once
/// \file  The methods of merging and of adaptation as lists that programs, tests and documents walk through.
///
/// A merging method is a type with
/// - `name`, `summary`: what a person calls it and what it does;
/// - `options`: its option struct, described in reflect/merge.hpp;
/// - `base`: whether it can do without a base;
/// - `files`, `files_required`: what the files are called that go with the models, one for each (empty if there are
///   none), and whether the method needs them;
/// - `result`: what it reports: a status, or a struct that holds one;
/// - `run<T>(be, pool, files, sink, options, control)`.
///
/// Where it minimises an objective it has `objective` in the place of files, and
/// - `step`: what a caller may be told of each step, where there are steps to tell of;
/// - `run<T>(be, pool, objective, sink, options, control, on_step)`.
///
/// A method that begins an adapter has `name`, `summary` and `options`, and
/// - `base`: what becomes of the weight;
/// - `run<T>(be, w, r, options, control)`, which gives an adapt::started<B, T>.
///
/// To add one: write its header and option struct, describe the struct, add a type here and name it in a list.
#include <lathe/reflect/adapt.hpp>
#include <lathe/reflect/merge.hpp>

#include <boost/hana/for_each.hpp>
#include <boost/hana/tuple.hpp>
#include <boost/hana/type.hpp>

LATHE_NAMESPACE_BEGIN
namespace registry {

/// What a merging method does with the base.
enum class base_use : unsigned char {
    optional, ///< gives only types, and the tensors that are copied
    required  ///< task vectors are taken from it, or it is where the state starts
};

/// Checkpoints that go with the models of a pool, in their order; empty for none.
using file_list = std::span<checkpoint * const>;

/// merge::average().
struct average {
    ///@{
    /// As of every merging method: registry.hpp.
    static constexpr std::string_view name = "average", files = "";
    static constexpr bool files_required = false;
    static constexpr std::string_view summary = "mean of the models";
    static constexpr auto base = base_use::optional;
    using options = merge::average_options;
    using result = lathe::status;
    template <real T, class B, class Control>
    static result run(B & be, merge::model_pool const & pool, file_list, checkpoint_sink & sink, options const & o,
                      Control ctl) {
        return merge::average<T>(be, pool, sink, o, ctl);
    }
    ///@}
};

/// merge::linear().
struct linear {
    ///@{
    /// As of every merging method: registry.hpp.
    static constexpr std::string_view name = "linear", files = "";
    static constexpr bool files_required = false;
    static constexpr std::string_view summary = "weighted mean, or weighted sum, of the models";
    static constexpr auto base = base_use::optional;
    using options = merge::linear_options;
    using result = lathe::status;
    template <real T, class B, class Control>
    static result run(B & be, merge::model_pool const & pool, file_list, checkpoint_sink & sink, options const & o,
                      Control ctl) {
        return merge::linear<T>(be, pool, sink, o, ctl);
    }
    ///@}
};

/// merge::task_arithmetic().
struct task_arithmetic {
    ///@{
    /// As of every merging method: registry.hpp.
    static constexpr std::string_view name = "task_arithmetic", files = "";
    static constexpr bool files_required = false;
    static constexpr std::string_view summary = "base plus the scaled, weighted sum of the task vectors";
    static constexpr auto base = base_use::required;
    using options = merge::task_arithmetic_options;
    using result = lathe::status;
    template <real T, class B, class Control>
    static result run(B & be, merge::model_pool const & pool, file_list, checkpoint_sink & sink, options const & o,
                      Control ctl) {
        return merge::task_arithmetic<T>(be, pool, sink, o, ctl);
    }
    ///@}
};

/// merge::ties().
struct ties {
    ///@{
    /// As of every merging method: registry.hpp.
    static constexpr std::string_view name = "ties", files = "";
    static constexpr bool files_required = false;
    static constexpr std::string_view summary = "largest elements of the task vectors, those that agree in sign";
    static constexpr auto base = base_use::required;
    using options = merge::ties_options;
    using result = merge::ties_result;
    template <real T, class B, class Control>
    static result run(B & be, merge::model_pool const & pool, file_list, checkpoint_sink & sink, options const & o,
                      Control ctl) {
        return merge::ties<T>(be, pool, sink, o, ctl);
    }
    ///@}
};

/// merge::dare(). Masks that are given take the place of the random ones.
struct dare {
    ///@{
    /// As of every merging method: registry.hpp.
    static constexpr std::string_view name = "dare", files = "masks";
    static constexpr bool files_required = false;
    static constexpr std::string_view summary =
        "random elements of the task vectors, scaled up, then task arithmetic or ties";
    static constexpr auto base = base_use::required;
    using options = merge::dare_options;
    using result = lathe::status;
    template <real T, class B, class Control>
    static result run(B & be, merge::model_pool const & pool, file_list masks, checkpoint_sink & sink,
                      options const & o, Control ctl) {
        return merge::dare<T>(be, pool, sink, o, std::vector<checkpoint *>(masks.begin(), masks.end()), ctl);
    }
    ///@}
};

/// merge::slerp(), of two models.
struct slerp {
    ///@{
    /// As of every merging method: registry.hpp.
    static constexpr std::string_view name = "slerp", files = "";
    static constexpr bool files_required = false;
    static constexpr std::string_view summary = "spherical interpolation of two models, tensor by tensor";
    static constexpr auto base = base_use::optional;
    using options = merge::slerp_options;
    using result = merge::slerp_result;
    template <real T, class B, class Control>
    static result run(B & be, merge::model_pool const & pool, file_list, checkpoint_sink & sink, options const & o,
                      Control ctl) {
        return merge::slerp<T>(be, pool, sink, o, ctl);
    }
    ///@}
};

/// merge::fisher(). The files hold the diagonals of the Fisher information.
struct fisher {
    ///@{
    /// As of every merging method: registry.hpp.
    static constexpr std::string_view name = "fisher", files = "fisher";
    static constexpr bool files_required = true;
    static constexpr std::string_view summary = "mean of the models, every element weighted by its Fisher information";
    static constexpr auto base = base_use::optional;
    using options = merge::fisher_options;
    using result = lathe::status;
    template <real T, class B, class Control>
    static result run(B & be, merge::model_pool const & pool, file_list files_, checkpoint_sink & sink,
                      options const & o, Control ctl) {
        return merge::fisher<T>(be, pool, std::vector<checkpoint *>(files_.begin(), files_.end()), sink, o, ctl);
    }
    ///@}
};

/// merge::regmean(). The files hold the Gram matrices: merge::gram_pool.
struct regmean {
    ///@{
    /// As of every merging method: registry.hpp.
    static constexpr std::string_view name = "regmean", files = "grams";
    static constexpr bool files_required = true;
    static constexpr std::string_view summary =
        "linear layers by least squares from the Gram matrices of their inputs; the rest averaged";
    static constexpr auto base = base_use::optional;
    using options = merge::regmean_options;
    using result = merge::regmean_result;
    template <real T, class B, class Control>
    static result run(B & be, merge::model_pool const & pool, file_list files_, checkpoint_sink & sink,
                      options const & o, Control ctl) {
        return merge::regmean<T>(be, pool, files_, sink, o, ctl);
    }
    ///@}
};

/// merge::tsv().
struct tsv {
    ///@{
    /// As of every merging method: registry.hpp.
    static constexpr std::string_view name = "tsv", files = "";
    static constexpr bool files_required = false;
    static constexpr std::string_view summary = "leading singular vectors of the task vectors, made orthogonal (TSV-M)";
    static constexpr auto base = base_use::required;
    using options = merge::tsv_options;
    using result = merge::spectral_result;
    template <real T, class B, class Control>
    static result run(B & be, merge::model_pool const & pool, file_list, checkpoint_sink & sink, options const & o,
                      Control ctl) {
        return merge::tsv<T>(be, pool, sink, o, ctl);
    }
    ///@}
};

/// merge::iso_c().
struct iso_c {
    ///@{
    /// As of every merging method: registry.hpp.
    static constexpr std::string_view name = "iso_c", files = "";
    static constexpr bool files_required = false;
    static constexpr std::string_view summary = "sum of the task vectors with equal singular values (Iso-C)";
    static constexpr auto base = base_use::required;
    using options = merge::iso_c_options;
    using result = merge::spectral_result;
    template <real T, class B, class Control>
    static result run(B & be, merge::model_pool const & pool, file_list, checkpoint_sink & sink, options const & o,
                      Control ctl) {
        return merge::iso_c<T>(be, pool, sink, o, ctl);
    }
    ///@}
};

/// merge::iso_cts().
struct iso_cts {
    ///@{
    /// As of every merging method: registry.hpp.
    static constexpr std::string_view name = "iso_cts", files = "";
    static constexpr bool files_required = false;
    static constexpr std::string_view summary =
        "common and task-specific directions with equal singular values (Iso-CTS)";
    static constexpr auto base = base_use::required;
    using options = merge::iso_cts_options;
    using result = merge::spectral_result;
    template <real T, class B, class Control>
    static result run(B & be, merge::model_pool const & pool, file_list, checkpoint_sink & sink, options const & o,
                      Control ctl) {
        return merge::iso_cts<T>(be, pool, sink, o, ctl);
    }
    ///@}
};

/// The merging methods that need no objective, as types: for_each_method walks through them.
inline constexpr auto merging_methods =
    boost::hana::tuple_t<average, linear, task_arithmetic, ties, dare, slerp, fisher, regmean, tsv, iso_c, iso_cts>;

// ---- methods that minimise an objective
// ------------------------------------------------------------------------------

/// How many objectives a method takes.
enum class objective_use : unsigned char {
    single,    ///< a model of merge::differentiable
    tasks,     ///< one for each task: a model of merge::task_objectives
    evaluation ///< double(checkpoint &), the larger, the better
};

/// merge::frank_wolfe(), streamed.
struct frank_wolfe {
    ///@{
    /// As of every method that minimises an objective: registry.hpp.
    static constexpr std::string_view name = "frank_wolfe";
    static constexpr std::string_view summary =
        "minimise an objective over the convex hull of the models, with a certificate";
    static constexpr auto base = base_use::optional;
    static constexpr auto objective = objective_use::single;
    using options = merge::frank_wolfe_options;
    using result = merge::frank_wolfe_result;
    using step = merge::frank_wolfe_iteration;
    template <real T, class B, class Objective, class Control, class OnStep = merge::ignore_steps>
    static result run(B & be, merge::model_pool const & pool, Objective & f, checkpoint_sink & sink, options const & o,
                      Control ctl, OnStep && on_step = {}) {
        return merge::frank_wolfe<T>(be, pool, f, sink, o, ctl, on_step);
    }
    ///@}
};

/// merge::fw_merging().
struct fw_merging {
    ///@{
    /// As of every method that minimises an objective: registry.hpp.
    static constexpr std::string_view name = "fw_merging";
    static constexpr std::string_view summary = "Frank-Wolfe merging as published, hard: one candidate at a time";
    static constexpr auto base = base_use::optional; // variant fwm_lora has none
    static constexpr auto objective = objective_use::single;
    using options = merge::fw_merging_options;
    using result = merge::fw_merging_result;
    using step = merge::fw_merging_step;
    template <real T, class B, class Objective, class Control, class OnStep = merge::ignore_steps>
    static result run(B & be, merge::model_pool const & pool, Objective & f, checkpoint_sink & sink, options const & o,
                      Control ctl, OnStep && on_step = {}) {
        return merge::fw_merging<T>(be, pool, f, sink, o, ctl, on_step);
    }
    ///@}
};

/// merge::fw_merging_soft(). Tasks that are differentiable as a whole bring the loss that adamerging learns by; for
/// others it is their sum.
struct fw_merging_soft {
    ///@{
    /// As of every method that minimises an objective: registry.hpp.
    static constexpr std::string_view name = "fw_merging_soft";
    static constexpr std::string_view summary = "Frank-Wolfe merging as published, soft: every task takes a candidate";
    static constexpr auto base = base_use::required;
    static constexpr auto objective = objective_use::tasks;
    using options = merge::fw_merging_soft_options;
    using result = merge::fw_merging_soft_result;
    using step = merge::fw_merging_soft_step;
    template <real T, class B, class Tasks, class Control, class OnStep = merge::ignore_steps>
    static result run(B & be, merge::model_pool const & pool, Tasks & tasks, checkpoint_sink & sink, options const & o,
                      Control ctl, OnStep && on_step = {}) {
        if constexpr (merge::differentiable<Tasks, B, T>) // brings a loss over all tasks
            return merge::fw_merging_soft<T>(be, pool, tasks, tasks, sink, o, ctl, on_step);
        else {
            merge::sum_of_tasks<B, T, Tasks> loss(tasks);
            return merge::fw_merging_soft<T>(be, pool, tasks, loss, sink, o, ctl, on_step);
        }
    }
    ///@}
};

/// merge::adamerging().
struct adamerging {
    ///@{
    /// As of every method that minimises an objective: registry.hpp.
    static constexpr std::string_view name = "adamerging";
    static constexpr std::string_view summary = "task arithmetic with coefficients that minimise an objective, by Adam";
    static constexpr auto base = base_use::required;
    static constexpr auto objective = objective_use::single;
    using options = merge::adamerging_options;
    using result = merge::adamerging_result;
    using step = merge::adamerging_step;
    template <real T, class B, class Objective, class Control, class OnStep = merge::ignore_steps>
    static result run(B & be, merge::model_pool const & pool, Objective & f, checkpoint_sink & sink, options const & o,
                      Control ctl, OnStep && on_step = {}) {
        return merge::adamerging<T>(be, pool, f, sink, o, ctl, on_step);
    }
    ///@}
};

/// merge::kinship_search() with merges that are weighted sums; it has no steps to tell of.
struct kinship_search {
    ///@{
    /// As of every method that minimises an objective: registry.hpp.
    static constexpr std::string_view name = "kinship_search";
    static constexpr std::string_view summary = "merge pairs of the best models again and again, explored by kinship";
    static constexpr auto base = base_use::required;
    static constexpr auto objective = objective_use::evaluation;
    using options = merge::kinship_search_options;
    using result = merge::kinship_search_result;
    template <real T, class B, class Evaluate, class Control>
    static result run(B & be, merge::model_pool const & pool, Evaluate & evaluate, checkpoint_sink & sink,
                      options const & o, Control ctl) {
        return merge::kinship_search<T>(be, pool, evaluate, sink, o, ctl);
    }
    ///@}
};

/// The merging methods that minimise an objective, as types.
inline constexpr auto objective_methods =
    boost::hana::tuple_t<frank_wolfe, fw_merging, fw_merging_soft, adamerging, kinship_search>;

// ---- methods that begin an adapter ---------------------------------------------------------------------------------

/// What a method that begins an adapter does to the weight.
enum class weight_use : unsigned char {
    extents,  ///< it is not read: outputs and inputs are enough
    read,     ///< it is read, and stays
    replaced, ///< the adapter goes with what the method leaves
    truncated ///< so it is, but who loads the adapter can do that again (KaSA in PEFT)
};

/// adapt::lora().
struct lora {
    ///@{
    /// As of every method that begins an adapter: registry.hpp.
    static constexpr std::string_view name = "lora";
    static constexpr std::string_view summary = "random A, B = 0";
    static constexpr auto base = weight_use::extents;
    using options = adapt::lora_options;
    template <real T, class B, class Control>
    static adapt::started<B, T> run(B & be, mat<B, T> w, std::size_t r, options const & o, Control) {
        return {adapt::lora<T>(be, w.rows, w.cols, r, o)};
    }
    ///@}
};
/// adapt::lora() with scaling_rule::rslora, whatever the options say.
struct rslora {
    ///@{
    /// As of every method that begins an adapter: registry.hpp.
    static constexpr std::string_view name = "rslora";
    static constexpr std::string_view summary = "LoRA with the scaling alpha / sqrt(r)";
    static constexpr auto base = weight_use::extents;
    using options = adapt::lora_options;
    template <real T, class B, class Control>
    static adapt::started<B, T> run(B & be, mat<B, T> w, std::size_t r, options o, Control) {
        o.rule = adapt::scaling_rule::rslora;
        return {adapt::lora<T>(be, w.rows, w.cols, r, o)};
    }
    ///@}
};
/// adapt::lora() and adapt::dora_norms().
struct dora {
    ///@{
    /// As of every method that begins an adapter: registry.hpp.
    static constexpr std::string_view name = "dora";
    static constexpr std::string_view summary = "LoRA, and the magnitude of every output apart";
    static constexpr auto base = weight_use::read;
    using options = adapt::lora_options;
    template <real T, class B, class Control>
    static adapt::started<B, T> run(B & be, mat<B, T> w, std::size_t r, options const & o, Control) {
        adapt::started<B, T> out{adapt::lora<T>(be, w.rows, w.cols, r, o)};
        out.magnitude = adapt::dora_norms<B, T>(be, w, out.adapter.factors());
        return out;
    }
    ///@}
};
/// What PiSSA and MiLoRA share: triplets of one end of the spectrum go from the weight to the adapter.
template <linalg::spectrum_end End> struct triplets_taken {
    static constexpr auto base = weight_use::replaced; ///< the adapter goes with what is left of the weight
    using options = adapt::spectral_options;           ///< the same for both ends
    /// The adapter of rank r, and what share of the weight it holds; w keeps the rest.
    template <real T, class B, class Control>
    static adapt::started<B, T> run(B & be, mat<B, T> w, std::size_t r, options const & o, Control ctl) {
        adapt::triplet_report report;
        auto made = adapt::take_triplets(be, w, End, r, o, ctl, &report);
        return {std::move(made), {}, true, report};
    }
};
/// adapt::take_triplets() of the largest.
struct pissa : triplets_taken<linalg::spectrum_end::largest> {
    ///@{
    /// As of every method that begins an adapter: registry.hpp.
    static constexpr std::string_view name = "pissa";
    static constexpr std::string_view summary = "the largest singular triplets";
    ///@}
};
/// adapt::pissa_fast().
struct pissa_fast {
    ///@{
    /// As of every method that begins an adapter: registry.hpp.
    static constexpr std::string_view name = "pissa_fast";
    static constexpr std::string_view summary = "about the largest singular triplets, from a sketch (pissa_niter_4)";
    static constexpr auto base = weight_use::replaced;
    using options = adapt::pissa_fast_options;
    template <real T, class B, class Control>
    static adapt::started<B, T> run(B & be, mat<B, T> w, std::size_t r, options const & o, Control) {
        return {adapt::pissa_fast(be, w, r, o.sketch, {.alpha = o.alpha, .rule = o.rule}), {}, true};
    }
    ///@}
};
/// adapt::take_triplets() of the smallest.
struct milora : triplets_taken<linalg::spectrum_end::smallest> {
    ///@{
    /// As of every method that begins an adapter: registry.hpp.
    static constexpr std::string_view name = "milora";
    static constexpr std::string_view summary = "the smallest singular triplets";
    ///@}
};
/// adapt::olora().
struct olora {
    ///@{
    /// As of every method that begins an adapter: registry.hpp.
    static constexpr std::string_view name = "olora";
    static constexpr std::string_view summary = "the first columns of a QR decomposition";
    static constexpr auto base = weight_use::replaced;
    using options = adapt::spectral_options;
    template <real T, class B, class Control>
    static adapt::started<B, T> run(B & be, mat<B, T> w, std::size_t r, options const & o, Control) {
        return {adapt::olora(be, w, r, o), {}, true};
    }
    ///@}
};
/// adapt::mica().
struct mica {
    ///@{
    /// As of every method that begins an adapter: registry.hpp.
    static constexpr std::string_view name = "mica";
    static constexpr std::string_view summary = "B from the smallest singular values, to stay; A = 0";
    static constexpr auto base = weight_use::read;
    using options = adapt::spectral_options;
    template <real T, class B, class Control>
    static adapt::started<B, T> run(B & be, mat<B, T> w, std::size_t r, options const & o, Control ctl) {
        adapt::triplet_report report;
        auto made = adapt::mica(be, w, r, o, ctl, &report);
        return {std::move(made), {}, false, report};
    }
    ///@}
};
/// adapt::loftq(). What it reports beside the adapter is dropped.
struct loftq {
    ///@{
    /// As of every method that begins an adapter: registry.hpp.
    static constexpr std::string_view name = "loftq";
    static constexpr std::string_view summary = "a quantised weight, and the largest triplets of what that lost";
    static constexpr auto base = weight_use::replaced;
    using options = adapt::loftq_options;
    template <real T, class B, class Control>
    static adapt::started<B, T> run(B & be, mat<B, T> w, std::size_t r, options const & o, Control) {
        return {std::move(adapt::loftq(be, w, r, o).adapter), {}, true};
    }
    ///@}
};
/// adapt::kasa_truncate(), then adapt::kasa().
struct kasa {
    ///@{
    /// As of every method that begins an adapter: registry.hpp.
    static constexpr std::string_view name = "kasa";
    static constexpr std::string_view summary =
        "the weight without its smallest singular triplets, and B diag(sigma) A";
    static constexpr auto base = weight_use::truncated;
    using options = adapt::kasa_options;
    template <real T, class B, class Control>
    static adapt::started<B, T> run(B & be, mat<B, T> w, std::size_t r, options const & o, Control ctl) {
        auto const truncation = adapt::kasa_truncate(be, w, r, o, ctl);
        adapt::triplet_report report{1, 0};
        if (truncation.dropped) {
            report = adapt::report_of(*truncation.dropped);
            report.energy = 1 - report.energy;
        }
        return {adapt::kasa<T>(be, w.rows, w.cols, r, o), {}, truncation.dropped.has_value(), report};
    }
    ///@}
};
/// adapt::adalora(). The rank is that of the options.
struct adalora {
    ///@{
    /// As of every method that begins an adapter: registry.hpp.
    static constexpr std::string_view name = "adalora";
    static constexpr std::string_view summary = "B diag(E) A with E = 0, for ranks that training shares out";
    static constexpr auto base = weight_use::extents;
    using options = adapt::adalora_options;
    template <real T, class B, class Control>
    static adapt::started<B, T> run(B & be, mat<B, T> w, std::size_t, options const & o, Control) {
        return {adapt::adalora<T>(be, w.rows, w.cols, o)};
    }
    ///@}
};
/// adapt::melora(), the blocks put together by adapt::melora_to_lora(). The ranks are those of the options.
struct melora {
    ///@{
    /// As of every method that begins an adapter: registry.hpp.
    static constexpr std::string_view name = "melora";
    static constexpr std::string_view summary = "several LoRAs along the diagonal, as one";
    static constexpr auto base = weight_use::extents;
    using options = adapt::melora_options;
    template <real T, class B, class Control>
    static adapt::started<B, T> run(B & be, mat<B, T> w, std::size_t, options const & o, Control) {
        auto blocks = adapt::melora<T>(be, w.rows, w.cols, o);
        std::vector<adapt::factors<B, T>> factors;
        for (auto & block : blocks)
            factors.push_back(block.factors());
        return {adapt::melora_to_lora<B, T>(be, factors)};
    }
    ///@}
};

/// The methods that begin an adapter, as types.
inline constexpr auto adaptation_methods =
    boost::hana::tuple_t<lora, rslora, dora, pissa, pissa_fast, milora, olora, mica, loftq, kasa, adalora, melora>;

/// Calls f(type_identity<Method>) for every method of a list, in order.
template <class List, class F> constexpr void for_each_method(List const & methods, F && f) {
    boost::hana::for_each(methods, [&](auto method) { f(std::type_identity<typename decltype(method)::type>{}); });
}

} // namespace registry
LATHE_NAMESPACE_END
