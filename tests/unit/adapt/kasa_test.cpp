// KaSA and the other adapters from singular vectors: laws, gradients of the losses, conversions, combinations.
#include "../linalg/matrices.hpp"
#include <catch.hpp>

#include <lathe/adapt/combine.hpp>
#include <lathe/adapt/kasa.hpp>
#include <lathe/adapt/loftq.hpp>
#include <lathe/testing/archetype.hpp>

using namespace lathe;
using lathe_test::contains;
using lathe_test::distance;
using lathe_test::matrix;
using lathe_test::random_matrix;

namespace {
using plain = lathe_test::plain_backend<>;
using factors = adapt::factors<plain, double>;

vec_view<double *> flat(matrix<double> & m) { return {m.values.data(), m.values.size()}; }
matrix<double> product(plain & be, factors const & f) {
    matrix<double> m(f.outputs(), f.inputs());
    adapt::delta(be, f, m.view());
    return m;
}
matrix<double> sum(matrix<double> a, matrix<double> const & b, double factor = 1) {
    for (std::size_t i = 0; i != a.values.size(); ++i)
        a.values[i] += factor * b.values[i];
    return a;
}
matrix<double> transposed(matrix<double> const & a) {
    matrix<double> t(a.cols, a.rows);
    for (std::size_t i = 0; i != a.rows; ++i)
        for (std::size_t j = 0; j != a.cols; ++j)
            t(j, i) = a(i, j);
    return t;
}
} // namespace

TEST_CASE("components that the dialects keep", "[kasa]") {
    using adapt::kasa_dialect;
    CHECK(adapt::kasa_kept(kasa_dialect::paper, 20, 10, 4) == 6);
    CHECK(adapt::kasa_kept(kasa_dialect::peft, 10, 20, 4) == 6);
    CHECK(adapt::kasa_kept(kasa_dialect::authors, 20, 10, 4) == 6);
    CHECK(adapt::kasa_kept(kasa_dialect::authors, 10, 20, 4) == 10); // nothing is dropped
    CHECK(adapt::kasa_kept(kasa_dialect::authors, 10, 12, 4) == 8);  // r - (inputs - outputs)
    CHECK(adapt::kasa_kept(kasa_dialect::authors, 10, 10, 10) == 0); // W' = 0
    CHECK(adapt::kasa_kept(kasa_dialect::authors, 10, 10, 11) == 9); // an accident of slices
    CHECK(adapt::kasa_kept(kasa_dialect::authors, 10, 10, 100) == 0);
    for (auto const dialect : {kasa_dialect::paper, kasa_dialect::peft, kasa_dialect::authors})
        CHECK_THROWS_AS(adapt::kasa_kept(dialect, 10, 20, 0), option_error);
    CHECK_THROWS_AS(adapt::kasa_kept(kasa_dialect::paper, 10, 20, 10), option_error);
    CHECK_THROWS_AS(adapt::kasa_kept(kasa_dialect::peft, 0, 20, 1), option_error);
}

TEST_CASE("truncation takes the rank down, and back; again it takes the larger rank", "[kasa]") {
    plain be;
    auto const shape = GENERATE(std::pair<std::size_t, std::size_t>{12, 9}, std::pair<std::size_t, std::size_t>{9, 12});
    auto w = random_matrix<double>(shape.first, shape.second);
    auto const original = w;
    auto first = adapt::kasa_truncate(be, w.view(), 3);
    CHECK(first.kept == 6);
    auto const after = w;
    CHECK(linalg::svd(be, w.view()).s[6] < 1e-13);
    auto second = adapt::kasa_truncate(be, w.view(), 4); // PEFT: k - max(r1, r2)
    auto const values = linalg::svd(be, w.view()).s;
    CHECK(values[5] < 1e-13);
    CHECK(values[4] > 1e-3);
    adapt::kasa_restore(be, w.view(), second);
    CHECK(distance(w, after) < 1e-13);
    adapt::kasa_restore(be, w.view(), first);
    CHECK(distance(w, original) < 1e-13);
    // A layer that keeps W^T is the same.
    auto t = transposed(original);
    auto of_transposed = adapt::kasa_truncate(be, t.view(), 3, {.fan_in_fan_out = true});
    CHECK(distance(transposed(t), after) < 1e-12);
    CHECK(of_transposed.kept == 6);
    auto lora = adapt::kasa<double>(be, shape.first, shape.second, 3);
    auto const b = random_matrix<double>(shape.first, 3, 7);
    std::ranges::copy(b.values, lora.b().data);
    auto first_again = adapt::kasa_truncate(be, w.view(), 3);
    auto owner = adapt::kasa_to_lora(be, lora.factors(), first_again);
    CHECK(owner.rank == 6);
    CHECK(owner.scaling == 1);
    CHECK(distance(sum(original, product(be, owner.factors())), sum(after, product(be, lora.factors()))) < 1e-12);
}

