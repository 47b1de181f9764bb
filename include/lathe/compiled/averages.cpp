#include <lathe/compiled/definitions.hpp>

#include "selected_backend.hpp"

LATHE_NAMESPACE_BEGIN
namespace compiled {
template struct merging<registry::average, float, selected_backend>;
template struct merging<registry::average, double, selected_backend>;
template struct merging<registry::linear, float, selected_backend>;
template struct merging<registry::linear, double, selected_backend>;
template struct merging<registry::task_arithmetic, float, selected_backend>;
template struct merging<registry::task_arithmetic, double, selected_backend>;
template struct merging<registry::slerp, float, selected_backend>;
template struct merging<registry::slerp, double, selected_backend>;
template struct merging<registry::fisher, float, selected_backend>;
template struct merging<registry::fisher, double, selected_backend>;
} // namespace compiled
LATHE_NAMESPACE_END
