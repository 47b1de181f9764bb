// Merges that are formulas for an element: weighted sums, slerp, Fisher, DARE, TIES, and the kinship of models.
#include <lathe/merge/dare.hpp>
#include <lathe/merge/fisher.hpp>
#include <lathe/merge/kinship_search.hpp>
#include <lathe/merge/slerp.hpp>
#include <lathe/merge/ties.hpp>

#include "merge_test.hpp"

namespace {
using namespace lathe_test;
} // namespace

TEMPLATE_TEST_CASE("weighted sums and slerp on OpenCL", "[opencl][merge]", float, double) {
    using T = TestType;
    models m(3), pair(2);
    auto const pool = m.pool(), two = pair.pool();
    on_device_and_host([&](auto & be, auto & sink) {
        return merge::linear<T>(be, pool, sink, {.weights = {0.5, 2.0, -0.25}});
    }, few_roundings<T>);
    on_device_and_host([&](auto & be, auto & sink) { return merge::average<T>(be, pool, sink); }, few_roundings<T>);
    on_device_and_host([&](auto & be, auto & sink) {
        return merge::task_arithmetic<T>(be, pool, sink, {.scaling = 0.7});
    }, few_roundings<T>);
    on_device_and_host([&](auto & be, auto & sink) {
        return merge::slerp<T>(be, two, sink, {.t = 0.3, .dot_threshold = 0.998});
    }, few_roundings<T>, [](auto const & found, auto const & expected) {
        REQUIRE(found.tensors.size() == expected.tensors.size());
        for (std::size_t i = 0; i != expected.tensors.size(); ++i) {
            CHECK(found.tensors[i].branch == expected.tensors[i].branch);
            CHECK(found.tensors[i].dot == Approx(expected.tensors[i].dot));
        }
    });
}

TEST_CASE("Fisher merging on OpenCL", "[opencl][merge]") {
    models m(3);
    auto const pool = m.pool();
    auto const fishers = fishers_of(m, 3);
    std::vector<checkpoint *> const all{fishers[0].get(), fishers[1].get(), fishers[2].get()};
    for (bool const normalize : {true, false})
        on_device_and_host([&](auto & be, auto & sink) {
            return merge::fisher(be, pool, all, sink, {.normalize = normalize});
        }, few_roundings<float>);
}

TEST_CASE("DARE on OpenCL drops the same elements", "[opencl][merge]") {
    models m(3);
    auto const pool = m.pool();
    for (auto const variant :
         {merge::dare_variant::fusion_bench, merge::dare_variant::fwm, merge::dare_variant::mergekit})
        for (auto const then : {merge::dare_then::task_arithmetic, merge::dare_then::ties})
            on_device_and_host([&](auto & be, auto & sink) {
                return merge::dare(be, pool, sink, {.variant = variant, .drop = 0.4, .then = then, .seed = 5});
            }, few_roundings<float>);
}

TEST_CASE("TIES on OpenCL keeps the same elements", "[opencl][merge]") {
    models m(3, false);
    auto const pool = m.pool();
    auto const alike = [](merge::ties_result const & found, merge::ties_result const & expected) {
        CHECK(found.threshold == expected.threshold);
        CHECK(found.kth == expected.kth);
        CHECK(found.kept == expected.kept);
        CHECK(found.majority == expected.majority);
    };
    for (auto const variant : {merge::ties_variant::lathe, merge::ties_variant::mergekit,
                               merge::ties_variant::fusion_bench, merge::ties_variant::fwm}) {
        bool const published = variant == merge::ties_variant::fusion_bench || variant == merge::ties_variant::fwm;
        on_device_and_host([&](auto & be, auto & sink) {
            return merge::ties(be, pool, sink, {.variant = variant, .rescale = !published});
        }, few_roundings<float>, alike);
    }
    for (auto const merge_func : {merge::ties_merge_func::sum, merge::ties_merge_func::max})
        on_device_and_host([&](auto & be, auto & sink) {
            return merge::ties(be, pool, sink, {.variant = merge::ties_variant::fwm, .merge_func = merge_func});
        }, few_roundings<float>, alike);
}

TEST_CASE("kinship and the search by it on OpenCL", "[opencl][merge]") {
    models m(3);
    auto const pool = m.pool();
    eigen_backend host;
    opencl_backend device;
    auto const found = merge::kinship<float>(device, pool), expected = merge::kinship<float>(host, pool);
    for (std::size_t b = 1; b != 3; ++b)
        for (std::size_t a = 0; a != b; ++a)
            for (auto const metric : {merge::kinship_metric::pcc, merge::kinship_metric::cs, merge::kinship_metric::ed})
                CHECK(found.full.at(a, b)[metric] == Approx(expected.full.at(a, b)[metric]).epsilon(1e-5));
    // Near zero is best.
    auto const evaluate = [](checkpoint & c) {
        window_buffer buffer;
        auto const bytes = c.read(c.find("long.bias").value(), 0, 400, buffer);
        std::vector<float> x(100);
        host::load(dtype::f32, bytes.data(), 100, x.data());
        double sum = 0;
        for (auto const v : x)
            sum -= std::fabs(static_cast<double>(v));
        return sum;
    };
    for (auto const how : {merge::kinship_merge::linear, merge::kinship_merge::slerp})
        on_device_and_host([&](auto & be, auto & sink) {
            return merge::kinship_search(be, pool, evaluate, sink, {.k = 2, .merge = how, .max_gen = 3});
        }, few_roundings<float>, [](auto const & f, auto const & e) {
            CHECK(f.best == e.best);
            CHECK(f.history.size() == e.history.size());
        });
}
