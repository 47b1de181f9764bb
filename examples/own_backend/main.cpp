// Methods over the backend of vector_backend.hpp, which knows nothing of them.
#include "vector_backend.hpp"

#include <lathe/merge/ties.hpp>

#include <cstdio>

namespace {

/// Two models and their base, merged by TIES.
template <class B> void merge(B & be) {
    lathe::memory_checkpoint base("base"), one("one"), two("two"), merged("merged");
    base.set<float>("weight", {4}, std::vector{0.0f, 0.0f, 0.0f, 0.0f});
    one.set<float>("weight", {4}, std::vector{4.0f, 0.1f, 2.0f, -1.0f});
    two.set<float>("weight", {4}, std::vector{2.0f, 0.2f, -3.0f, -2.0f});
    lathe::merge::ties(be, lathe::merge::model_pool(&base, {&one, &two}), merged, {.density = {0.75}});
    std::vector<float> weight(4);
    std::memcpy(weight.data(), merged.bytes(0).data(), merged.bytes(0).size());
    std::printf("merge:   %g %g %g %g\n", weight[0], weight[1], weight[2], weight[3]);
}

template <class B> void run() {
    if constexpr (lathe::matrix_space<B, float>) { // else the header of the backend says what is missing
        B be;
        merge(be);
    }
}

} // namespace

int main() { run<vector_backend>(); }
