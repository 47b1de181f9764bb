/// \file  Methods that decompose matrices. All in one translation unit: Eigen's decompositions take long to compile.
#include "run_merge.hpp"

namespace lathe_cli {
template json run_merge<lathe::registry::regmean, selected>(merge_job const &);
template json run_merge<lathe::registry::tsv, selected>(merge_job const &);
template json run_merge<lathe::registry::iso_c, selected>(merge_job const &);
template json run_merge<lathe::registry::iso_cts, selected>(merge_job const &);
} // namespace lathe_cli
