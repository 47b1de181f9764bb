// What a user of the library writes first: one operation on the backend he chose, one method.
#include <lathe/backend/eigen.hpp>
#include <lathe/merge/linear.hpp>

#include <cstring>
#include <vector>

int main() {
    std::vector<float> const x{1, 2, 3};
    std::vector<float> y{10, 20, 30};
    lathe::eigen_backend backend;
    lathe::ops::axpy(backend, 2.0f, lathe::view_of(std::span{x}), lathe::view_of(std::span{y}));

    lathe::memory_checkpoint first, second, merged;
    first.set("weight", {3}, std::span<float const>{x});
    second.set("weight", {3}, std::span<float const>{y});
    lathe::merge::average(backend, {nullptr, {&first, &second}}, merged);
    std::vector<float> mean(3);
    std::memcpy(mean.data(), merged.bytes(0).data(), sizeof(float) * mean.size());
    return y == std::vector<float>{12, 24, 36} && mean == std::vector<float>{6.5, 13, 19.5} ? 0 : 1;
}
