// Merges that need kernels and nothing more: run on the archetype of that floor, compared with Eigen, refused one floor
// down.
#include <lathe/merge/dare.hpp>
#include <lathe/merge/fisher.hpp>
#include <lathe/merge/slerp.hpp>

#include "models.hpp"

namespace {
using namespace lathe_test;
using testing::floor;
using here = testing::archetype<floor::elementwise>;
using below = testing::archetype<floor::inner_product_space>;

template <class B>
constexpr bool can_merge =
    requires(B & be, merge::model_pool const & pool, checkpoint_sink & sink) { merge::linear(be, pool, sink); }
    || requires(B & be, merge::model_pool const & pool, checkpoint_sink & sink) { merge::average(be, pool, sink); }
    || requires(B & be, merge::model_pool const & pool,
                checkpoint_sink & sink) { merge::task_arithmetic(be, pool, sink); }
    || requires(B & be, merge::model_pool const & pool, checkpoint_sink & sink) { merge::slerp(be, pool, sink); }
    || requires(B & be, merge::model_pool const & pool, checkpoint_sink & sink) { merge::dare(be, pool, sink); }
    || requires(B & be, merge::model_pool const & pool, checkpoint_sink & sink) { merge::fisher(be, pool, {}, sink); };
static_assert(can_merge<here> && !can_merge<below>);
} // namespace

TEMPLATE_TEST_CASE("weighted sums on a device", "[archetype][linear]", float, double) {
    using T = TestType;
    models m(3);
    auto const pool = m.pool();
    auto const linear = [&](auto & be, auto & sink) {
        return merge::linear<T>(be, pool, sink, {.weights = {0.5, 2.0, -0.25}});
    };
    auto const average = [&](auto & be, auto & sink) { return merge::average<T>(be, pool, sink); };
    auto const tasks = [&](auto & be, auto & sink) {
        return merge::task_arithmetic<T>(be, pool, sink, {.scaling = 0.7});
    };
    CHECK(run_on_both<floor::elementwise, T>(linear, few_roundings<T>).first == status::converged);
    run_on_both<floor::elementwise, T>(average, few_roundings<T>);
    run_on_both<floor::elementwise, T>(tasks, few_roundings<T>);
}

TEMPLATE_TEST_CASE("slerp on a device", "[archetype][slerp]", float, double) {
    using T = TestType;
    models m(2);
    auto const pool = m.pool();
    auto const run = [&](auto & be, auto & sink) {
        return merge::slerp<T>(be, pool, sink, {.t = 0.3, .dot_threshold = 0.998});
    };
    auto const [device, host] = run_on_both<floor::elementwise, T>(run, few_roundings<T>);
    REQUIRE(device.tensors.size() == host.tensors.size());
    for (std::size_t i = 0; i != host.tensors.size(); ++i) {
        CHECK(device.tensors[i].branch == host.tensors[i].branch);
        CHECK(device.tensors[i].dot == Approx(host.tensors[i].dot));
    }
}

TEST_CASE("DARE on a device keeps the same elements", "[archetype][dare]") {
    models m(3);
    auto const pool = m.pool();
    for (auto const variant :
         {merge::dare_variant::fusion_bench, merge::dare_variant::fwm, merge::dare_variant::mergekit})
        for (auto const then : {merge::dare_then::task_arithmetic, merge::dare_then::ties}) {
            auto const run = [&](auto & be, auto & sink) {
                return merge::dare(be, pool, sink, {.variant = variant, .drop = 0.4, .then = then, .seed = 5});
            };
            run_on_both<floor::elementwise, float>(run, few_roundings<float>);
        }
}

TEST_CASE("Fisher merging on a device", "[archetype][fisher]") {
    models m(3);
    auto const pool = m.pool();
    auto const fishers = fishers_of(m, 3);
    std::vector<checkpoint *> const all{fishers[0].get(), fishers[1].get(), fishers[2].get()};
    for (bool const normalize : {true, false}) {
        auto const run = [&](auto & be, auto & sink) {
            return merge::fisher(be, pool, all, sink, {.normalize = normalize});
        };
        run_on_both<floor::elementwise, float>(run, few_roundings<float>);
    }
}

TEST_CASE("a merge of one pass waits once a window and holds one window of each checkpoint", "[archetype][linear]") {
    models m(3);
    auto const pool = m.pool();
    here be;
    memory_checkpoint out;
    merge::linear(be, pool, out);
    // 10100 elements in three windows, and five tensors of one
    CHECK(be.host_syncs() == 8);
    CHECK(be.count("download") == 8);
    CHECK(be.count("map") == 8);
    CHECK(be.count("reduce") == 0);
    CHECK(be.count("upload") == 3 * 8); // not the base
    // a buffer that grows exists beside the one it replaces for a moment
    CHECK(be.memory().peak <= (3 + 1 + 1) * 4096);
    be.clear_log();
    merge::task_arithmetic(be, pool, out);
    CHECK(be.count("upload") == 4 * 8);
    CHECK(be.host_syncs() == 8);
}
