// DARE: masks drawn and given, the three rules of scaling, both ends, laws, errors.
#include "polytope.hpp"
#include <catch.hpp>

#include <lathe/backend/eigen.hpp>
#include <lathe/merge/dare.hpp>
#include <lathe/merge/ties.hpp>

using namespace lathe;
using lathe_test::bytes_of;
using lathe_test::contains;
using lathe_test::elements;
using merge::dare_options;
using merge::dare_then;
using merge::dare_variant;

namespace {

struct fixture {
    std::unique_ptr<memory_checkpoint> base = lathe_test::model(5, 90);
    lathe_test::models models{5, 3};
    merge::model_pool pool;
    explicit fixture(merge::pool_options const & options = {.window = 4096})
        : pool(base.get(), models.pointers, options) {}
};
struct masks {
    std::vector<std::unique_ptr<memory_checkpoint>> all;
    std::vector<checkpoint *> pointers;
    masks(merge::model_pool const & pool, double keep, std::uint64_t seed) {
        for (std::size_t k = 0; k != pool.size(); ++k) {
            all.push_back(std::make_unique<memory_checkpoint>("mask"));
            merge::dare_mask(pool, k, keep, seed, *all.back());
            pointers.push_back(all.back().get());
        }
    }
};
constexpr auto variants = {dare_variant::fusion_bench, dare_variant::fwm, dare_variant::mergekit};
constexpr auto thens = {dare_then::task_arithmetic, dare_then::ties};

} // namespace

TEST_CASE("a mask is the stream of the seed, the name and the model", "[dare]") {
    fixture f;
    masks const m(f.pool, 0.3, 1234);
    auto const & mask = *m.all[2];
    CHECK_FALSE(mask.find("d.steps")); // no floats
    CHECK(mask.tensors()[*mask.find("e.none")].extents == shape{0, 4});
    auto const at = *mask.find("c.long");
    auto const bytes = mask.bytes(at);
    std::size_t kept = 0, wrong = 0;
    for (std::size_t i = 0; i != bytes.size(); ++i) {
        auto const counter = static_cast<std::uint32_t>(i / 4);
        auto const seed = 1234u ^ random::fnv1a("c.long");
        auto const word = random::philox({counter, 0, 2, 0}, {random::low_word(seed), random::high_word(seed)})[i % 4];
        bool const keep = static_cast<double>(word >> 8) * 0x1p-24 < 0.3;
        wrong += bytes[i] == std::byte{keep} ? 0 : 1;
        kept += keep ? 1 : 0;
    }
    CHECK(wrong == 0);
    CHECK(std::fabs(static_cast<double>(kept) / 9001 - 0.3) < 0.02);
}

TEMPLATE_TEST_CASE("masks that are drawn and masks that are read do the same", "[dare]", float, double) {
    fixture f;
    masks m(f.pool, 0.4, 77);
    eigen_backend be(2);
    for (auto const variant : variants)
        for (auto const then : thens) {
            dare_options const options{
                .variant = variant, .drop = 0.6, .then = then, .weights = {1.0, 0.5, 2.0}, .seed = 77};
            memory_checkpoint drawn, read;
            merge::dare<TestType>(be, f.pool, drawn, options);
            merge::dare<TestType>(be, f.pool, read, options, m.pointers);
            CHECK((bytes_of(drawn) == bytes_of(read)));
        }
}

TEST_CASE("nothing dropped is task arithmetic, or the election of TIES", "[dare]") {
    fixture f;
    eigen_backend be;
    memory_checkpoint dropped, plain;
    for (auto const variant : variants) {
        merge::dare(be, f.pool, dropped, {.variant = variant, .drop = 0, .scaling = 0.4});
        merge::task_arithmetic(be, f.pool, plain, {.scaling = 0.4});
        CHECK((bytes_of(dropped) == bytes_of(plain)));
        merge::dare(be, f.pool, dropped, {.variant = variant, .drop = 0, .then = dare_then::ties});
        merge::ties(be, f.pool, plain, {.density = {1.0}, .normalize = false});
        CHECK((bytes_of(dropped) == bytes_of(plain)));
    }
}

TEST_CASE("what is left is scaled as the variant says", "[dare]") {
    fixture f;
    masks const m(f.pool, 0.5, 3);
    eigen_backend be;
    merge::model_pool const one(f.base.get(), {f.models.pointers[0]}, {.window = 4096});
    auto const base = elements(*f.base), model = elements(*f.models.all[0]);
    for (auto const variant : variants) {
        memory_checkpoint out;
        merge::dare<double>(be, one, out,
                            {.variant = variant,
                             .drop = 0.5,
                             .mask_scale = variant == dare_variant::mergekit ? 1.0 : 0.5,
                             .scaling = 1,
                             .seed = 3});
        auto const found = elements(out);
        std::size_t at = 0;
        for (std::size_t t = 0; t != f.base->tensors().size(); ++t) {
            auto const & info = f.base->tensors()[t];
            if (!is_floating(info.type))
                continue;
            auto const mask = m.all[0]->bytes(*m.all[0]->find(info.name));
            bool const whole = variant == dare_variant::fwm && info.extents.size() == 1;
            double before = 0, after = 0, worst = 0;
            for (std::size_t i = 0; i != info.count(); ++i) {
                auto const delta = model[at + i] - base[at + i];
                before += std::fabs(delta);
                after += mask[i] == std::byte{1} ? std::fabs(delta) : 0;
            }
            auto const scale = whole                               ? 0.5
                               : variant == dare_variant::mergekit ? (after < 1e-7 ? 1.0 : before / after)
                                                                   : 2 * 0.5;
            for (std::size_t i = 0; i != info.count(); ++i) {
                auto const left = whole || mask[i] == std::byte{1} ? scale * (model[at + i] - base[at + i]) : 0;
                worst = std::max(worst, std::fabs(found[at + i] - base[at + i] - left));
            }
            CHECK(worst < 1e-6);
            at += info.count();
        }
    }
}

