// What needs products of matrices: run on the archetype of that floor, compared with Eigen, refused one floor down.
#include <lathe/merge/objectives.hpp>
#include <lathe/merge/regmean.hpp>
#include <lathe/merge/spectral.hpp>

#include "models.hpp"

namespace {
using namespace lathe_test;
using testing::floor;
using here = testing::archetype<floor::matrix_space>;
using below = testing::archetype<floor::elementwise>;

template <class B>
constexpr bool can_decompose =
    requires(B & be, merge::model_pool const & pool, checkpoint_sink & sink) { merge::tsv(be, pool, sink); }
    || requires(B & be, merge::model_pool const & pool, checkpoint_sink & sink) { merge::iso_c(be, pool, sink); }
    || requires(B & be, merge::model_pool const & pool, checkpoint_sink & sink) { merge::iso_cts(be, pool, sink); };
template <class B>
constexpr bool can_regress = requires(B & be, merge::model_pool const & pool, std::span<checkpoint * const> grams,
                                      checkpoint_sink & sink) { merge::regmean(be, pool, grams, sink); };
template <class B> constexpr bool can_classify = requires { sizeof(merge::classifier_objective<B, float>); };
static_assert(can_decompose<here> && !can_decompose<below>);
static_assert(can_regress<here> && !can_regress<below>);
static_assert(can_classify<here> && !can_classify<below>);
} // namespace

TEST_CASE("merges of singular vectors on a device", "[archetype][spectral]") {
    models m(3);
    auto const pool = m.pool();
    run_on_both<floor::matrix_space, double>([&](auto & be, auto & sink) { return merge::tsv<double>(be, pool, sink); },
                                             1e-6);
    run_on_both<floor::matrix_space, double>(
        [&](auto & be, auto & sink) { return merge::iso_c<double>(be, pool, sink); }, 1e-6);
    auto const [device, host] = run_on_both<floor::matrix_space, double>(
        [&](auto & be, auto & sink) { return merge::iso_cts<double>(be, pool, sink); }, 1e-6);
    REQUIRE(device.tensors.size() == host.tensors.size());
    for (std::size_t i = 0; i != host.tensors.size(); ++i) {
        CHECK(device.tensors[i].name == host.tensors[i].name);
        CHECK(device.tensors[i].common == host.tensors[i].common);
    }
}

TEST_CASE("RegMean on a device", "[archetype][regmean]") {
    models m(3);
    auto const pool = m.pool();
    auto const grams = grams_of_tall(3);
    auto const all = pointers(grams);
    auto const run = [&](auto & be, auto & sink) { return merge::regmean<double>(be, pool, all, sink); };
    auto const [device, host] = run_on_both<floor::matrix_space, double>(run, 1e-6);
    REQUIRE(device.layers.size() == 1);
    CHECK(device.layers[0].smallest_pivot == Approx(host.layers[0].smallest_pivot));
}

TEST_CASE("a classifier on a device", "[archetype][objectives]") {
    models m(1);
    auto const pool = m.pool();
    auto const layout = merge::parameter_layout::of(pool);
    // A layer of 17 units over 6 inputs, its loss on 9 rows.
    random::uniform_stream const u{6, 0, 0};
    std::vector<double> rows(9 * 6);
    std::vector<std::size_t> labels(9);
    for (std::size_t i = 0; i != rows.size(); ++i)
        rows[i] = static_cast<double>(u[i]) - 0.5;
    for (std::size_t i = 0; i != labels.size(); ++i)
        labels[i] = i * 5 % 17;
    auto const run = [&]<class B>(B & be, merge::classifier_loss loss) {
        merge::classifier_objective<B, double> f(layout, {{"tall.weight", ""}}, {.loss = loss});
        f.set_rows(be, std::span<double const>{rows}, labels);
        auto x = be.template allocate<double>(layout.size()), g = be.template allocate<double>(layout.size());
        merge::read_parameters<B, double>(be, layout, m[0], x.view());
        auto const value = f.value_and_gradient(be, cvec<B, double>(x.view()), g.view());
        std::vector<double> gradient(layout.size());
        be.download(cvec<B, double>(g.view()), std::span<double>{gradient});
        return std::tuple{value, gradient, f.predict(be, cvec<B, double>(x.view()))};
    };
    for (auto const loss : {merge::classifier_loss::cross_entropy, merge::classifier_loss::entropy}) {
        testing::archetype<floor::matrix_space, double> device;
        eigen_backend host;
        auto const [value, gradient, classes] = run(device, loss);
        auto const [expected_value, expected_gradient, expected_classes] = run(host, loss);
        CHECK(value == Approx(expected_value));
        CHECK(classes == expected_classes);
        for (std::size_t i = 0; i != gradient.size(); ++i)
            CHECK(gradient[i] == Approx(expected_gradient[i]).margin(1e-12));
    }
}
