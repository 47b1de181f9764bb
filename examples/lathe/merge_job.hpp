#pragma once
/// \file  One merge as the command hands it to the code of a backend: everything but the types.
#include "interrupt.hpp"
#include "progress_bar.hpp"

#include <lathe/registry.hpp>

namespace lathe_cli {

using lathe::reflect::json;

struct merge_job {
    lathe::merge::model_pool const & pool;
    std::span<lathe::checkpoint * const> files; ///< what goes with the models: Fisher information, Gram matrices
    lathe::checkpoint_sink & sink;
    json options; ///< of the method, complete
    std::size_t threads;
    progress_bar & progress;
};

/// Runs a method of lathe::registry on a backend. Defined in run_merge.hpp, instantiated once for each pair.
/// \returns what the method reports \throws interrupted, lathe::error
template <class Method, class Backend> json run_merge(merge_job const & job);

} // namespace lathe_cli
