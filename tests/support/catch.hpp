#pragma once
/// \file  Catch2, version 2 or 3, behind one include: its macros, ::Approx, and contains() for messages.
#include <string>

#if __has_include(<catch2/catch_all.hpp>)
#    include <catch2/catch_all.hpp>

using Catch::Approx; // version 2 has it there already
namespace lathe_test {
inline auto contains(std::string const & part) { return Catch::Matchers::ContainsSubstring(part); }
} // namespace lathe_test

#else
#    include <catch2/catch.hpp>

namespace lathe_test {
/// Matches a string that holds `part`: CHECK_THROWS_WITH(call(), contains("the tensor's name")).
inline auto contains(std::string const & part) { return Catch::Matchers::Contains(part); }
} // namespace lathe_test

#endif
