// Layers under adapters: gradients against finite differences, and what has to come out the same on several ways.
#include "../linalg/matrices.hpp"
#include <catch.hpp>

#include <lathe/adapt/adalora.hpp>
#include <lathe/adapt/blocks.hpp>
#include <lathe/adapt/dora.hpp>

using namespace lathe;
using lathe_test::contains;
using lathe_test::distance;
using lathe_test::matrix;
using lathe_test::random_matrix;

namespace {
using plain = lathe_test::plain_backend<>;
using factors = adapt::factors<plain, double>;
using gradients = adapt::gradients<plain, double>;

vec_view<double *> flat(matrix<double> & m) { return {m.values.data(), m.values.size()}; }
double inner(matrix<double> const & a, matrix<double> const & b) {
    double sum = 0;
    for (std::size_t i = 0; i != a.values.size(); ++i)
        sum += a.values[i] * b.values[i];
    return sum;
}
/// d f / d parameter by central differences, all of it.
template <class F> matrix<double> differences(matrix<double> & parameter, F && f) {
    matrix<double> out(parameter.rows, parameter.cols);
    for (std::size_t i = 0; i != parameter.values.size(); ++i) {
        auto const x = parameter.values[i], h = 1e-5;
        parameter.values[i] = x + h;
        auto const up = f();
        parameter.values[i] = x - h;
        auto const down = f();
        parameter.values[i] = x;
        out.values[i] = (up - down) / (2 * h);
    }
    return out;
}
struct setting {
    matrix<double> w, a, b, sigma, bias, x, g, mask;
    setting(std::size_t m, std::size_t n, std::size_t r, std::size_t N)
        : w{random_matrix<double>(m, n, 1)}, a{random_matrix<double>(r, n, 2)}, b{random_matrix<double>(m, r, 3)},
          sigma{random_matrix<double>(1, r, 4)}, bias{random_matrix<double>(1, m, 5)},
          x{random_matrix<double>(N, n, 6)}, g{random_matrix<double>(N, m, 7)}, mask(N, n) {
        auto const u = random_matrix<double>(N, n, 8);
        for (std::size_t i = 0; i != mask.values.size(); ++i)
            mask.values[i] = u.values[i] < -0.4 ? 0 : 1 / 0.7;
    }
    factors f(bool with_sigma = true) {
        return {a.view(), b.view(), 1.7,
                with_sigma ? std::optional<vec_view<double const *>>(flat(sigma)) : std::nullopt};
    }
    adapt::layer<plain, double> layer(bool dropout) {
        adapt::layer<plain, double> l{w.view(), flat(bias)};
        if (dropout)
            l.dropout_mask = mask.view();
        return l;
    }
};
} // namespace

TEST_CASE("gradients of a layer are those of differences, with and without dropout and sigma", "[adapt]") {
    plain be;
    setting s(5, 7, 3, 4);
    bool const dropout = GENERATE(false, true), with_sigma = GENERATE(false, true);
    matrix<double> y(4, 5), ga(3, 7), gb(5, 3), gs(1, 3), gbias(1, 5), gx(4, 7);
    auto const value = [&] {
        adapt::forward(be, s.layer(dropout), s.f(with_sigma), s.x.view(), y.view());
        return inner(y, s.g);
    };
    gradients out;
    out.a = ga.view();
    out.b = gb.view();
    out.bias = flat(gbias);
    out.x = gx.view();
    if (with_sigma)
        out.sigma = flat(gs);
    adapt::backward(be, s.layer(dropout), s.f(with_sigma), s.x.view(), s.g.view(), out);
    CHECK(distance(differences(s.a, value), ga) < 1e-8);
    CHECK(distance(differences(s.b, value), gb) < 1e-8);
    CHECK(distance(differences(s.bias, value), gbias) < 1e-8);
    CHECK(distance(differences(s.x, value), gx) < 1e-8);
    if (with_sigma)
        CHECK(distance(differences(s.sigma, value), gs) < 1e-8);
    else {
        out.sigma = flat(gs);
        CHECK_THROWS_AS(adapt::backward(be, s.layer(dropout), s.f(false), s.x.view(), s.g.view(), out), option_error);
    }
}

