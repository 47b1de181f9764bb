// expect: has_gemm
// Triplets at an end of the spectrum are composed of products of matrices.
#include <lathe/adapt/kasa.hpp>
#include <lathe/testing/archetype.hpp>

#ifdef LATHE_NEGATIVE_CONTROL
using backend = lathe::testing::archetype<lathe::testing::floor::matrix_space>;
#else
using backend = lathe::testing::archetype<lathe::testing::floor::elementwise>;
#endif
auto truncated(backend & be, lathe::mat<backend, float> weight) { return lathe::adapt::kasa_truncate(be, weight, 4); }
