// RegMean: the normal equations, the special cases in closed form, Gram matrices that do not fit, singular sums.
#include "matrix_models.hpp"
#include "polytope.hpp"
#include <catch.hpp>

#include <lathe/merge/regmean.hpp>
#include <lathe/testing/archetype.hpp>

using namespace lathe;
using lathe_test::contains;
using lathe_test::distance;
using lathe_test::matrix;
using lathe_test::plus;
using backend = lathe_test::plain_backend<>;

namespace {

/// Models of one linear layer with `outputs` x `inputs` weights and a bias, and the Gram matrices of their inputs.
struct family {
    std::vector<std::unique_ptr<memory_checkpoint>> models, gram_files;
    std::vector<checkpoint *> pointers, grams;
    std::vector<matrix<double>> weights, inputs;

    explicit family(std::size_t n, std::size_t outputs = 4, std::size_t inputs_of = 6, std::string const & name = "fc",
                    dtype type = dtype::f64) {
        for (std::size_t k = 0; k != n; ++k) {
            weights.push_back(lathe_test::random_matrix<double>(outputs, inputs_of, 10 + k));
            inputs.push_back(lathe_test::random_matrix<double>(20, inputs_of, 20 + k));
            models.push_back(std::make_unique<memory_checkpoint>("model " + std::to_string(k)));
            lathe_test::set(*models[k], "fc.weight", weights[k], type);
            lathe_test::set(*models[k], "fc.bias", lathe_test::random_matrix<double>(1, outputs, 30 + k).values, type);
            gram_files.push_back(std::make_unique<memory_checkpoint>("grams " + std::to_string(k)));
            lathe_test::set(*gram_files[k], name, gram(k), type);
            pointers.push_back(models[k].get());
            grams.push_back(gram_files[k].get());
        }
    }
    [[nodiscard]] matrix<double> gram(std::size_t k) const {
        auto g = lathe_test::product(inputs[k], true, inputs[k], false);
        for (auto & x : g.values)
            x /= static_cast<double>(inputs[k].rows);
        return g;
    }
};
matrix<double> transposed(matrix<double> const & a) {
    matrix<double> t(a.cols, a.rows);
    for (std::size_t i = 0; i != a.rows; ++i)
        for (std::size_t j = 0; j != a.cols; ++j)
            t(j, i) = a(i, j);
    return t;
}

} // namespace

TEST_CASE("the merged layer answers all inputs best", "[regmean]") {
    family const f(3);
    backend be;
    memory_checkpoint out;
    auto const result = merge::regmean<double>(be, merge::model_pool(nullptr, f.pointers), f.grams, out);
    auto const w = lathe_test::get(out, "fc.weight");
    matrix<double> residual(4, 6); // half the gradient of sum |X_i (W - W_i)^T|^2: zero at the minimum
    for (std::size_t k = 0; k != 3; ++k)
        residual = plus(residual, lathe_test::product(plus(w, f.weights[k], -1), false, f.gram(k), false));
    CHECK(distance(residual, matrix<double>(4, 6)) < 1e-13);
    REQUIRE(result.layers.size() == 1);
    CHECK(result.layers[0].name == "fc.weight");
    CHECK(result.layers[0].ridge == 0);
    CHECK(result.layers[0].smallest_pivot > 0.01);
    auto mean = plus(plus(lathe_test::get(*f.models[0], "fc.bias"), lathe_test::get(*f.models[1], "fc.bias")),
                     lathe_test::get(*f.models[2], "fc.bias"));
    CHECK(distance(lathe_test::get(out, "fc.bias"), plus(matrix<double>(1, 4), mean, 1.0 / 3)) < 1e-15);
}

