// Methods that were compiled when lathe was built: nothing of them is instantiated here.
#include <lathe/backend/eigen.hpp>
#include <lathe/compiled.hpp>

#include <cstring>
#include <vector>

int main() {
    using ties = lathe::registry::ties;
    std::vector<float> const base{0, 0, 0, 0}, x{4, -1, 2, 0.5}, y{2, 3, -1, 0.25};
    lathe::memory_checkpoint start, first, second, merged;
    start.set("weight", {4}, std::span<float const>{base});
    first.set("weight", {4}, std::span<float const>{x});
    second.set("weight", {4}, std::span<float const>{y});

    lathe::eigen_backend backend;
    ties::options options;
    options.density = {0.5}; // {4, 0, 2, 0} and {2, 3, 0, 0} are left, and agree on their signs
    lathe::compiled::merging<ties, float, lathe::eigen_backend>::run(backend, {&start, {&first, &second}}, {}, merged,
                                                                     options);
    std::vector<float> values(4);
    std::memcpy(values.data(), merged.bytes(0).data(), sizeof(float) * values.size());
    return values == std::vector<float>{3, 3, 2, 0} ? 0 : 1;
}
