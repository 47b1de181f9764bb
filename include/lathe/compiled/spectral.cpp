/// \file  Methods that decompose matrices. All in one translation unit: Eigen's decompositions take long to compile.
#include <lathe/compiled/definitions.hpp>

#include "selected_backend.hpp"

LATHE_NAMESPACE_BEGIN
namespace compiled {
template struct merging<registry::regmean, float, selected_backend>;
template struct merging<registry::regmean, double, selected_backend>;
template struct merging<registry::tsv, float, selected_backend>;
template struct merging<registry::tsv, double, selected_backend>;
template struct merging<registry::iso_c, float, selected_backend>;
template struct merging<registry::iso_c, double, selected_backend>;
template struct merging<registry::iso_cts, float, selected_backend>;
template struct merging<registry::iso_cts, double, selected_backend>;
} // namespace compiled
LATHE_NAMESPACE_END
