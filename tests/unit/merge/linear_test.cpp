// Averages and task vectors: values, laws, what NaN does, errors, cancellation.
#include "polytope.hpp"
#include <catch.hpp>

#include <lathe/backend/eigen.hpp>
#include <lathe/merge/linear.hpp>

using namespace lathe;
using lathe_test::bytes_of;
using lathe_test::contains;
using lathe_test::elements;

namespace {

struct fixture {
    std::unique_ptr<memory_checkpoint> base = lathe_test::model(5, 90);
    lathe_test::models models{5, 3};
    merge::model_pool pool{base.get(), models.pointers};

    std::vector<double> expected(std::vector<double> const & w, double from_base) {
        auto sum = elements(*base);
        for (auto & x : sum)
            x *= from_base;
        for (std::size_t k = 0; k != w.size(); ++k) {
            auto const x = elements(*models.all[k]);
            for (std::size_t i = 0; i != x.size(); ++i)
                sum[i] += w[k] * x[i];
        }
        return sum;
    }
};
double worst(std::vector<double> const & a, std::vector<double> const & b) {
    REQUIRE(a.size() == b.size());
    double most = 0;
    for (std::size_t i = 0; i != a.size(); ++i)
        most = std::max(most, std::fabs(a[i] - b[i]));
    return most;
}

} // namespace

TEMPLATE_TEST_CASE("linear is the weighted sum, or mean", "[linear]", float, double) {
    fixture f;
    eigen_backend be;
    memory_checkpoint out;
    CHECK(merge::linear<TestType>(be, f.pool, out, {{0.5, 2.0, -0.3}, false}) == status::converged);
    CHECK(worst(elements(out), f.expected({0.5, 2, -0.3}, 0)) < 1e-6);
    merge::linear<TestType>(be, f.pool, out, {{0.5, 2.0, -0.3}, true});
    CHECK(worst(elements(out), f.expected({0.5 / 2.2, 2 / 2.2, -0.3 / 2.2}, 0)) < 1e-6);
    merge::average<TestType>(be, f.pool, out);
    CHECK(worst(elements(out), f.expected({1.0 / 3, 1.0 / 3, 1.0 / 3}, 0)) < 1e-6);
    // integers and empty tensors come from the base
    CHECK(std::ranges::equal(out.bytes(*out.find("d.steps")), f.base->bytes(*f.base->find("d.steps"))));
    CHECK(out.find("e.none"));
}

TEMPLATE_TEST_CASE("task arithmetic is the base and the scaled task vectors", "[linear]", float, double) {
    fixture f;
    eigen_backend be;
    memory_checkpoint out;
    merge::task_arithmetic<TestType>(be, f.pool, out, {.scaling = 0.4});
    CHECK(worst(elements(out), f.expected({0.4, 0.4, 0.4}, 1 - 1.2)) < 1e-6);
    merge::task_arithmetic<TestType>(be, f.pool, out, {0.7, {1.0, 0.5, -0.3}, true});
    CHECK(worst(elements(out), f.expected({0.7 / 1.2, 0.35 / 1.2, -0.21 / 1.2}, 0.3)) < 1e-6);
    merge::task_arithmetic<double>(be, f.pool, out, {.scaling = 0});
    CHECK((bytes_of(out) == bytes_of(*f.base)));
}

TEST_CASE("linear merges do not depend on windows, threads or the order of the models", "[linear]") {
    fixture f;
    memory_checkpoint first, second, third;
    eigen_backend one(1), three(3);
    merge::model_pool small(f.base.get(), f.models.pointers, {.window = 4096}), large(f.base.get(), f.models.pointers);
    merge::model_pool swapped(f.base.get(), {f.models.pointers[2], f.models.pointers[0], f.models.pointers[1]});
    merge::task_arithmetic(one, small, first, {.weights = {1.0, 2.0, 3.0}});
    merge::task_arithmetic(three, large, second, {.weights = {1.0, 2.0, 3.0}});
    CHECK((bytes_of(first) == bytes_of(second)));
    merge::task_arithmetic(one, swapped, third, {.weights = {3.0, 1.0, 2.0}});
    CHECK(worst(elements(first), elements(third)) < 1e-6);
}

TEST_CASE("a model of weight one among others of weight zero is the result", "[linear]") {
    fixture f;
    eigen_backend be;
    memory_checkpoint out;
    merge::linear<double>(be, f.pool, out, {{0.0, 3.0, 0.0}, true});
    CHECK((elements(out) == elements(*f.models.all[1])));
}

TEST_CASE("weights may depend on tensors", "[linear]") {
    fixture f;
    eigen_backend be;
    memory_checkpoint out;
    merge::schedule const first = std::vector<merge::schedule::filtered>{{"weight", 1.0}, {"*", 0.0}};
    merge::schedule const second = std::vector<merge::schedule::filtered>{{"weight", 0.0}, {"*", 1.0}};
    merge::linear<double>(be, f.pool, out, {{first, second, 0.0}, true});
    for (std::size_t i = 0; i != out.tensors().size(); ++i)
        if (auto const & t = out.tensors()[i]; is_floating(t.type))
            CHECK(std::ranges::equal(out.bytes(i), f.models.all[t.name.ends_with("weight") ? 0 : 1]->bytes(i)));
}

TEST_CASE("what is not finite stays where it is", "[linear]") {
    fixture f;
    auto const at = *f.models.all[1]->find("c.long");
    float const nan = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(f.models.all[1]->bytes(at).data() + 4 * 5000, &nan, 4);
    eigen_backend be;
    memory_checkpoint out;
    merge::average(be, f.pool, out);
    auto const all = elements(out);
    CHECK(std::ranges::count_if(all, [](double x) { return std::isnan(x); }) == 1);
}

TEST_CASE("linear merges refuse what they cannot do", "[linear]") {
    fixture f;
    eigen_backend be;
    memory_checkpoint out;
    CHECK_THROWS_WITH(merge::linear(be, f.pool, out, {{1.0, -1.0, 0.0}, true}),
                      contains("weights") && contains("sum to"));
    CHECK_NOTHROW(merge::linear(be, f.pool, out, {{1.0, -1.0, 0.0}, false}));
    CHECK_NOTHROW(merge::linear(be, f.pool, out, {{1e-12, 1e-12, 1e-12}, true}));
    CHECK_THROWS_WITH(merge::linear(be, f.pool, out, {{1.0, 1.0}, true}), contains("weights"));
    CHECK_THROWS_WITH(merge::task_arithmetic(be, f.pool, out, {.scaling = std::numeric_limits<double>::quiet_NaN()}),
                      contains("scaling"));
    CHECK_THROWS_WITH(merge::task_arithmetic(be, merge::model_pool(nullptr, f.models.pointers), out), contains("base"));
}

TEST_CASE("a merge that is stopped finishes nothing", "[linear]") {
    fixture f;
    eigen_backend be;
    struct at_once {
        static bool stop_requested() { return true; }
    };
    memory_checkpoint out;
    CHECK(merge::linear(be, f.pool, out, {}, control<no_observer, at_once>{}) == status::stopped);
}

TEST_CASE("a merge without a base reads none", "[linear]") {
    fixture f;
    lathe_test::counting_checkpoint counted(*f.base);
    merge::model_pool pool(&counted, f.models.pointers);
    eigen_backend be;
    memory_checkpoint out;
    merge::linear(be, pool, out);
    CHECK(counted.bytes_read == 2 * 8); // the integers
}
