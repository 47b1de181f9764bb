// expect: does not take these operands
// Run-time numbers of a kernel are of the type it computes in; a double among floats would make the rest double.
#include <lathe/testing/archetype.hpp>

using backend = lathe::testing::archetype<lathe::testing::floor::elementwise>;
#ifdef LATHE_NEGATIVE_CONTROL
using number = float;
#else
using number = double;
#endif
void scale(backend & be, number a, lathe::vec<backend, float> y) {
    lathe::ops::map<float>(be, lathe::ops::kernels::product, y, a, y);
}
