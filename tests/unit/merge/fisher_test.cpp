// Fisher merging: the weighted mean, its norm, laws, errors.
#include "polytope.hpp"
#include <catch.hpp>

#include <lathe/backend/eigen.hpp>
#include <lathe/merge/fisher.hpp>

using namespace lathe;
using lathe_test::bytes_of;
using lathe_test::contains;
using lathe_test::elements;

namespace {

struct fixture {
    lathe_test::models models{6, 3};
    std::vector<std::unique_ptr<memory_checkpoint>> fishers;
    std::vector<checkpoint *> pointers;
    merge::model_pool pool;
    eigen_backend be{2};

    explicit fixture(merge::pool_options const & options = {.window = 4096}) : pool(nullptr, models.pointers, options) {
        for (std::uint32_t k = 0; k != 3; ++k)
            add(k, 1);
    }
    /// Squares of random numbers times `scale`.
    void add(std::uint32_t which, double scale) {
        auto made = std::make_unique<memory_checkpoint>("fisher " + std::to_string(which));
        std::uint32_t tensor = 0;
        for (auto const & t : lathe_test::tensors()) {
            auto x = lathe_test::numbers(8, 50 * which + ++tensor, t.count());
            std::vector<float> f;
            for (auto const v : x)
                f.push_back(static_cast<float>(scale * v * v));
            if (is_floating(t.type))
                made->set<float>(t.name, t.extents, f);
        }
        pointers.push_back(made.get());
        fishers.push_back(std::move(made));
    }
};

} // namespace

TEMPLATE_TEST_CASE("Fisher merging is the mean weighted by the Fisher information", "[fisher]", float, double) {
    fixture f;
    for (bool const normalize : {false, true}) {
        memory_checkpoint out;
        merge::fisher<TestType>(f.be, f.pool, f.pointers, out,
                                {.normalize = normalize, .eps = 1e-3, .weights = {1.0, 2.0, 0.5}});
        auto const found = elements(out);
        std::vector<double> sum(found.size()), total(found.size());
        for (std::size_t k = 0; k != 3; ++k) {
            auto const x = elements(*f.models.all[k]), w = elements(*f.fishers[k]);
            double norm = 0;
            for (auto const v : w)
                norm += v * v;
            auto const c = (normalize ? 1 / (std::sqrt(norm) + 1e-3) : 1.0) * std::array{1.0, 2.0, 0.5}[k];
            for (std::size_t i = 0; i != x.size(); ++i) {
                sum[i] += c * (w[i] + 1e-3) * x[i];
                total[i] += c * (w[i] + 1e-3);
            }
        }
        double worst = 0;
        for (std::size_t i = 0; i != found.size(); ++i)
            worst = std::max(worst, std::fabs(found[i] - sum[i] / total[i]));
        CHECK(worst < 2e-6);
    }
}

TEST_CASE("equal information gives the mean, and no information too", "[fisher]") {
    fixture f;
    memory_checkpoint mean, out, zero;
    merge::average<double>(f.be, f.pool, mean);
    merge::fisher<double>(f.be, f.pool, {f.pointers[1], f.pointers[1], f.pointers[1]}, out);
    auto const a = elements(mean), b = elements(out);
    for (std::size_t i = 0; i != a.size(); ++i)
        CHECK(std::fabs(a[i] - b[i]) < 1e-6);
    f.add(0, 0);
    merge::fisher<double>(f.be, f.pool, {f.pointers[3], f.pointers[3], f.pointers[3]}, zero);
    auto const c = elements(zero);
    for (std::size_t i = 0; i != a.size(); ++i)
        CHECK(std::fabs(a[i] - c[i]) < 1e-6);
}

TEST_CASE("the scale of a model's information does not matter when it is divided by its norm", "[fisher]") {
    fixture f;
    f.add(1, 1000);
    memory_checkpoint once, scaled;
    merge::fisher<double>(f.be, f.pool, {f.pointers[0], f.pointers[1], f.pointers[2]}, once, {.eps = 1e-12});
    merge::fisher<double>(f.be, f.pool, {f.pointers[0], f.pointers[3], f.pointers[2]}, scaled, {.eps = 1e-12});
    auto const a = elements(once), b = elements(scaled);
    for (std::size_t i = 0; i != a.size(); ++i)
        CHECK(std::fabs(a[i] - b[i]) < 1e-5);
}

TEST_CASE("Fisher merging does not depend on windows or threads", "[fisher]") {
    fixture small, large(merge::pool_options{});
    eigen_backend one(1);
    memory_checkpoint first, second;
    merge::fisher(one, small.pool, {small.pointers[0], small.pointers[1], small.pointers[2]}, first);
    merge::fisher(large.be, large.pool, {large.pointers[0], large.pointers[1], large.pointers[2]}, second);
    CHECK((bytes_of(first) == bytes_of(second)));
}

TEST_CASE("Fisher merging refuses what it cannot do", "[fisher]") {
    fixture f;
    memory_checkpoint out, wrong("the fisher");
    CHECK_THROWS_WITH(merge::fisher(f.be, f.pool, {f.pointers[0]}, out), contains("fisher"));
    CHECK_THROWS_WITH(merge::fisher(f.be, f.pool, {f.pointers[0], f.pointers[1], &wrong}, out),
                      contains("the fisher") && contains("a.weight"));
    CHECK_THROWS_WITH(merge::fisher(f.be, f.pool, {f.pointers[0], f.pointers[1], f.pointers[2]}, out, {.eps = -1}),
                      contains("eps"));
}
