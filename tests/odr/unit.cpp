// Compiled twice, with different settings, by check.sh. Calls into headers, so that there is something to mix up.
#include <everything.hpp>

int ENTRY() {
    lathe::eigen_backend be{2};
    auto x = be.allocate<float>(5), y = be.allocate<float>(5);
    lathe::ops::fill(be, 2.0f, x.view());
    lathe::ops::fill(be, 1.0f, y.view());
    lathe::ops::axpy(be, 3.0f, x.view(), y.view());
    return static_cast<int>(lathe::ops::dot(be, x.view(), y.view()));
}
