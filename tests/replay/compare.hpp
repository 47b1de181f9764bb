#pragma once
/// \file  Results against what was recorded.
#include "fixture.hpp"

namespace lathe_replay {

/// The first difference in words, or nothing. Names, shapes and types must be the same; integers and booleans bit for
/// bit; floating elements |a - b| <= atol + rtol |b|, NaN where NaN is expected, and of 16-bit types no more than
/// max_ulp apart if that is given (or within atol, near zero).
std::optional<std::string> difference(lathe::checkpoint & actual, lathe::checkpoint & expected, tolerance const & t);

/// The same for values: everything that is expected must be there. Numbers |a - b| <= max(5e-6, atol + rtol |b|),
/// integers exactly, null for NaN and for what is unset. `path` is what messages call the value.
std::optional<std::string> difference(json const & actual, json const & expected, tolerance const & t,
                                      std::string const & path);

} // namespace lathe_replay
