#pragma once
/// \file  The conformance suite as Catch2 assertions: one a law.
#include <lathe/testing/conformance.hpp>

#include "catch.hpp"

namespace lathe_test {
template <class B, lathe::real T>
void check_conformance(B & be, lathe::testing::conformance_options const & options = {}) {
    for (auto const & check : lathe::testing::conformance<B, T>(be, options)) {
        INFO(check.name << ": " << check.detail);
        CHECK(check.passed);
    }
}
} // namespace lathe_test
