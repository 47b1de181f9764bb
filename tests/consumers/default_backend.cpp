// A program that leaves the choice of backend to whoever configured lathe.
#include <lathe/backend/default.hpp>

int main() {
    lathe::default_backend backend;
    auto x = backend.allocate<double>(4);
    lathe::ops::fill(backend, 1.5, x.view());
    return lathe::ops::dot(backend, x.view(), x.view()) == 9.0 ? 0 : 1;
}
