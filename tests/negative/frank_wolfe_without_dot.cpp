// expect: has_dot
// Frank-Wolfe needs an inner product, and says that it is this.
#include <lathe/merge/frank_wolfe.hpp>
#include <lathe/testing/archetype.hpp>

#ifdef LATHE_NEGATIVE_CONTROL
using backend = lathe::testing::archetype<lathe::testing::floor::inner_product_space>;
#else
using backend = lathe::testing::archetype<lathe::testing::floor::vector_space>;
#endif
struct constant {
    double value_and_gradient(backend & be, lathe::cvec<backend, float>, lathe::vec<backend, float> g) {
        lathe::ops::fill(be, 0.0f, g);
        return 0;
    }
};
auto minimum(backend & be, std::span<lathe::cvec<backend, float> const> vertices, lathe::vec<backend, float> x) {
    lathe::merge::resident_vertices<backend, float> pool(vertices);
    return lathe::merge::frank_wolfe(be, pool, constant{}, x);
}
