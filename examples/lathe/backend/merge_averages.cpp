#include "run_merge.hpp"

namespace lathe_cli {
template json run_merge<lathe::registry::average, selected>(merge_job const &);
template json run_merge<lathe::registry::linear, selected>(merge_job const &);
template json run_merge<lathe::registry::task_arithmetic, selected>(merge_job const &);
template json run_merge<lathe::registry::slerp, selected>(merge_job const &);
template json run_merge<lathe::registry::fisher, selected>(merge_job const &);
} // namespace lathe_cli