TEST_CASE("merged, the weight alone does what the layer did; unmerged it is what it was; transposed layers too",
          "[adapt]") {
    plain be;
    setting s(5, 7, 3, 4);
    matrix<double> y(4, 5), z(4, 5);
    adapt::forward(be, s.layer(false), s.f(), s.x.view(), y.view());
    auto const original = s.w;
    adapt::add_delta(be, s.f(), 1, s.w.view());
    matrix<double> none_a(0, 7), none_b(5, 0);
    adapt::forward(be, s.layer(false), factors{none_a.view(), none_b.view()}, s.x.view(), z.view());
    CHECK(distance(y, z) < 1e-12);
    matrix<double> transposed(7, 5);
    for (std::size_t i = 0; i != 5; ++i)
        for (std::size_t j = 0; j != 7; ++j)
            transposed(j, i) = original(i, j);
    adapt::add_delta(be, s.f(), 1, transposed.view(), true);
    for (std::size_t i = 0; i != 5; ++i)
        for (std::size_t j = 0; j != 7; ++j)
            CHECK(transposed(j, i) == Approx(s.w(i, j)));
    adapt::add_delta(be, s.f(), -1, s.w.view());
    CHECK(distance(s.w, original) < 1e-14);
    CHECK_THROWS_AS(adapt::add_delta(be, s.f(), 1, s.w.view(), true), shape_error);
    CHECK_THROWS_AS(adapt::forward(be, s.layer(false), s.f(), s.g.view(), z.view()), shape_error);
}

TEST_CASE("DoRA's gradients are those of differences with the norms held", "[adapt]") {
    plain be;
    setting s(5, 7, 3, 4);
    bool const dropout = GENERATE(false, true);
    auto magnitude = random_matrix<double>(1, 5, 9);
    for (auto & x : magnitude.values)
        x += 2;
    auto const f = s.f(false);
    adapt::dora_layer<plain, double> layer(be, s.layer(dropout), f, flat(magnitude));
    auto const norms = std::vector<double>(layer.norms().begin(), layer.norms().end());
    matrix<double> y(4, 5), t(4, 5), rest(4, 5);
    layer.forward(be, s.x.view(), y.view());
    // y = c (dropped V^T) + (x - dropped) W^T + bias, from the pieces.
    auto const value = [&] {
        auto input = s.x;
        if (dropout)
            for (std::size_t i = 0; i != input.values.size(); ++i)
                input.values[i] *= s.mask.values[i];
        adapt::forward(be, adapt::layer<plain, double>{s.w.view()}, s.f(false), input.view(), t.view());
        auto left = s.x;
        for (std::size_t i = 0; i != left.values.size(); ++i)
            left.values[i] -= input.values[i];
        ops::gemm(be, op::none, op::transpose, 1, left.view(), s.w.view(), 0, rest.view());
        double sum = 0;
        for (std::size_t k = 0; k != 4; ++k)
            for (std::size_t i = 0; i != 5; ++i)
                sum += s.g(k, i)
                       * (magnitude.values[i] / norms[i] * t(k, i) + (dropout ? rest(k, i) : 0) + s.bias.values[i]);
        return sum;
    };
    CHECK(value() == Approx(inner(y, s.g)));
    matrix<double> ga(3, 7), gb(5, 3), gbias(1, 5), gx(4, 7), gm(1, 5);
    gradients out;
    out.a = ga.view();
    out.b = gb.view();
    out.bias = flat(gbias);
    out.x = gx.view();
    layer.backward(be, s.x.view(), s.g.view(), out, flat(gm));
    CHECK(distance(differences(s.a, value), ga) < 1e-8);
    CHECK(distance(differences(s.b, value), gb) < 1e-8);
    CHECK(distance(differences(s.x, value), gx) < 1e-8);
    CHECK(distance(differences(s.bias, value), gbias) < 1e-8);
    CHECK(distance(differences(magnitude, value), gm) < 1e-8);

    auto const original = s.w;
    layer.merge(be, s.w.view());
    for (std::size_t i = 0; i != 5; ++i) { // rows are as long as their magnitudes
        auto const row = s.w.view().row(i);
        CHECK(std::sqrt(ops::dot(be, row, row)) == Approx(magnitude.values[i]));
    }
    layer.unmerge(be, s.w.view());
    CHECK(distance(s.w, original) < 1e-14);
}

