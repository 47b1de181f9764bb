// TIES on a device: the thresholds are exact, so the same elements stay.
#include <lathe/merge/ties.hpp>

#include "models.hpp"

namespace {
using namespace lathe_test;
using testing::floor;

template <class B>
constexpr bool can_ties =
    requires(B & be, merge::model_pool const & pool, checkpoint_sink & sink) { merge::ties(be, pool, sink); };
static_assert(can_ties<testing::archetype<floor::elementwise>>
              && !can_ties<testing::archetype<floor::inner_product_space>>);
} // namespace

TEST_CASE("TIES on a device keeps the same elements", "[archetype][ties]") {
    models m(3, false); // mergekit keeps whole elements of each tensor, and a scalar has no fifth
    auto const pool = m.pool();
    for (auto const variant : {merge::ties_variant::lathe, merge::ties_variant::mergekit,
                               merge::ties_variant::fusion_bench, merge::ties_variant::fwm})
        for (bool const rescale : {false, true}) {
            if (rescale && variant != merge::ties_variant::lathe && variant != merge::ties_variant::mergekit)
                continue;
            auto const run = [&](auto & be, auto & sink) {
                return merge::ties(be, pool, sink, {.variant = variant, .rescale = rescale});
            };
            auto const [device, host] = run_on_both<floor::elementwise, float>(run, few_roundings<float>);
            CHECK(device.threshold == host.threshold);
            CHECK(device.kth == host.kth);
            CHECK(device.kept == host.kept);
            CHECK(device.majority == host.majority);
        }
}
