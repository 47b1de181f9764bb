// Model kinship and the search that uses it, on a device.
#include <lathe/merge/kinship_search.hpp>

#include "models.hpp"

namespace {
using namespace lathe_test;
using testing::floor;
using here = testing::archetype<floor::elementwise>;
using below = testing::archetype<floor::inner_product_space>;

template <class B>
constexpr bool can_compare = requires(B & be, merge::model_pool const & pool) { merge::kinship(be, pool); };
static_assert(can_compare<here> && !can_compare<below>);
template <class B>
constexpr bool can_search =
    requires(B & be, merge::model_pool const & pool, checkpoint_sink & sink, double (*evaluate)(checkpoint &)) {
        merge::kinship_search(be, pool, evaluate, sink);
    };
static_assert(can_search<here> && !can_search<below>);

void check_alike(merge::kinship_scores const & found, merge::kinship_scores const & expected, double tolerance) {
    for (auto const metric : {merge::kinship_metric::pcc, merge::kinship_metric::cs, merge::kinship_metric::cs_signed,
                              merge::kinship_metric::ed})
        CHECK((found[metric] == Approx(expected[metric]).epsilon(tolerance)
               || (found[metric] != found[metric] && expected[metric] != expected[metric])));
}
} // namespace

TEMPLATE_TEST_CASE("kinship of all pairs on a device", "[archetype][kinship]", float, double) {
    using T = TestType;
    models m(3);
    auto const pool = m.pool();
    for (bool const low : {false, true}) {
        testing::archetype<floor::elementwise, T> device;
        eigen_backend host;
        auto const found = merge::kinship<T>(device, pool, {.low_precision = low, .per_tensor = true});
        auto const expected = merge::kinship<T>(host, pool, {.low_precision = low, .per_tensor = true});
        REQUIRE(found.tensors.size() == expected.tensors.size());
        // In 8 bits a quotient near one half may go either way in single precision.
        double const tolerance = low && std::same_as<T, float> ? 1e-2 : 1e-5;
        for (std::size_t b = 1; b != 3; ++b)
            for (std::size_t a = 0; a != b; ++a) {
                check_alike(found.full.at(a, b), expected.full.at(a, b), tolerance);
                check_alike(found.split.at(a, b), expected.split.at(a, b), tolerance);
                for (std::size_t i = 0; i != found.tensors.size(); ++i)
                    check_alike(found.tensors[i].scores.at(a, b), expected.tensors[i].scores.at(a, b), tolerance);
            }
    }
}

TEST_CASE("the kinship search takes the same way on a device", "[archetype][kinship]") {
    models m(3);
    auto const pool = m.pool();
    // Near the mean of all is best.
    auto const evaluate = [](checkpoint & c) {
        window_buffer buffer;
        auto const i = c.find("long.bias").value();
        auto const bytes = c.read(i, 0, 400, buffer);
        std::vector<float> x(100);
        host::load(dtype::f32, bytes.data(), 100, x.data());
        double sum = 0;
        for (auto const v : x)
            sum -= std::fabs(static_cast<double>(v));
        return sum;
    };
    for (auto const how : {merge::kinship_merge::linear, merge::kinship_merge::slerp}) {
        auto const run = [&](auto & be, auto & sink) {
            return merge::kinship_search(be, pool, evaluate, sink, {.k = 2, .merge = how, .max_gen = 3});
        };
        auto const [device, host] = run_on_both<floor::elementwise, float>(run, few_roundings<float>);
        CHECK(device.best == host.best);
        REQUIRE(device.history.size() == host.history.size());
        for (std::size_t i = 0; i != host.history.size(); ++i) {
            CHECK(device.history[i].parents == host.history[i].parents);
            CHECK(device.history[i].role == host.history[i].role);
        }
    }
}
