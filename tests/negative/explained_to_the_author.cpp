// expect: lathe: write .T dot
// The author of a backend reads which member to write.
#include <lathe/testing/archetype.hpp>
#include <lathe/testing/explain.hpp>

#ifdef LATHE_NEGATIVE_CONTROL
using backend = lathe::testing::archetype<lathe::testing::floor::inner_product_space>;
#else
using backend = lathe::testing::archetype<lathe::testing::floor::vector_space>;
#endif
static_assert(lathe::testing::explain<backend, float, lathe::testing::floor::inner_product_space>());
