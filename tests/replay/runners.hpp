#pragma once
/// \file  Who runs the cases of a method.
#include "cases.hpp"

#include <map>

namespace lathe_replay {

/// What came out, to be held against what was recorded.
struct outcome {
    std::unique_ptr<lathe::memory_checkpoint> checkpoint;
    json values;                                                   ///< for expected.json
    json trace;                                                    ///< for expected.trace, but for the states
    std::vector<std::unique_ptr<lathe::memory_checkpoint>> states; ///< after each step, where the trace names files
};

/// \throws lathe::error where the case expects one; failure where the case is not understood, or a property does not
/// hold
struct runner {
    std::function<outcome(fixture &, std::size_t threads)> in_float, in_double;
};
using runner_table = std::map<std::string, runner, std::less<>>;

template <class Backend> void add_registered(runner_table & table);
template <class Backend> void add_kinship(runner_table & table);
template <class Backend> void add_fw_merging(runner_table & table);
template <class Backend> void add_fw_merging_soft(runner_table & table);
template <class Backend> void add_frank_wolfe(runner_table & table);
/// Schedules, simplex, files: no backend in them.
void add_plain(runner_table & table);

} // namespace lathe_replay
