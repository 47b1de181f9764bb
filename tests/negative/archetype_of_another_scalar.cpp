// expect: storage|has_allocate|has_upload
// A device may have one scalar and not the other.
#include <lathe/merge/linear.hpp>
#include <lathe/testing/archetype.hpp>

using backend = lathe::testing::archetype<lathe::testing::floor::elementwise, float>;
#ifdef LATHE_NEGATIVE_CONTROL
using scalar = float;
#else
using scalar = double;
#endif
auto merged(backend & be, lathe::merge::model_pool const & pool, lathe::checkpoint_sink & sink) {
    return lathe::merge::average<scalar>(be, pool, sink);
}
