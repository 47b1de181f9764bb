#include "run_objective.hpp"

namespace lathe_cli {
template json run_merge<lathe::registry::kinship_search, selected>(merge_job const &);
} // namespace lathe_cli
