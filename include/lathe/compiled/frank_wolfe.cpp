#include <lathe/compiled/definitions.hpp>

#include "selected_backend.hpp"

LATHE_NAMESPACE_BEGIN
namespace compiled {
template struct minimising<registry::frank_wolfe, float, selected_backend>;
template struct minimising<registry::frank_wolfe, double, selected_backend>;
template struct minimising_distance<float, selected_backend>;
template struct minimising_distance<double, selected_backend>;
} // namespace compiled
LATHE_NAMESPACE_END
