#include <lathe/compiled/definitions.hpp>

#include "selected_backend.hpp"

LATHE_NAMESPACE_BEGIN
namespace compiled {
template struct minimising<registry::fw_merging, float, selected_backend>;
template struct minimising<registry::fw_merging, double, selected_backend>;
template struct minimising<registry::fw_merging_soft, float, selected_backend>;
template struct minimising<registry::fw_merging_soft, double, selected_backend>;
template struct minimising<registry::adamerging, float, selected_backend>;
template struct minimising<registry::adamerging, double, selected_backend>;
} // namespace compiled
LATHE_NAMESPACE_END
