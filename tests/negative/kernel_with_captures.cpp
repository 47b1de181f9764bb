// expect: a kernel has no captures
// What varies is an operand: a device never sees what a lambda holds.
#include <lathe/testing/archetype.hpp>

using backend = lathe::testing::archetype<lathe::testing::floor::elementwise>;
void scale(backend & be, float a, lathe::vec<backend, float> y) {
#ifdef LATHE_NEGATIVE_CONTROL
    lathe::ops::map<float>(be, [](auto const & x, auto const & s) { return s * x; }, y, y, a);
#else
    lathe::ops::map<float>(be, [a](auto const & x) { return a * x; }, y, y);
#endif
}
