// The method of magmax.hpp on a backend, and its test: on the archetype, which offers what the method asks for and not
// a thing more.
#include "magmax.hpp"

#include <lathe/backend/default.hpp>
#include <lathe/testing/archetype.hpp>

#include <cstdio>

using lathe::testing::archetype, lathe::testing::floor;

template <class B>
concept runs_magmax = requires(B & be, lathe::merge::model_pool const & pool, lathe::checkpoint_sink & sink) {
    mine::magmax(be, pool, sink);
};
static_assert(runs_magmax<archetype<floor::elementwise>>);
static_assert(!runs_magmax<archetype<floor::inner_product_space>>); // refused in a line, not in a page of templates

/// Three elements of two models and their base, merged.
template <class B> std::vector<float> merged_by(B & be, mine::magmax_options const & options) {
    lathe::memory_checkpoint base("base"), one("one"), two("two"), merged("merged");
    base.set<float>("weight", {3}, std::vector{1.0f, 1.0f, 1.0f});
    one.set<float>("weight", {3}, std::vector{3.0f, 1.5f, 2.0f});
    two.set<float>("weight", {3}, std::vector{2.0f, -3.0f, 0.0f});
    mine::magmax(be, lathe::merge::model_pool(&base, {&one, &two}), merged, options);
    std::vector<float> weight(3);
    std::memcpy(weight.data(), merged.bytes(0).data(), merged.bytes(0).size());
    return weight;
}

int main() {
    lathe::default_backend backend;
    archetype<floor::elementwise> device; // its memory cannot be looked at but by download
    auto const weight = merged_by(backend, {.scaling = 0.5});
    std::printf("merged: %g %g %g\n", weight[0], weight[1], weight[2]);
    if (weight != std::vector{2.0f, -1.0f, 1.5f} || weight != merged_by(device, {.scaling = 0.5})) {
        std::puts("the backend, the archetype and the numbers by hand differ");
        return 1;
    }
    std::printf("on the archetype: the same, in %zu call of map\n", device.count("map"));
    try {
        merged_by(backend, {.scaling = INFINITY});
    } catch (lathe::option_error const & e) {
        std::printf("refused: %s\n", e.what());
    }
}
