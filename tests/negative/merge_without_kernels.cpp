// expect: has_map
// A merge that streams checkpoints, on a backend that has vectors only: the missing operation is named.
#include <lathe/merge/linear.hpp>
#include <lathe/testing/archetype.hpp>

#ifdef LATHE_NEGATIVE_CONTROL
using backend = lathe::testing::archetype<lathe::testing::floor::elementwise>;
#else
using backend = lathe::testing::archetype<lathe::testing::floor::inner_product_space>;
#endif
auto merged(backend & be, lathe::merge::model_pool const & pool, lathe::checkpoint_sink & sink) {
    return lathe::merge::linear(be, pool, sink);
}
