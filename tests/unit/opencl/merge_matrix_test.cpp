// Merges that take products of matrices: singular vectors, RegMean, the objective of a classifier.
#include <lathe/merge/objectives.hpp>
#include <lathe/merge/regmean.hpp>
#include <lathe/merge/spectral.hpp>

#include "merge_test.hpp"

namespace {
using namespace lathe_test;
}

TEST_CASE("merges of singular vectors on OpenCL", "[opencl][merge]") {
    models m(3);
    auto const pool = m.pool();
    on_device_and_host([&](auto & be, auto & sink) { return merge::tsv<double>(be, pool, sink); }, 1e-6);
    on_device_and_host([&](auto & be, auto & sink) { return merge::iso_c<double>(be, pool, sink); }, 1e-6);
    on_device_and_host([&](auto & be, auto & sink) { return merge::iso_cts<double>(be, pool, sink); }, 1e-6,
                       [](auto const & found, auto const & expected) {
        REQUIRE(found.tensors.size() == expected.tensors.size());
        for (std::size_t i = 0; i != expected.tensors.size(); ++i)
            CHECK(found.tensors[i].common == expected.tensors[i].common);
    });
}

TEST_CASE("RegMean on OpenCL", "[opencl][merge]") {
    models m(3);
    auto const pool = m.pool();
    auto const grams = grams_of_tall(3);
    auto const all = pointers(grams);
    on_device_and_host([&](auto & be, auto & sink) { return merge::regmean<double>(be, pool, all, sink); }, 1e-6,
                       [](auto const & found, auto const & expected) {
        REQUIRE(found.layers.size() == 1);
        CHECK(found.layers[0].smallest_pivot == Approx(expected.layers[0].smallest_pivot));
    });
}

TEST_CASE("the objective of a classifier on OpenCL", "[opencl][merge]") {
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
        opencl_backend device;
        eigen_backend host;
        auto const [value, gradient, classes] = run(device, loss);
        auto const [expected_value, expected_gradient, expected_classes] = run(host, loss);
        CHECK(value == Approx(expected_value));
        CHECK(classes == expected_classes);
        for (std::size_t i = 0; i != gradient.size(); ++i)
            CHECK(gradient[i] == Approx(expected_gradient[i]).margin(1e-12));
    }
}
