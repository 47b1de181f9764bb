#pragma once
/// \file  One merge as the command hands it to the code of a backend: everything but the types.
#include "interrupt.hpp"
#include "progress_bar.hpp"

#include <lathe/registry.hpp>

namespace lathe_cli {

using lathe::reflect::json;

enum class objective_kind : unsigned char {
    quadratic, ///< the squared distance to a target
    command    ///< what another program computes
};

/// What methods minimise that minimise something.
struct objective_settings {
    std::optional<objective_kind> objective;
    std::vector<std::string> target;
    std::vector<std::string> fisher;
    std::map<std::string, double> tensor_weights;
    bool products = true;
    std::vector<std::string> objective_command;
    double timeout = 0;
};

struct merge_job {
    lathe::merge::model_pool const & pool;
    std::span<lathe::checkpoint * const> files; ///< what goes with the models: Fisher information, Gram matrices
    lathe::checkpoint_sink & sink;
    json options; ///< of the method, complete
    std::size_t threads;
    std::string device;
    progress_bar & progress;
    objective_settings const & objective;
};

/// Runs the method of that name in lathe::registry. Defined for each backend in backend/merge.cpp.
/// \returns what the method reports \throws interrupted, usage_error, lathe::error
template <class Backend> json run_merge(std::string_view method, merge_job const & job);

} // namespace lathe_cli

BOOST_HANA_ADAPT_STRUCT(lathe_cli::objective_settings, objective, target, fisher, tensor_weights, products,
                        objective_command, timeout);
template <>
inline constexpr auto lathe::reflect::help<lathe_cli::objective_settings> = lathe::reflect::help_table({
    {"objective", "what to minimise; unset: what the other flags say"},
    {"target", "minimise the squared distance to this checkpoint; repeat it for several tasks"},
    {"fisher", "weigh every element of the distance by this Fisher information, one file for each target"},
    {"tensor_weights", "weigh the tensors of the distance"},
    {"products", "frank_wolfe, distance: read the models once for all iterations"},
    {"objective_command", "minimise what this shell command computes: it reads {params}, writes {gradient} and {loss}; "
                          "repeat it for several tasks"},
    {"timeout", "seconds the command has for one evaluation; 0: no limit"},
});
