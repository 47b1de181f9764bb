// expect: has_gemm
// Singular vectors are composed of products of matrices.
#include <lathe/merge/spectral.hpp>
#include <lathe/testing/archetype.hpp>

#ifdef LATHE_NEGATIVE_CONTROL
using backend = lathe::testing::archetype<lathe::testing::floor::matrix_space>;
#else
using backend = lathe::testing::archetype<lathe::testing::floor::elementwise>;
#endif
auto merged(backend & be, lathe::merge::model_pool const & pool, lathe::checkpoint_sink & sink) {
    return lathe::merge::iso_c(be, pool, sink);
}
