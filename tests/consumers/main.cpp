// What a user of the library writes first: one operation on the backend he chose, one method's header.
#include <lathe/backend/eigen.hpp>
#include <lathe/lathe.hpp>

#include <vector>

int main() {
    std::vector<float> const x{1, 2, 3};
    std::vector<float> y{10, 20, 30};
    lathe::eigen_backend backend;
    lathe::ops::axpy(backend, 2.0f, lathe::view_of(std::span{x}), lathe::view_of(std::span{y}));
    return y == std::vector<float>{12, 24, 36} ? 0 : 1;
}
