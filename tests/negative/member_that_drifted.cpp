// expect: all_live|static assertion failed|static_assert failed
// A member whose signature is not the one that is called is noticed where the backend says that it is meant to be.
#include <lathe/testing/archetype.hpp>

using base = lathe::testing::archetype<lathe::testing::floor::inner_product_space>;
struct backend : base {
#ifdef LATHE_NEGATIVE_CONTROL
    void axpby(float, lathe::cvec<base, float>, float, lathe::vec<base, float>) {}
#else
    void axpby(float, lathe::cvec<base, float>, lathe::vec<base, float>) {}
#endif
};
static_assert(lathe::all_live<backend, float, lathe::ops::axpby_fn>);
