#pragma once
/// \file  Cases of token-level watermarks and of the random streams under them.
#include "array_fixture.hpp"

namespace lathe_replay {

/// \returns whether it is such a case, judged by its name; \throws failure, lathe::error
template <class Backend> bool run_token_watermark(Backend & be, std::string_view name, array_fixture const & f);

} // namespace lathe_replay