TEST_CASE("an output whose direction is 0 stays 0 under DoRA; one of magnitude 0 cannot be unmerged", "[adapt]") {
    plain be;
    setting s(5, 7, 3, 4);
    matrix<double> b(5, 3), magnitude(1, 5);
    for (std::size_t j = 0; j != 7; ++j)
        s.w(2, j) = 0;
    factors const f{s.a.view(), b.view(), 1};
    auto const norms = adapt::dora_norms<plain, double>(be, s.w.view(), f);
    CHECK(norms[2] == 0);
    std::ranges::copy(norms, magnitude.values.begin());
    adapt::dora_layer<plain, double> layer(be, {s.w.view()}, f, flat(magnitude));
    auto const original = s.w;
    layer.merge(be, s.w.view());
    CHECK(distance(s.w, original) < 1e-14);
    magnitude.values[1] = 0;
    adapt::dora_layer<plain, double> dead(be, {s.w.view()}, f, flat(magnitude));
    CHECK_THROWS_WITH(dead.unmerge(be, s.w.view()), contains("output 1"));
}

TEST_CASE("blocks of MELoRA are the adapter they are padded to", "[adapt]") {
    plain be;
    auto blocks = adapt::melora<double>(be, 6, 8, {.ranks = {2, 3}, .alphas = {4, 3}, .seed = 5});
    std::vector<factors> views;
    for (std::size_t i = 0; i != 2; ++i) {
        auto const b = random_matrix<double>(3, blocks[i].rank, 20 + i);
        std::ranges::copy(b.values, blocks[i].b().data);
        views.push_back(blocks[i].factors());
        for (auto const x : std::span{blocks[i].a().data, blocks[i].rank * 4})
            CHECK(std::abs(x) <= 0.5); // 1 / sqrt(8 / 2)
    }
    auto whole = adapt::melora_to_lora<plain, double>(be, views);
    CHECK(whole.rank == 5);
    matrix<double> d(6, 8), part(3, 4);
    adapt::delta(be, whole.factors(), d.view());
    for (std::size_t i = 0; i != 2; ++i) {
        adapt::delta(be, views[i], part.view());
        for (std::size_t r = 0; r != 6; ++r)
            for (std::size_t c = 0; c != 8; ++c)
                if (r / 3 == i && c / 4 == i)
                    CHECK(d(r, c) == Approx(part(r % 3, c % 4)));
                else if (r / 3 != c / 4)
                    CHECK(d(r, c) == 0);
    }
    CHECK_THROWS_AS(adapt::melora<double>(be, 6, 7, {.ranks = {1, 1}, .alphas = {1}}), option_error);
    CHECK_THROWS_AS(adapt::melora<double>(be, 6, 8, {.ranks = {1, 1}, .alphas = {1, 2, 3}}), option_error);
    CHECK_THROWS_AS(adapt::melora<double>(be, 6, 8, {}), option_error);
}

