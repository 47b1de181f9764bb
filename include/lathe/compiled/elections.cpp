#include <lathe/compiled/definitions.hpp>

#include "selected_backend.hpp"

LATHE_NAMESPACE_BEGIN
namespace compiled {
template struct merging<registry::ties, float, selected_backend>;
template struct merging<registry::ties, double, selected_backend>;
template struct merging<registry::dare, float, selected_backend>;
template struct merging<registry::dare, double, selected_backend>;
} // namespace compiled
LATHE_NAMESPACE_END
