#pragma once
/// \file  The options and results of merging as data: names, help texts, JSON.
#include <lathe/merge/adamerging.hpp>
#include <lathe/merge/dare.hpp>
#include <lathe/merge/fisher.hpp>
#include <lathe/merge/frank_wolfe.hpp>
#include <lathe/merge/fw_merging.hpp>
#include <lathe/merge/fw_merging_soft.hpp>
#include <lathe/merge/kinship_search.hpp>
#include <lathe/merge/linear.hpp>
#include <lathe/merge/regmean.hpp>
#include <lathe/merge/slerp.hpp>
#include <lathe/merge/spectral.hpp>
#include <lathe/merge/ties.hpp>
#include <lathe/reflect/options.hpp>

LATHE_NAMESPACE_BEGIN
namespace reflect {

/// A number, a list of numbers, a list of {"filter": ..., "value": ...}, or an object from names of tensors to numbers.
template <> struct codec<merge::schedule> {
    using schedule = merge::schedule; ///< the value
    ///@{
    /// As codec has it.
    static constexpr auto kind = field_kind::other;
    static std::string type() { return "schedule"; }
    static json write(schedule const & s) {
        return std::visit([](auto const & v) -> json {
            using value = std::remove_cvref_t<decltype(v)>;
            if constexpr (std::same_as<value, std::vector<schedule::filtered>>) {
                auto all = json::array();
                for (auto const & choice : v) {
                    auto & entry = all.emplace_back(json::object());
                    if (choice.filter)
                        entry["filter"] = *choice.filter;
                    std::visit([&](auto const & inner) { entry["value"] = inner; }, choice.value);
                }
                return all;
            } else
                return v;
        }, s.value);
    }
    static void read(json const & j, schedule & s, std::string_view path) {
        if (j.is_object()) {
            std::map<std::string, double> by_name;
            codec<std::map<std::string, double>>::read(j, by_name, path);
            s = std::move(by_name);
        } else if (j.is_array() && !j.empty() && j.front().is_object()) {
            std::vector<schedule::filtered> choices(j.size());
            for (std::size_t i = 0; i != j.size(); ++i)
                read_choice(j[i], choices[i], std::string{path} + "[" + std::to_string(i) + "]");
            s = std::move(choices);
        } else if (j.is_number() || (j.is_array() && !j.empty()))
            std::visit([&]<class V>(V && v) { s = std::forward<V>(v); }, read_nodes(j, path));
        else
            reject(path, j,
                   "a number, a list of numbers, a list of {filter, value}, or an object from names to numbers");
    }
    ///@}
    /// A number, numbers between commas (a gradient), or JSON.
    static json parse(std::string_view text) {
        if (text.starts_with('[') || text.starts_with('{'))
            return parse_json(text);
        return text.find(',') == text.npos ? codec<double>::parse(text) : codec<std::vector<double>>::parse(text);
    }

private:
    static std::variant<double, schedule::gradient> read_nodes(json const & j, std::string_view path) {
        if (j.is_array() && !j.empty()) {
            schedule::gradient nodes;
            codec<schedule::gradient>::read(j, nodes, path);
            return nodes;
        }
        if (!j.is_number())
            reject(path, j, "a number or a list of numbers");
        return j.get<double>();
    }
    static void read_choice(json const & j, schedule::filtered & choice, std::string const & path) {
        if (!j.is_object())
            reject(path, j, "an object {filter, value}");
        for (auto const & [key, value] : j.items()) {
            if (key == "value")
                choice.value = read_nodes(value, path + ".value");
            else if (key == "filter" && value.is_string())
                choice.filter = value.template get<std::string>();
            else if (key != "filter")
                throw option_error{path + "." + key + ": unknown key, expected filter or value"};
            else if (!value.is_null())
                reject(path + ".filter", value, "a string");
        }
        if (!j.contains("value"))
            reject(path, j, "an object {filter, value}");
    }
};

} // namespace reflect
LATHE_NAMESPACE_END

// ---- averages and task vectors --------------------------------------------------------------------------------------

BOOST_HANA_ADAPT_STRUCT(lathe::merge::average_options);

BOOST_HANA_ADAPT_STRUCT(lathe::merge::linear_options, weights, normalize);
template <>
inline constexpr auto lathe::reflect::help<lathe::merge::linear_options> = lathe::reflect::help_table({
    {"weights", "one for each model, or one for all; none: all 1"},
    {"normalize", "divide by the sum of the weights"},
});

