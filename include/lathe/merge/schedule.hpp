#pragma once
/// \file  Schedules: parameters of a merge that depend on the tensor, by its name and its depth in the network.
#include <lathe/merge/pool.hpp>

#include <variant>

LATHE_NAMESPACE_BEGIN
namespace merge {

/// A number for every tensor (weights, densities, t): the parameter settings of mergekit's YAML. One of
/// - a number: the same everywhere;
/// - a gradient, a list of numbers: nodes spread evenly over the depth of the network, linear between them;
/// - a list of {filter, number or gradient}: the first whose filter is absent, "*" or part of the tensor's name;
/// - a map from names of tensors to numbers.
/// Converts from a number, so that `.weights = {0.3, 0.7}` reads as one would write it.
struct schedule {
    using gradient = std::vector<double>; ///< values of the nodes; not empty
    /// A choice among those of a list.
    struct filtered {
        std::optional<std::string> filter;    ///< part of the names it is for; unset or "*": all
        std::variant<double, gradient> value; ///< for these tensors
        friend bool operator==(filtered const &, filtered const &) = default;
    };
    /// any of the four kinds
    std::variant<double, gradient, std::vector<filtered>, std::map<std::string, double>> value;

    ///@{
    /// Of the kind that its argument is. A gradient without nodes is found when it is evaluated.
    schedule(double number = 0) : value{number} {}
    schedule(gradient nodes) : value{std::move(nodes)} {}
    schedule(std::vector<filtered> choices) : value{std::move(choices)} {}
    schedule(std::map<std::string, double> by_name) : value{std::move(by_name)} {}
    ///@}
    friend bool operator==(schedule const &, schedule const &) = default;
};

/// The value of a gradient at depth t in [0, 1]: with m + 1 nodes, linear between those around t m.
/// \throws option_error for a gradient without nodes, or t outside [0, 1]
inline double evaluate(schedule::gradient const & nodes, double t) {
    expects_option(!nodes.empty(), "gradient", "no values", "at least one");
    expects_option(t >= 0 && t <= 1, "depth", std::to_string(t), "a number from 0 to 1");
    auto const x = t * static_cast<double>(nodes.size() - 1);
    auto const i = static_cast<std::size_t>(x);
    auto const fraction = x - static_cast<double>(i);
    return (1 - fraction) * nodes[i] + fraction * nodes[std::min(i + 1, nodes.size() - 1)];
}

/// The value for a tensor at depth t in [0, 1], or nothing where no filter matches and no name is listed.
/// Source: docs/merging.md, 5 (mergekit's semantics). \throws option_error as for gradients
inline std::optional<double> evaluate(schedule const & s, std::string_view tensor, double t) {
    auto const number = [&](auto const & v) -> double {
        if constexpr (std::same_as<std::remove_cvref_t<decltype(v)>, double>)
            return v;
        else
            return evaluate(v, t);
    };
    return std::visit([&]<class V>(V const & v) -> std::optional<double> {
        if constexpr (std::same_as<V, std::vector<schedule::filtered>>) {
            for (auto const & choice : v)
                if (!choice.filter || *choice.filter == "*" || tensor.find(*choice.filter) != tensor.npos)
                    return std::visit(number, choice.value);
            return std::nullopt;
        } else if constexpr (std::same_as<V, std::map<std::string, double>>) {
            auto const found = v.find(std::string{tensor});
            return found == v.end() ? std::nullopt : std::optional{found->second};
        } else
            return number(v);
    }, s.value);
}

/// Where a tensor says it sits: in layer 3 of the stack "model.layers." for "model.layers.3.mlp.up.weight".
struct layer_position {
    std::string_view stack; ///< the name up to the number
    std::size_t index;      ///< the number: of the layer in its stack
};
/// The first component of a name (between dots) that is all digits; nothing if there is none.
/// Refers to `name`.
inline std::optional<layer_position> layer_of(std::string_view name) {
    for (std::size_t first = 0; first <= name.size();) {
        auto const last = std::min(name.find('.', first), name.size());
        auto const part = name.substr(first, last - first);
        if (!part.empty() && part.size() <= 9
            && std::ranges::all_of(part, [](char c) { return c >= '0' && c <= '9'; })) {
            std::size_t index = 0;
            for (char const c : part)
                index = index * 10 + static_cast<std::size_t>(c - '0');
            return layer_position{name.substr(0, first), index};
        }
        first = last + 1;
    }
    return std::nullopt;
}

/// Depths of the tensors of a network: index / (layers - 1) inside a stack of layers, 1 in a stack of one layer, 0
/// outside layers (embeddings, and by mergekit's rule the final norm and the output head too).
///
/// There are no architecture files here: layers and their number are INFERRED from the names. Each stack
/// ("encoder.layer.", "decoder.layer.") has as many layers as its highest index says. Where that is wrong, give values
/// by name.
class layer_depths {
    std::map<std::string, std::size_t, std::less<>> last_; // of each stack

public:
    /// Of a network without layers: every depth is 0.
    layer_depths() = default;
    /// Of the tensors with these names.
    template <class Names>
        requires std::convertible_to<std::ranges::range_value_t<Names>, std::string_view>
    explicit layer_depths(Names const & names) {
        for (std::string_view const name : names)
            if (auto const at = layer_of(name)) {
                auto const [stack, fresh] = last_.try_emplace(std::string{at->stack}, at->index);
                stack->second = std::max(stack->second, at->index);
            }
    }
    /// In [0, 1]. A layer beyond the last one seen counts as the last; 0 in a stack that was not seen.
    [[nodiscard]] double operator()(std::string_view name) const {
        auto const at = layer_of(name);
        auto const stack = at ? last_.find(at->stack) : last_.end();
        if (stack == last_.end())
            return 0;
        return stack->second == 0
                   ? 1
                   : static_cast<double>(std::min(at->index, stack->second)) / static_cast<double>(stack->second);
    }
};

/// One schedule for each model, evaluated for every row of a pool. Memory: rows x models numbers.
class schedule_table {
    std::size_t models_;
    std::vector<double> values_;

public:
    /// \param option what messages call the schedules
    /// \param schedules one for each model, one for all, or none: `fallback` everywhere
    /// \param fallback for tensors without a value; unset: every merged tensor must have one
    /// \throws option_error naming the option, the model and the tensor, for another number of schedules, a missing or
    ///         non-finite value
    schedule_table(std::string_view option, std::vector<schedule> const & schedules, model_pool const & pool,
                   std::optional<double> fallback)
        : models_{pool.size()} {
        expects_option(schedules.size() <= 1 || schedules.size() == models_, option,
                       std::to_string(schedules.size()) + " values",
                       "one for each of " + std::to_string(models_) + " models");
        std::vector<std::string_view> names;
        for (auto const & row : pool.rows())
            names.push_back(row.info.name);
        layer_depths const depth(names);
        values_.reserve(pool.rows().size() * models_);
        for (auto const & row : pool.rows())
            for (std::size_t k = 0; k != models_; ++k) {
                auto const which = schedules.size() == 1 ? 0 : k;
                auto const found =
                    schedules.empty() ? fallback : evaluate(schedules[which], row.info.name, depth(row.info.name));
                auto const value = found ? found : fallback;
                if (row.merged && (!value || !std::isfinite(*value)))
                    throw option_error{std::string{option} + "[" + std::to_string(which) + "]: found "
                                       + (value ? std::to_string(*value) : "nothing") + " for tensor '" + row.info.name
                                       + "', expected a finite number"};
                values_.push_back(value.value_or(0));
            }
    }
    /// The values of the models at a row.
    [[nodiscard]] std::span<double const> operator[](std::size_t row) const {
        return std::span{values_}.subspan(row * models_, models_);
    }
};

} // namespace merge
LATHE_NAMESPACE_END
