#include "run_merge.hpp"

namespace lathe_cli {
template json run_merge<lathe::registry::regmean, selected>(merge_job const &);
} // namespace lathe_cli