TEST_CASE("an adapter begins without a change, from numbers that are its seed's", "[kasa]") {
    plain be;
    auto one = adapt::kasa<float>(be, 30, 400, 8, {.alpha = 16, .seed = 3}),
         same = adapt::kasa<float>(be, 30, 400, 8, {.alpha = 16, .seed = 3}),
         other = adapt::kasa<float>(be, 30, 400, 8, {.alpha = 16, .rule = adapt::scaling_rule::rslora, .seed = 4});
    CHECK(one.scaling == 2);
    CHECK(other.scaling == Approx(16 / std::sqrt(8.0)));
    std::span const a{one.a().data, 3200}, b{same.a().data, 3200}, c{other.a().data, 3200};
    CHECK(std::ranges::equal(a, b));
    CHECK_FALSE(std::ranges::equal(a, c));
    double mean = 0, square = 0;
    for (double const x : a) {
        CHECK(std::abs(x) <= 0.05);
        mean += x / 3200;
        square += x * x / 3200;
    }
    CHECK(std::abs(mean) < 0.002);
    CHECK(square == Approx(0.05 * 0.05 / 3).epsilon(0.05));
    CHECK(std::ranges::all_of(std::span{one.b().data, 240}, [](float x) { return x == 0; }));
    matrix<double> normal(1, 10001);
    adapt::fill_normal(be, 2, {9, 0, 0}, flat(normal));
    mean = square = 0;
    for (auto const x : normal.values) {
        mean += x / 10001;
        square += x * x / 10001;
    }
    CHECK(std::abs(mean) < 0.08);
    CHECK(square == Approx(4).epsilon(0.05));
    CHECK_THROWS_AS(adapt::kasa<float>(be, 3, 4, 0), option_error);
}

TEST_CASE("gradients of the losses are those of differences, in every dialect", "[kasa]") {
    plain be;
    auto const dialect = GENERATE(adapt::kasa_dialect::paper, adapt::kasa_dialect::authors);
    auto const options = adapt::kasa_options{.dialect = dialect, .beta = 0.3, .gamma = 0.7};
    auto a0 = random_matrix<double>(3, 8, 1), b0 = random_matrix<double>(6, 3, 2), s0 = random_matrix<double>(1, 3, 3);
    auto a1 = random_matrix<double>(2, 5, 4), s1 = random_matrix<double>(1, 2, 6);
    matrix<double> b1(9, 2); // as at the beginning: no gradient
    std::vector<factors> const layers{{a0.view(), b0.view(), 1, flat(s0)}, {a1.view(), b1.view(), 1, flat(s1)}};
    matrix<double> ga(3, 8), gb(6, 3), gs(1, 3), gb1(9, 2);
    std::vector<adapt::gradients<plain, double>> out(2);
    out[0].a = ga.view();
    out[0].b = gb.view();
    out[0].sigma = flat(gs);
    out[1].b = gb1.view();
    auto const value = [&] { return adapt::kasa_loss<plain, double>(be, layers, options).loss; };
    auto const r = adapt::kasa_loss<plain, double>(be, layers, options, out);
    CHECK(r.loss == value());
    for (auto const & [parameter, gradient] : {std::pair{&a0, &ga}, {&b0, &gb}, {&s0, &gs}})
        for (std::size_t i = 0; i != parameter->values.size(); ++i) {
            auto const x = parameter->values[i], h = 1e-5;
            parameter->values[i] = x + h;
            auto const up = value();
            parameter->values[i] = x - h;
            auto const down = value();
            parameter->values[i] = x;
            CHECK(std::abs((up - down) / (2 * h) - gradient->values[i]) < 1e-8);
        }
    CHECK(std::ranges::all_of(gb1.values, [](double x) { return x == 0; }));
    // The norm of the n x n matrix, from that of the r x r one.
    auto const big = lathe_test::product(a0, true, a0, false);
    double square = 0;
    for (std::size_t i = 0; i != 8; ++i)
        for (std::size_t j = 0; j != 8; ++j)
            square += (big(i, j) - (i == j)) * (big(i, j) - (i == j));
    CHECK(r.layers[0].big_a == Approx(std::sqrt(square)));
    CHECK(r.layers[1].small_b == Approx(std::sqrt(2)));
    CHECK(r.layers[1].big_b == Approx(3));
    std::vector<factors> const without{{a0.view(), b0.view()}};
    CHECK_THROWS_WITH((adapt::kasa_loss<plain, double>(be, without)), contains("layer 0"));
}