TEST_CASE("everything dropped leaves the base, and what is never thinned", "[dare]") {
    fixture f;
    eigen_backend be;
    auto const base = elements(*f.base), model = elements(*f.models.all[0]);
    merge::model_pool const one(f.base.get(), {f.models.pointers[0]}, {.window = 4096});
    for (auto const then : thens)
        for (bool const rescale : {true, false})
            for (auto const variant : variants) {
                INFO("variant " << static_cast<int>(variant) << " rescale " << rescale);
                memory_checkpoint out;
                dare_options const options{
                    .variant = variant, .drop = 1, .rescale = rescale, .then = then, .scaling = 1};
                if (rescale && variant == dare_variant::fusion_bench) {
                    CHECK_THROWS_WITH(merge::dare<double>(be, one, out, options), contains("drop"));
                    continue;
                }
                merge::dare<double>(be, one, out, options);
                auto const found = elements(out);
                double worst = 0;
                std::size_t at = 0;
                for (auto const & info : f.base->tensors())
                    for (std::size_t i = 0; is_floating(info.type) && i != info.count(); ++i, ++at) {
                        bool const whole = variant == dare_variant::fwm && info.extents.size() == 1;
                        worst = std::max(worst, std::fabs(found[at] - (whole ? model : base)[at]));
                    }
                CHECK(worst < 1e-7);
            }
}

TEST_CASE("without rescaling what is left stays as it is", "[dare]") {
    fixture f;
    eigen_backend be;
    memory_checkpoint first, second;
    merge::dare(be, f.pool, first, {.drop = 0.7, .rescale = false, .seed = 4});
    merge::dare(be, f.pool, second, {.variant = dare_variant::mergekit, .drop = 0.7, .rescale = false, .seed = 4});
    CHECK((bytes_of(first) == bytes_of(second)));
}

TEST_CASE("DARE depends on the seed, and not on windows or threads", "[dare]") {
    fixture small, large(merge::pool_options{});
    eigen_backend one(1), three(3);
    for (auto const variant : variants) {
        memory_checkpoint first, second, other;
        merge::dare(one, small.pool, first, {.variant = variant, .drop = 0.5, .seed = 1});
        merge::dare(three, large.pool, second, {.variant = variant, .drop = 0.5, .seed = 1});
        merge::dare(one, small.pool, other, {.variant = variant, .drop = 0.5, .seed = 2});
        CHECK((bytes_of(first) == bytes_of(second)));
        CHECK((bytes_of(first) != bytes_of(other)));
    }
}

TEST_CASE("DARE keeps what is not a number, dropped or not", "[dare]") {
    fixture f;
    float const nan = std::numeric_limits<float>::quiet_NaN();
    auto const at = *f.models.all[0]->find("c.long");
    for (std::size_t i = 0; i != 20; ++i)
        std::memcpy(f.models.all[0]->bytes(at).data() + 4 * i, &nan, 4);
    eigen_backend be;
    for (auto const variant : variants)
        for (auto const then : thens) {
            memory_checkpoint out;
            merge::dare(be, f.pool, out, {.variant = variant, .drop = 0.5, .then = then});
            auto const all = elements(out);
            CHECK(std::ranges::count_if(all, [](double x) { return std::isnan(x); }) == 20);
        }
}

TEST_CASE("DARE refuses what it cannot do", "[dare]") {
    fixture f;
    masks const m(f.pool, 0.5, 1);
    eigen_backend be;
    memory_checkpoint out;
    for (double const drop : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()})
        CHECK_THROWS_WITH(merge::dare(be, f.pool, out, {.drop = drop}), contains("drop"));
    CHECK_THROWS_WITH(merge::dare(be, f.pool, out, {.mask_scale = std::numeric_limits<double>::infinity()}),
                      contains("mask_scale"));
    CHECK_THROWS_WITH(merge::dare_mask(f.pool, 0, 1.5, 0, out), contains("keep"));
    CHECK_THROWS_WITH(merge::dare(be, f.pool, out, {}, {m.pointers[0]}), contains("masks"));
    memory_checkpoint wrong("the mask");
    std::vector<float> const x(4);
    wrong.set<float>("a.weight", {4}, x);
    CHECK_THROWS_WITH(merge::dare(be, f.pool, out, {}, {m.pointers[0], m.pointers[1], &wrong}),
                      contains("the mask") && contains("a.weight"));
    auto const & info = m.all[2]->tensors()[0];
    for (auto const & t : m.all[2]->tensors()) {
        auto const type = t.name == info.name ? dtype::i64 : t.type;
        std::vector<std::byte> const zeros(t.count() * size_of(type));
        wrong.set({t.name, type, t.extents}, zeros);
    }
    CHECK_THROWS_WITH(merge::dare(be, f.pool, out, {}, {m.pointers[0], m.pointers[1], &wrong}),
                      contains("the mask") && contains(info.name) && contains("I64"));
    CHECK_THROWS_WITH(merge::dare(be, merge::model_pool(nullptr, f.models.pointers), out), contains("base"));
}