TEST_CASE("special cases in closed form", "[regmean]") {
    family f(3);
    backend be;
    memory_checkpoint out;
    merge::model_pool const pool(nullptr, f.pointers);
    SECTION("diagonal Gram matrices weigh every input by itself") {
        merge::regmean<double>(be, pool, f.grams, out, {.reduce_non_diagonal_ratio = 0});
        auto const w = lathe_test::get(out, "fc.weight");
        for (std::size_t i = 0; i != 4; ++i)
            for (std::size_t j = 0; j != 6; ++j) {
                double sum = 0, weight = 0;
                for (std::size_t k = 0; k != 3; ++k) {
                    sum += f.gram(k)(j, j) * f.weights[k](i, j);
                    weight += f.gram(k)(j, j);
                }
                CHECK(w(i, j) == Approx(sum / weight));
            }
    }
    SECTION("equal Gram matrices average") {
        for (auto const & g : f.gram_files)
            lathe_test::set(*g, "fc", f.gram(0));
        merge::regmean<double>(be, pool, f.grams, out, {.reduce_non_diagonal_ratio = 0.7});
        CHECK(distance(lathe_test::get(out, "fc.weight"),
                       plus(matrix<double>(4, 6), plus(plus(f.weights[0], f.weights[1]), f.weights[2]), 1.0 / 3))
              < 1e-13);
    }
    SECTION("equal models stay what they are, however bad the Gram matrices") {
        for (std::size_t k = 0; k != 3; ++k) {
            lathe_test::set(*f.models[k], "fc.weight", f.weights[0], dtype::f32);
            auto g = f.gram(k);
            for (std::size_t i = 0; i != 6; ++i)
                for (std::size_t j = 0; j != 6; ++j)
                    g(i, j) *= std::pow(10.0, -static_cast<double>(i + j)); // condition number 1e10
            lathe_test::set(*f.gram_files[k], "fc", g, dtype::f32);
        }
        merge::regmean<float>(be, merge::model_pool(nullptr, f.pointers), f.grams, out);
        CHECK(lathe_test::get(out, "fc.weight").values == lathe_test::get(*f.models[0], "fc.weight").values);
    }
}

TEST_CASE("weights stored as [inputs, outputs] are the same merge", "[regmean]") {
    family f(3);
    backend be;
    memory_checkpoint usual, conv;
    merge::regmean<double>(be, merge::model_pool(nullptr, f.pointers), f.grams, usual,
                           {.reduce_non_diagonal_ratio = 0.8});
    for (std::size_t k = 0; k != 3; ++k)
        lathe_test::set(*f.models[k], "fc.weight", transposed(f.weights[k]));
    merge::regmean<double>(be, merge::model_pool(nullptr, f.pointers), f.grams, conv,
                           {.reduce_non_diagonal_ratio = 0.8, .weight_transpose = false});
    CHECK(distance(transposed(lathe_test::get(conv, "fc.weight")), lathe_test::get(usual, "fc.weight")) < 1e-13);
}

TEST_CASE("a Gram matrix may be named as the weight; the order of models, windows and threads do not matter",
          "[regmean]") {
    family f(3, 900, 6), g(3, 900, 6, "fc.weight");
    backend be;
    lathe_test::plain_backend<thread_pool> three(3);
    memory_checkpoint a, b, c, d;
    merge::regmean<float>(be, merge::model_pool(nullptr, f.pointers), f.grams, a);
    merge::regmean<float>(be, merge::model_pool(nullptr, g.pointers), g.grams, b);
    merge::regmean<float>(three, merge::model_pool(nullptr, f.pointers, {.window = 4096}), f.grams, c);
    CHECK(lathe_test::bytes_of(a) == lathe_test::bytes_of(b));
    CHECK(lathe_test::bytes_of(a) == lathe_test::bytes_of(c));
    std::ranges::reverse(f.pointers);
    std::ranges::reverse(f.grams);
    merge::regmean<float>(be, merge::model_pool(nullptr, f.pointers), f.grams, d);
    CHECK(distance(lathe_test::get(a, "fc.weight"), lathe_test::get(d, "fc.weight")) < 1e-5);
}

TEST_CASE("a singular sum is an error, a ridge makes it regular and is reported", "[regmean]") {
    auto const type = GENERATE(dtype::f64, dtype::f32);
    family f(2, 3, 5, "fc", type);
    for (std::size_t k = 0; k != 2; ++k) { // two inputs that are one
        auto x = f.inputs[k];
        for (std::size_t i = 0; i != x.rows; ++i)
            x(i, 4) = 3 * x(i, 1);
        lathe_test::set(*f.gram_files[k], "fc", lathe_test::product(x, true, x, false), type);
    }
    backend be;
    memory_checkpoint out;
    merge::model_pool const pool(nullptr, f.pointers);
    CHECK_THROWS_AS(merge::regmean<double>(be, pool, f.grams, out), singular_error);
    CHECK_THROWS_WITH(merge::regmean<double>(be, pool, f.grams, out), contains("fc.weight") && contains("ridge"));
    CHECK_THROWS_AS(merge::regmean<float>(be, pool, f.grams, out), singular_error);
    auto const result = merge::regmean<double>(be, pool, f.grams, out, {.ridge = 1e-3});
    double trace = 0;
    for (std::size_t k = 0; k != 2; ++k)
        for (std::size_t i = 0; i != 5; ++i)
            trace += lathe_test::get(*f.gram_files[k], "fc")(i, i);
    CHECK(result.layers[0].ridge == Approx(1e-3 * trace / 5));
    CHECK(result.layers[0].smallest_pivot < 0.1);
    CHECK_NOTHROW(merge::regmean<double>(be, pool, f.grams, out, {.reduce_non_diagonal_ratio = 0.9}));
}