TEST_CASE("what is taken from a weight is there beside it, whatever the method and the layout", "[adapt]") {
    plain be;
    bool const stored_transposed = GENERATE(false, true);
    auto const which = GENERATE(0, 1, 2, 3);
    auto const original = random_matrix<double>(12, 9);
    auto w = original;
    adapt::spectral_options const o{.alpha = 6, .fan_in_fan_out = stored_transposed};
    auto f = which == 0   ? adapt::pissa(be, w.view(), 3, o)
             : which == 1 ? adapt::milora(be, w.view(), 3, o)
             : which == 2 ? adapt::olora(be, w.view(), 3, o)
                          : adapt::pissa_fast(be, w.view(), 3, {.iterations = 2}, o);
    CHECK(f.scaling == 2);
    CHECK(f.outputs == (stored_transposed ? 9 : 12));
    CHECK(distance(w, original) > 0.01);
    adapt::add_delta(be, f.factors(), 1, w.view(), stored_transposed);
    CHECK(distance(w, original) < 1e-13);
    // Trained, it is a plain LoRA on the original.
    auto trained = adapt::adapter<plain, double>(be, f.outputs, f.inputs, 3, 2);
    std::ranges::copy(random_matrix<double>(3, f.inputs, 2).values, trained.a().data);
    std::ranges::copy(random_matrix<double>(f.outputs, 3, 3).values, trained.b().data);
    auto lora = adapt::to_lora(be, trained.factors(), f.factors());
    CHECK(lora.rank == 6);
    CHECK(distance(product(be, lora.factors()), sum(product(be, trained.factors()), product(be, f.factors()), -1))
          < 1e-12);
}

TEST_CASE("MiCA's B are the smallest left vectors, also of a tall weight and of one without full rank", "[adapt]") {
    plain be;
    auto const shape = GENERATE(std::pair<std::size_t, std::size_t>{12, 9}, std::pair<std::size_t, std::size_t>{9, 12});
    bool const deficient = GENERATE(false, true);
    auto w = random_matrix<double>(shape.first, shape.second);
    if (deficient)
        static_cast<void>(adapt::kasa_truncate(be, w.view(), 2));
    auto const original = w;
    auto f = adapt::mica(be, w.view(), 3);
    CHECK(w.values == original.values);
    matrix<double> gram(3, 3), image(3, shape.second);
    ops::gemm(be, op::transpose, op::none, 1, f.b(), f.b(), 0, gram.view());
    CHECK(distance(gram, lathe_test::identity(3)) < 1e-12);
    ops::gemm(be, op::transpose, op::none, 1, f.b(), w.view(), 0, image.view());
    auto const s = linalg::svd(be, w.view()).s;
    for (std::size_t i = 0; i != 3; ++i)
        CHECK(std::sqrt(ops::dot(be, image.view().row(i), image.view().row(i))) == Approx(s[6 + i]).margin(1e-12));
    CHECK(std::ranges::all_of(std::span{f.a().data, 3 * shape.second}, [](double x) { return x == 0; }));
}

