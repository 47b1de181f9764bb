// expect: has_axpy
// An operation on a backend that has neither the member nor kernels.
#include <lathe/testing/archetype.hpp>

#ifdef LATHE_NEGATIVE_CONTROL
using backend = lathe::testing::archetype<lathe::testing::floor::vector_space>;
#else
using backend = lathe::testing::archetype<lathe::testing::floor::storage>;
#endif
void add(backend & be, lathe::vec<backend, float> x, lathe::vec<backend, float> y) { lathe::ops::axpy(be, 2.0f, x, y); }
