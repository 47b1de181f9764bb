#include "run_objective.hpp"

namespace lathe_cli {
template json run_merge<lathe::registry::fw_merging_soft, selected>(merge_job const &);
template json run_merge<lathe::registry::adamerging, selected>(merge_job const &);
} // namespace lathe_cli