TEST_CASE("a sum of adapters, compressed without the dense sum, is the dense sum's best", "[adapt]") {
    plain be;
    auto a0 = random_matrix<double>(2, 15, 1), b0 = random_matrix<double>(11, 2, 2),
         s0 = random_matrix<double>(1, 2, 9);
    auto a1 = random_matrix<double>(3, 15, 3), b1 = random_matrix<double>(11, 3, 4);
    auto a2 = random_matrix<double>(9, 15, 5), b2 = random_matrix<double>(11, 9, 6);
    bool const past_the_side = GENERATE(false, true);
    std::vector<factors> all{{a0.view(), b0.view(), 2, flat(s0)}, {a1.view(), b1.view(), 0.5}};
    std::vector<double> weights{0.7, -1.2};
    if (past_the_side) {
        all.push_back({a2.view(), b2.view(), 1});
        weights.push_back(0.3);
    }
    matrix<double> dense(11, 15);
    for (std::size_t i = 0; i != all.size(); ++i)
        dense = sum(dense, product(be, all[i]), weights[i]);
    auto stacked = adapt::combine(be, std::span<factors const>(all), {.weights = weights});
    CHECK(distance(product(be, stacked.factors()), dense) < 1e-12);
    for (auto const place :
         {adapt::singular_values::balanced, adapt::singular_values::in_a, adapt::singular_values::in_b}) {
        auto best = adapt::compress<plain, double>(be, all, weights, 3, place);
        auto expected = linalg::partial_svd(be, dense.view(), linalg::spectrum_end::largest, 3);
        auto split = adapt::split(be, expected, 3, place);
        CHECK(distance(product(be, best.factors()), product(be, split.factors())) < 1e-12);
    }
    auto whole = adapt::compress<plain, double>(be, all, weights, 11); // more than there is: zeros
    CHECK(distance(product(be, whole.factors()), dense) < 1e-12);
    CHECK_THROWS_AS((adapt::compress<plain, double>(be, all, weights, 12)), option_error);
    CHECK_THROWS_WITH(adapt::combine(be, std::span<factors const>(all), {.kind = adapt::combination::linear}),
                      contains("equal ranks"));
    CHECK_THROWS_AS(adapt::combine(be, std::span<factors const>(all), {.weights = {1}}), option_error);
    CHECK_THROWS_AS(adapt::combine(be, std::span<factors const>{}), option_error);
    auto clamped = adapt::combine(be, std::span<factors const>(all), {.kind = adapt::combination::svd, .clamp = 0.9});
    CHECK(std::ranges::max(std::span{clamped.b().data, clamped.b().rows * clamped.rank}) <= 10);
}

TEST_CASE("extraction stops at the rank, the value or the energy asked for", "[adapt]") {
    plain be;
    auto const base = random_matrix<double>(10, 8, 1);
    auto a = random_matrix<double>(3, 8, 2), b = random_matrix<double>(10, 3, 3);
    auto tuned = base;
    adapt::add_delta(be, factors{a.view(), b.view()}, 1, tuned.view());
    auto all = adapt::extract(be, base.view(), tuned.view(), {.max_rank = 0, .sv_epsilon = 1e-9});
    CHECK(all.s.size() == 3);
    CHECK(all.energy == Approx(1));
    CHECK(distance(sum(base, product(be, all.adapter.factors())), tuned) < 1e-12);
    CHECK(adapt::extract(be, base.view(), tuned.view(), {.max_rank = 2}).s.size() == 2);
    CHECK(adapt::extract(be, base.view(), tuned.view(), {.max_rank = 0, .energy = 0.999999}).s.size() == 3);
    CHECK(adapt::extract(be, base.view(), tuned.view(), {.max_rank = 0, .energy = 1e-6}).s.size() == 1);
    CHECK(adapt::extract(be, base.view(), base.view(), {.sv_epsilon = 1e-6}).s.empty());
    CHECK_THROWS_AS(adapt::extract(be, base.view(), tuned.view(), {.energy = 0}), option_error);
    CHECK_THROWS_AS(adapt::extract(be, base.view(), transposed(tuned).view()), shape_error);
}