TEST_CASE("RegMean works where pointers are not plain, and holds one layer whatever the number of models",
          "[regmean]") {
    std::vector<std::size_t> peaks;
    for (auto const n : std::vector<std::size_t>{2, 5}) {
        family const f(n);
        testing::archetype<testing::floor::matrix_space> device;
        backend be;
        memory_checkpoint a, b;
        merge::model_pool const pool(nullptr, f.pointers);
        merge::regmean<float>(device, pool, f.grams, a);
        merge::regmean<float>(be, pool, f.grams, b);
        CHECK(distance(lathe_test::get(a, "fc.weight"), lathe_test::get(b, "fc.weight")) < 1e-5);
        peaks.push_back(device.memory().peak - (n + 2) * 24); // but for a window of every checkpoint
    }
    CHECK(peaks[1] <= peaks[0] + 24);
}

TEST_CASE("Gram matrices that do not fit are named", "[regmean]") {
    family f(2);
    backend be;
    memory_checkpoint out;
    merge::model_pool const pool(nullptr, f.pointers);
    auto const call = [&] { merge::regmean<double>(be, pool, f.grams, out); };
    SECTION("not one checkpoint for each model") {
        f.grams.pop_back();
        CHECK_THROWS_AS(call(), option_error);
        CHECK_THROWS_WITH(call(), contains("grams"));
    }
    SECTION("another size") {
        lathe_test::set(*f.gram_files[1], "fc", lathe_test::random_matrix<double>(4, 4));
        CHECK_THROWS_AS(call(), mismatch_error);
        CHECK_THROWS_WITH(call(), contains("grams 1") && contains("[4, 4]") && contains("fc.weight"));
    }
    SECTION("of no tensor") {
        lathe_test::set(*f.gram_files[0], "fd", f.gram(0));
        CHECK_THROWS_AS(call(), mismatch_error);
        CHECK_THROWS_WITH(call(), contains("fd"));
    }
    SECTION("of a tensor that is no matrix") {
        lathe_test::set(*f.gram_files[0], "fc.bias", f.gram(0));
        CHECK_THROWS_AS(call(), mismatch_error);
    }
    SECTION("one model has none") {
        memory_checkpoint empty("empty");
        f.grams[1] = &empty;
        CHECK_THROWS_AS(call(), mismatch_error);
        CHECK_THROWS_WITH(call(), contains("empty") && contains("fc"));
    }
    SECTION("two of one tensor") {
        lathe_test::set(*f.gram_files[1], "fc.weight", f.gram(1));
        CHECK_THROWS_AS(call(), mismatch_error);
    }
    SECTION("not finite") {
        auto g = f.gram(1);
        g(2, 3) = std::numeric_limits<double>::quiet_NaN();
        lathe_test::set(*f.gram_files[1], "fc", g);
        CHECK_THROWS_AS(call(), non_finite_error);
        CHECK_THROWS_WITH(call(), contains("grams 1"));
    }
    SECTION("weights not finite") {
        auto w = f.weights[1];
        w(0, 0) = std::numeric_limits<double>::infinity();
        lathe_test::set(*f.models[1], "fc.weight", w);
        CHECK_THROWS_AS(call(), non_finite_error);
    }
    SECTION("options") {
        CHECK_THROWS_WITH(merge::regmean<double>(be, pool, f.grams, out, {.reduce_non_diagonal_ratio = 2}),
                          contains("reduce_non_diagonal_ratio"));
        CHECK_THROWS_WITH(merge::regmean<double>(be, pool, f.grams, out, {.ridge = -1}), contains("ridge"));
    }
}
