// What every build of the package has, whatever its options.
#include <lathe/core/checkpoint.hpp>

#include <vector>

int main() {
    std::vector<float> const row{1, 2, 3, 4};
    lathe::memory_checkpoint checkpoint;
    checkpoint.set("weight", {1, 4}, std::span<float const>{row});
    return checkpoint.tensors().size() == 1 && checkpoint.tensors()[0].name == "weight" ? 0 : 1;
}