TEST_CASE("quantised weights are the nearest codes; LoftQ's adapter is for what is lost", "[adapt]") {
    plain be;
    linalg::host_matrix m(1, 70);
    for (std::size_t i = 0; i != 64; ++i)
        m(0, i) = 3 * adapt::nf4_values[i % 16];
    auto const q = adapt::quantise(m, adapt::quantisation::nf4);
    CHECK(q.scales == std::vector<double>{3, 0}); // the last block is short, and zeros
    for (std::size_t i = 0; i != 70; ++i)
        CHECK(q[i] == Approx(m(0, i)));
    linalg::host_matrix rows(2, 3);
    rows(0, 0) = -2;
    rows(0, 1) = 1.004;
    rows(1, 2) = 1e-3;
    auto const bytes = adapt::quantise(rows, adapt::quantisation::int8);
    CHECK(bytes.codes == std::vector<std::int8_t>{-127, 64, 0, 0, 0, 127});
    CHECK(bytes[5] == Approx(1e-3));
    rows(0, 0) = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_AS(adapt::quantise(rows, adapt::quantisation::int8), non_finite_error);

    auto const original = random_matrix<double>(16, 24);
    double last = std::numeric_limits<double>::infinity();
    for (std::size_t const iterations : {1u, 3u, 6u}) {
        auto w = original;
        auto r =
            adapt::loftq(be, w.view(), 4, {.kind = adapt::quantisation::nf4, .iterations = iterations, .alpha = 4});
        CHECK(r.error < 1.1 * last);
        last = r.error;
        auto const error = sum(original, sum(w, product(be, r.adapter.factors())), -1);
        double square = 0;
        for (auto const x : error.values)
            square += x * x;
        CHECK(std::sqrt(square) == Approx(r.error));
    }
    auto w = original;
    CHECK_THROWS_AS(adapt::loftq(be, w.view(), 4, {.iterations = 0}), option_error);
}

TEST_CASE("ranks of LED layers", "[adapt]") {
    CHECK(adapt::led_rank(768, 768, 0.25) == 96u);
    CHECK(adapt::led_rank(64, 48, 26) == 26u);
    CHECK_FALSE(adapt::led_rank(64, 48, 27));
    CHECK_FALSE(adapt::led_rank(10, 10, 0.1));
    CHECK_FALSE(adapt::led_rank(0, 0, 3));
    CHECK_THROWS_AS(adapt::led_rank(5, 5, 0), option_error);
}

TEST_CASE("KaSA on memory of its own kind", "[kasa]") {
    testing::archetype<testing::floor::matrix_space> device;
    plain host;
    auto const w = random_matrix<float>(9, 7);
    auto memory = device.allocate<float>(63);
    device.upload(std::span{w.values}, memory.view());
    auto here = w;
    auto there = adapt::kasa_truncate(device, as_matrix(memory.view(), 9, 7), 2);
    auto expected = adapt::kasa_truncate(host, here.view(), 2);
    CHECK(there.kept == expected.kept);
    CHECK(distance(lathe_test::on_host<float>(device, as_matrix(memory.view(), 9, 7)), here) < 1e-6);
    auto f = adapt::kasa<float>(device, 9, 7, 2);
    auto plain_one = adapt::kasa_to_lora(device, f.factors(), there);
    adapt::add_delta(device, plain_one.factors(), -1, as_matrix(memory.view(), 9, 7)); // B = 0: only what was dropped
    CHECK(distance(lathe_test::on_host<float>(device, as_matrix(memory.view(), 9, 7)), w) < 1e-6);
}
