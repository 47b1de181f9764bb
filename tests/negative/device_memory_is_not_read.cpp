// expect: deleted
// A position on a device is no pointer.
#include <lathe/testing/archetype.hpp>

using backend = lathe::testing::archetype<lathe::testing::floor::storage>;
float first(backend & be, lathe::cvec<backend, float> x) {
#ifdef LATHE_NEGATIVE_CONTROL
    float value = 0;
    be.download(x.sub(0, 1), std::span<float>{&value, 1});
    return value;
#else
    static_cast<void>(be);
    return *x.data;
#endif
}
