#include "run_merge.hpp"

namespace lathe_cli {
template json run_merge<lathe::registry::ties, selected>(merge_job const &);
template json run_merge<lathe::registry::dare, selected>(merge_job const &);
} // namespace lathe_cli