TEST_CASE("MELoRA's gradients are those of differences, and its output the padded adapter's", "[adapt]") {
    plain be;
    setting s(6, 8, 3, 4);
    bool const dropout = GENERATE(false, true);
    std::vector<matrix<double>> a{random_matrix<double>(2, 4, 30), random_matrix<double>(3, 4, 31)},
        b{random_matrix<double>(3, 2, 32), random_matrix<double>(3, 3, 33)};
    std::vector<factors> const blocks{{a[0].view(), b[0].view(), 1.5}, {a[1].view(), b[1].view(), 0.5}};
    adapt::melora_layer<plain, double> const layer(s.layer(dropout), blocks);
    matrix<double> y(4, 6), z(4, 6), gx(4, 8), gbias(1, 6);
    layer.forward(be, s.x.view(), y.view());
    auto padded = adapt::melora_to_lora<plain, double>(be, blocks);
    adapt::forward(be, s.layer(dropout), padded.factors(), s.x.view(), z.view());
    CHECK(distance(y, z) < 1e-13);

    auto const value = [&] {
        layer.forward(be, s.x.view(), y.view());
        return inner(y, s.g);
    };
    std::vector<matrix<double>> ga{{2, 4}, {3, 4}}, gb{{3, 2}, {3, 3}};
    adapt::melora_gradients<plain, double> out{{{}, {}}, flat(gbias), gx.view()};
    for (std::size_t i = 0; i != 2; ++i) {
        out.blocks[i].a = ga[i].view();
        out.blocks[i].b = gb[i].view();
    }
    layer.backward(be, s.x.view(), s.g.view(), out);
    for (std::size_t i = 0; i != 2; ++i) {
        CHECK(distance(differences(a[i], value), ga[i]) < 1e-8);
        CHECK(distance(differences(b[i], value), gb[i]) < 1e-8);
    }
    CHECK(distance(differences(s.x, value), gx) < 1e-8);
    CHECK(distance(differences(s.bias, value), gbias) < 1e-8);
    matrix<double> alone(4, 8);
    layer.backward(be, s.x.view(), s.g.view(), {{}, std::nullopt, alone.view()});
    CHECK(distance(alone, gx) < 1e-14);
    out.blocks.pop_back();
    CHECK_THROWS_AS(layer.backward(be, s.x.view(), s.g.view(), out), shape_error);
    CHECK_THROWS_AS(layer.forward(be, s.g.view(), y.view()), shape_error);
    CHECK_THROWS_AS((adapt::melora_layer<plain, double>(s.layer(false), {blocks[0]})), shape_error);
    CHECK_THROWS_AS((adapt::melora_layer<plain, double>(s.layer(false), {})), option_error);
}

TEST_CASE("gradients of LoRA as it begins, with either scaling: B moves first", "[adapt]") {
    plain be;
    setting s(5, 7, 3, 4);
    auto const rule = GENERATE(adapt::scaling_rule::lora, adapt::scaling_rule::rslora);
    auto lora = adapt::lora<double>(be, 5, 7, 3, {.alpha = 6, .rule = rule});
    CHECK(lora.scaling == Approx(rule == adapt::scaling_rule::lora ? 2 : 6 / std::sqrt(3.0)));
    matrix<double> ga(3, 7), gb(5, 3), y(4, 5), b(5, 3);
    factors const f{lora.a(), b.view(), lora.scaling};
    gradients out;
    out.a = ga.view();
    out.b = gb.view();
    adapt::backward(be, s.layer(false), f, s.x.view(), s.g.view(), out);
    auto const value = [&] {
        adapt::forward(be, s.layer(false), f, s.x.view(), y.view());
        return inner(y, s.g);
    };
    CHECK(distance(differences(b, value), gb) < 1e-8);
    CHECK(inner(gb, gb) > 0);
    CHECK(inner(ga, ga) == 0);
}

