#include "run_merge.hpp"

namespace lathe_cli {
template json run_merge<lathe::registry::tsv, selected>(merge_job const &);
template json run_merge<lathe::registry::iso_c, selected>(merge_job const &);
template json run_merge<lathe::registry::iso_cts, selected>(merge_job const &);
} // namespace lathe_cli
