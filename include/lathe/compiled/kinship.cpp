#include <lathe/compiled/definitions.hpp>

#include "selected_backend.hpp"

LATHE_NAMESPACE_BEGIN
namespace compiled {
template struct measuring_kinship<float, selected_backend>;
template struct measuring_kinship<double, selected_backend>;
template struct searching<float, selected_backend>;
template struct searching<double, selected_backend>;
} // namespace compiled
LATHE_NAMESPACE_END