TEST_CASE("gradients of AdaLoRA's orthogonality loss are those of differences", "[adapt]") {
    plain be;
    std::vector<setting> of;
    of.emplace_back(5, 7, 3, 1);
    of.emplace_back(4, 6, 2, 1);
    of[1].a = random_matrix<double>(2, 6, 40);
    of[1].b = random_matrix<double>(4, 2, 41);
    std::vector<factors> const layers{of[0].f(), of[1].f()};
    auto const value = [&] { return adapt::adalora_orthogonality<plain, double>(be, layers, 0.5); };
    std::vector<matrix<double>> ga{{3, 7}, {2, 6}}, gb{{5, 3}, {4, 2}};
    std::vector<gradients> out(2);
    for (std::size_t l = 0; l != 2; ++l) {
        out[l].a = ga[l].view();
        out[l].b = gb[l].view();
    }
    CHECK(adapt::adalora_orthogonality<plain, double>(be, layers, 0.5, out) == Approx(value()));
    for (std::size_t l = 0; l != 2; ++l) {
        CHECK(distance(differences(of[l].a, value), ga[l]) < 1e-8);
        CHECK(distance(differences(of[l].b, value), gb[l]) < 1e-8);
    }
}

TEST_CASE("layers that share an A merge their B's by size", "[adapt]") {
    plain be;
    adapt::shared_adapter<plain, double> shared(be, 4, 5, 7, 2, {.alpha = 4});
    for (std::size_t l = 0; l != 4; ++l)
        ops::fill(be, static_cast<double>(l + 1), shared.b(l).row(0));
    shared.b(3).data[0] = -10; // points elsewhere
    CHECK(shared.similarity(be, 0, 1) == Approx(1));
    shared.merge(be, 0, 1);
    CHECK(shared.groups() == 3);
    CHECK(shared.b(0).data[0] == Approx(1.5));
    CHECK(shared.group(3) == 1); // took the number that was free
    CHECK(shared.b(1).data[0] == -10);
    shared.merge(be, 0, 2);
    CHECK(shared.size(0) == 3);
    CHECK(shared.b(0).data[0] == Approx(2)); // (1 + 2 + 3) / 3
    CHECK(shared.group(0) == shared.group(2));
    CHECK(shared.factors(2).b.data == shared.b(0).data);
    shared.merge_until(be, 1, 0.5);
    CHECK(shared.groups() == 2); // not alike enough
    shared.merge_until(be, 1);
    CHECK(shared.groups() == 1);
    CHECK_THROWS_AS(shared.merge(be, 0, 0), option_error);
}

TEST_CASE("AdaLoRA's budget, scores and masks at their edges", "[adapt]") {
    adapt::adalora_options const o{.tinit = 5, .tfinal = 10, .delta_t = 3, .total_steps = 40};
    CHECK(adapt::adalora_budget_at(5, 24, 12, o).triplets == 24);
    CHECK_FALSE(adapt::adalora_budget_at(3, 24, 12, o).mask);
    CHECK(adapt::adalora_budget_at(31, 24, 12, o).triplets == 12);
    CHECK(adapt::adalora_budget_at(31, 24, 12, o).mask);
    std::size_t last = 24;
    for (std::size_t t = 1; t != 45; ++t) {
        auto const now = adapt::adalora_budget_at(t, 24, 12, o).triplets;
        CHECK(now <= last);
        last = now;
    }
    CHECK_THROWS_AS(adapt::adalora_budget_at(1, 24, 12, {.tinit = 30, .tfinal = 10, .total_steps = 40}), option_error);
    CHECK_THROWS_AS(adapt::adalora_budget_at(1, 12, 24, o), option_error);
    auto const all = adapt::adalora_keep({{1, 2}, {3}}, 3);
    CHECK(all.keep == std::vector<std::vector<bool>>{{true, true}, {true}});
    CHECK(adapt::adalora_keep({{1, 2}, {3}}, 1).keep == std::vector<std::vector<bool>>{{false, false}, {true}});
    CHECK(adapt::adalora_keep({{2, 2}, {3}}, 2).keep == std::vector<std::vector<bool>>{{false, false}, {true}});
    CHECK(adapt::adalora_keep({{1, 2}, {3}}, 0).keep == std::vector<std::vector<bool>>{{false, false}, {false}});
    CHECK_THROWS_AS(adapt::adalora_keep({{1, 2}, {3}}, 4), option_error);
}
