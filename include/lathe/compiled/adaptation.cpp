/// \file  The methods of adaptation, all in one translation unit: they share the partial decomposition, which takes
///        long to compile.
#include <lathe/compiled/definitions.hpp>

#include "selected_backend.hpp"

LATHE_NAMESPACE_BEGIN
namespace compiled {
template struct starting<registry::lora, float, selected_backend>;
template struct starting<registry::lora, double, selected_backend>;
template struct starting<registry::rslora, float, selected_backend>;
template struct starting<registry::rslora, double, selected_backend>;
template struct starting<registry::dora, float, selected_backend>;
template struct starting<registry::dora, double, selected_backend>;
template struct starting<registry::pissa, float, selected_backend>;
template struct starting<registry::pissa, double, selected_backend>;
template struct starting<registry::pissa_fast, float, selected_backend>;
template struct starting<registry::pissa_fast, double, selected_backend>;
template struct starting<registry::milora, float, selected_backend>;
template struct starting<registry::milora, double, selected_backend>;
template struct starting<registry::olora, float, selected_backend>;
template struct starting<registry::olora, double, selected_backend>;
template struct starting<registry::mica, float, selected_backend>;
template struct starting<registry::mica, double, selected_backend>;
template struct starting<registry::loftq, float, selected_backend>;
template struct starting<registry::loftq, double, selected_backend>;
template struct starting<registry::kasa, float, selected_backend>;
template struct starting<registry::kasa, double, selected_backend>;
template struct starting<registry::adalora, float, selected_backend>;
template struct starting<registry::adalora, double, selected_backend>;
template struct starting<registry::melora, float, selected_backend>;
template struct starting<registry::melora, double, selected_backend>;
template struct adapting<float, selected_backend>;
template struct adapting<double, selected_backend>;
} // namespace compiled
LATHE_NAMESPACE_END