BOOST_HANA_ADAPT_STRUCT(lathe::merge::task_arithmetic_options, scaling, weights, normalize);
template <>
inline constexpr auto lathe::reflect::help<lathe::merge::task_arithmetic_options> = lathe::reflect::help_table({
    {"scaling", "factor of the sum of the task vectors (lambda)"},
    {"weights", "of the task vectors, one for each model or one for all; none: all 1"},
    {"normalize", "divide by the sum of the weights"},
});

// ---- sign elections and random masks --------------------------------------------------------------------------------

BOOST_HANA_ADAPT_STRUCT(lathe::merge::ties_options, variant, mask_rate, threshold, density, weights, scaling, lambda,
                        merge_func, consensus, normalize, rescale, tie_break);
template <>
inline constexpr auto lathe::reflect::help<lathe::merge::ties_options> = lathe::reflect::help_table({
    {"variant", "whose rules; each has options of its own, which the others refuse or ignore"},
    {"mask_rate", "fwm: share of the elements that is dropped, in (0, 1]; unset: 0.8"},
    {"threshold", "fusion_bench: share that is kept, above 1 in per cent, below 100; unset: 20"},
    {"density", "lathe, mergekit: share that is kept of each model, above 0; from 1 on everything; none: 0.2"},
    {"weights", "lathe, mergekit: of the models; none: all 1"},
    {"scaling", "factor of the merged task vector"},
    {"lambda", "mergekit's name of scaling, in its place"},
    {"merge_func", "fusion_bench, fwm: what becomes of the elements that agree"},
    {"consensus", "lathe, mergekit: the sign of the sum, or that of more models"},
    {"normalize", "lathe, mergekit: divide by the weights that agree"},
    {"rescale", "lathe, mergekit: scale what is kept to the L1 norm of the whole"},
    {"tie_break", "lathe, mergekit: which of equal magnitudes stay"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::merge::ties_result, status, threshold, kth, kept, majority);

BOOST_HANA_ADAPT_STRUCT(lathe::merge::dare_options, variant, drop, rescale, mask_scale, then, scaling, lambda, weights,
                        normalize, seed);
template <>
inline constexpr auto lathe::reflect::help<lathe::merge::dare_options> = lathe::reflect::help_table({
    {"variant", "whose rules: every tensor, not vectors (fwm), or keeping the L1 norm (mergekit)"},
    {"drop", "probability of dropping an element of a task vector, in [0, 1]"},
    {"rescale", "scale up what is left, by the variant's rule"},
    {"mask_scale", "another factor of every task vector, thinned or not"},
    {"then", "how what is left is merged: task_arithmetic, or the sign election of ties"},
    {"scaling", "task_arithmetic: factor of the sum of the task vectors"},
    {"lambda", "ties: factor of the merged task vector"},
    {"weights", "of the models, one for each or one for all; none: all 1"},
    {"normalize", "divide by the sum of the weights (ties: of those that agree)"},
    {"seed", "of the masks"},
});

// ---- one tensor at a time -------------------------------------------------------------------------------------------

BOOST_HANA_ADAPT_STRUCT(lathe::merge::slerp_options, t, dot_threshold, eps);
template <>
inline constexpr auto lathe::reflect::help<lathe::merge::slerp_options> = lathe::reflect::help_table({
    {"t", "0 gives the first model, 1 the second"},
    {"dot_threshold", "beyond this |cosine|, in [0, 1], the interpolation is linear"},
    {"eps", "vectors shorter than this, not below 0, are not normalised"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::merge::slerp_tensor, name, dot, branch);
BOOST_HANA_ADAPT_STRUCT(lathe::merge::slerp_result, status, tensors);

BOOST_HANA_ADAPT_STRUCT(lathe::merge::fisher_options, normalize, eps, weights);
template <>
inline constexpr auto lathe::reflect::help<lathe::merge::fisher_options> = lathe::reflect::help_table({
    {"normalize", "divide each model's Fisher information by its norm over the whole model"},
    {"eps", "added to every element, and to the norms; not below 0"},
    {"weights", "of the models, one for each or one for all; none: all 1"},
});

BOOST_HANA_ADAPT_STRUCT(lathe::merge::regmean_options, reduce_non_diagonal_ratio, weight_transpose, ridge);
template <>
inline constexpr auto lathe::reflect::help<lathe::merge::regmean_options> = lathe::reflect::help_table({
    {"reduce_non_diagonal_ratio", "factor of the off-diagonal elements of every Gram matrix, in [0, 1]"},
    {"weight_transpose", "weights are [outputs, inputs], as of a linear layer; not [inputs, outputs], as of Conv1D"},
    {"ridge", "added to the diagonal of each sum of Gram matrices, times its mean diagonal element; not below 0"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::merge::regmean_layer, name, ridge, smallest_pivot);
BOOST_HANA_ADAPT_STRUCT(lathe::merge::regmean_result, status, layers);

BOOST_HANA_ADAPT_STRUCT(lathe::merge::tsv_options, alpha);
template <>
inline constexpr auto lathe::reflect::help<lathe::merge::tsv_options> = lathe::reflect::help_table({
    {"alpha", "factor of the merged task vector"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::merge::iso_c_options, scaling);
template <>
inline constexpr auto lathe::reflect::help<lathe::merge::iso_c_options> = lathe::reflect::help_table({
    {"scaling", "factor of the merged task vector"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::merge::iso_cts_options, scaling, common_space_fraction);
template <>
inline constexpr auto lathe::reflect::help<lathe::merge::iso_cts_options> = lathe::reflect::help_table({
    {"scaling", "factor of the merged task vector"},
    {"common_space_fraction", "share of the directions that is taken from the sum of the task vectors, in [0, 1]"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::merge::spectral_tensor, name, from_each, common);
BOOST_HANA_ADAPT_STRUCT(lathe::merge::spectral_result, status, tensors);

// ---- kinship --------------------------------------------------------------------------------------------------------

BOOST_HANA_ADAPT_STRUCT(lathe::merge::kinship_options, low_precision, per_tensor);
template <>
inline constexpr auto lathe::reflect::help<lathe::merge::kinship_options> = lathe::reflect::help_table({
    {"low_precision", "of task vectors rounded to 8 bits; distances are then in those units"},
    {"per_tensor", "report every tensor too"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::merge::kinship_scores, pcc, cs, cs_signed, ed);

BOOST_HANA_ADAPT_STRUCT(lathe::merge::kinship_search_options, k, metric, mode, explore, merge, merge_weights, t,
                        max_gen, stop_kinship, names);
template <>
inline constexpr auto lathe::reflect::help<lathe::merge::kinship_search_options> = lathe::reflect::help_table({
    {"k", "models that stay in the running, at least 1"},
    {"metric", "what counts as kinship"},
    {"mode", "kinship of all parameters, or the mean over the tensors"},
    {"explore", "whom the best model is merged with beside the top models"},
    {"merge", "how two models become one"},
    {"merge_weights",
     "linear: of the two models, the better one first (of two given ones, the one given first); their sum is not 0"},
    {"t", "slerp: 0 gives the first model, 1 the second"},
    {"max_gen", "generations at most, at least 1; the pairs of the given models are the first"},
    {"stop_kinship", "stop when the mean kinship of the top models exceeds this; the paper suggests 0.9"},
    {"names", "of the given models, in the result; none: their paths"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::merge::kinship_search_result::step, name, parents, role, perf, kinship, gain);
BOOST_HANA_ADAPT_STRUCT(lathe::merge::kinship_search_result::generation, gen, top);
BOOST_HANA_ADAPT_STRUCT(lathe::merge::kinship_search_result, status, given, history, generations, best, best_perf);

// ---- Frank-Wolfe ----------------------------------------------------------------------------------------------------

BOOST_HANA_ADAPT_STRUCT(lathe::merge::frank_wolfe_options, method, step, granularity, iters, gap_tolerance, start,
                        start_weights, step_scale, lazy);
template <>
inline constexpr auto lathe::reflect::help<lathe::merge::frank_wolfe_options> = lathe::reflect::help_table({
    {"method", "directions of a step: fw, or away and pairwise steps too, which converge faster"},
    {"step", "length of a step: 2/(t+2) (open), to the minimum (exact, for quadratics), or by backtracking"},
    {"granularity", "weights for each model (task), or for each tensor of each model (layer)"},
    {"iters", "steps at most"},
    {"gap_tolerance", "stop when the duality gap is not above this; not below 0"},
    {"start", "number of the model the iteration starts from, from 0"},
    {"start_weights", "or the combination it starts from: a weight for each model, or for each tensor and model, not "
                      "below 0, with sum 1"},
    {"step_scale", "factor of the steps of the open rule, in (0, 1]"},
    {"lazy", "look at models with weight first, at all only when those stall"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::merge::frank_wolfe_result, options, status, iterations, evaluations, passes, objective,
                        gap, weights);

// ---- Frank-Wolfe merging as published -------------------------------------------------------------------------------

BOOST_HANA_ADAPT_STRUCT(lathe::merge::adamerging_options, level, lr, init, steps, clamp, betas, adam_eps, entropy_eps,
                        tensor_order);
template <>
inline constexpr auto lathe::reflect::help<lathe::merge::adamerging_options> = lathe::reflect::help_table({
    {"level", "what a coefficient is for: a model (task), or a tensor of a model (layer)"},
    {"lr", "step size of Adam"},
    {"init", "every coefficient before the first step"},
    {"steps", "evaluations of the loss"},
    {"clamp", "use coefficients clipped to [0, 1]"},
    {"betas", "decays of Adam"},
    {"adam_eps", "epsilon of Adam"},
    {"entropy_eps", "in the logarithm of the entropy"},
    {"tensor_order", "names of the tensors as results list them; none: by their bytes"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::merge::adamerging_result, status, steps, losses, coefficients);

BOOST_HANA_ADAPT_STRUCT(lathe::merge::fw_ties_options, mask_rate, threshold, merge_func);
template <>
inline constexpr auto lathe::reflect::help<lathe::merge::fw_ties_options> = lathe::reflect::help_table({
    {"mask_rate", "part of the differences that does not move, as FW-Merging gives it"},
    {"threshold", "part that moves, in per cent if above 1, as the canonical TIES gives it; 20 if neither is given"},
    {"merge_func", "what becomes of agreeing elements in the start; unset: sum with fusion_bench, else mean"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::merge::fw_merging_options, variant, granularity, lmo, init, merge_fn, ties, scaling,
                        step_size, include_initial, max_iters, zero_norm);
template <>
inline constexpr auto lathe::reflect::help<lathe::merge::fw_merging_options> = lathe::reflect::help_table({
    {"variant", "whose behaviour; see the reference for what differs"},
    {"granularity", "choose one candidate for the whole model (task), or one for each tensor (layer)"},
    {"lmo", "how candidates are compared with the gradient: cosine as published, or inner product"},
    {"init", "start at what merge_fn makes of the models, or at the base"},
    {"merge_fn", "move towards a candidate, or only in its largest differences (ties)"},
    {"ties", "which differences are the largest"},
    {"scaling", "lambda of the start, and a factor of every step"},
    {"step_size", "the step at t is 2/(t+2) times this"},
    {"include_initial", "whether the start is a candidate"},
    {"max_iters", "evaluations of the gradient"},
    {"zero_norm", "alignment with a zero tensor: nan as published, or zero; unset: as the variant"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::merge::fw_merging_step, t, objective, chosen, score, sums, alignment, step, gamma,
                        threshold);
BOOST_HANA_ADAPT_STRUCT(lathe::merge::fw_merging_result, status, trace, counts, weight_of_start);

BOOST_HANA_ADAPT_STRUCT(lathe::merge::fw_merging_soft_options, merge_fn, granularity, scaling, step_size, max_iters,
                        zero_norm, ada_iters, ada_coeff, lr, betas, adam_eps, entropy_eps, tensor_order);
template <>
inline constexpr auto lathe::reflect::help<lathe::merge::fw_merging_soft_options> = lathe::reflect::help_table({
    {"merge_fn", "add the differences (task_arithmetic), or weigh them by learned coefficients (adamerging)"},
    {"granularity", "every task chooses one candidate for the whole model (task), or one for each tensor (layer)"},
    {"scaling", "task_arithmetic: factor of every step; adamerging: coefficients before the first iteration"},
    {"step_size", "task_arithmetic: the step at t > 0 is 2/(t+2) times this"},
    {"max_iters", "evaluations of the gradient of each task"},
    {"zero_norm", "alignment with a zero tensor: nan as published, or zero"},
    {"ada_iters", "adamerging: steps of Adam in each iteration"},
    {"ada_coeff", "adamerging: coefficients at the start of the later iterations"},
    {"lr", "adamerging: step size of Adam"},
    {"betas", "adamerging: decays of Adam"},
    {"adam_eps", "adamerging: epsilon of Adam"},
    {"entropy_eps", "adamerging: in the logarithm of the entropy"},
    {"tensor_order", "names of the tensors as results list them; none: by their bytes"},
});
BOOST_HANA_ADAPT_STRUCT(lathe::merge::fw_merging_soft_step, t, objective, chosen, score, step, gamma, losses,
                        coefficients);
BOOST_HANA_ADAPT_STRUCT(lathe::merge::fw_merging_soft_result, status, trace);
