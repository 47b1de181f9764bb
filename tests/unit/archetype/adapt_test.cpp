// Linear algebra and adapters: run on the archetype of their floor, compared with plain host memory, refused one floor
// down.
#include "../linalg/matrices.hpp"
#include <catch.hpp>

#include <lathe/adapt/adalora.hpp>
#include <lathe/adapt/blocks.hpp>
#include <lathe/adapt/combine.hpp>
#include <lathe/adapt/dora.hpp>
#include <lathe/adapt/loftq.hpp>
#include <lathe/linalg/cholesky.hpp>
#include <lathe/linalg/randomized_svd.hpp>
#include <lathe/testing/archetype.hpp>

namespace {
using namespace lathe;
using lathe_test::matrix;
using lathe_test::random_matrix;
using testing::floor;
using here = testing::archetype<floor::matrix_space, double>;
using below = testing::archetype<floor::elementwise, double>;
using far_below = testing::archetype<floor::inner_product_space, double>;

template <class B, class F> constexpr bool accepts(F) { return std::invocable<F, B &, mat<B, double>>; }
constexpr auto partial = [](auto & be,
                            auto w) -> decltype(linalg::partial_svd(be, w, linalg::spectrum_end::largest, 1)) {
    return linalg::partial_svd(be, w, linalg::spectrum_end::largest, 1);
};
constexpr auto sketched = [](auto & be, auto w) -> decltype(linalg::randomized_svd(be, w, 1)) {
    return linalg::randomized_svd(be, w, 1);
};
constexpr auto nearest = [](auto & be, auto w) -> decltype(linalg::polar(be, w, w)) { return linalg::polar(be, w, w); };
constexpr auto whole = [](auto & be, auto w) -> decltype(linalg::svd(be, w)) { return linalg::svd(be, w); };
constexpr auto solved = [](auto & be, auto w) -> decltype(linalg::solve_spd(be, w, op::none, w)) {
    return linalg::solve_spd(be, w, op::none, w);
};
constexpr auto truncated = [](auto & be, auto w) -> decltype(adapt::kasa_truncate(be, w, 1)) {
    return adapt::kasa_truncate(be, w, 1);
};
constexpr auto principal = [](auto & be, auto w) -> decltype(adapt::pissa(be, w, 1)) { return adapt::pissa(be, w, 1); };
constexpr auto minor = [](auto & be, auto w) -> decltype(adapt::milora(be, w, 1)) { return adapt::milora(be, w, 1); };
constexpr auto orthogonal = [](auto & be, auto w) -> decltype(adapt::olora(be, w, 1)) {
    return adapt::olora(be, w, 1);
};
constexpr auto quantised = [](auto & be, auto w) -> decltype(adapt::loftq(be, w, 1)) { return adapt::loftq(be, w, 1); };
template <class B> constexpr bool factorises = accepts<B>(partial) || accepts<B>(sketched) || accepts<B>(nearest);
template <class B> constexpr bool decomposes = accepts<B>(whole) && accepts<B>(solved);
template <class B>
constexpr bool adapts = accepts<B>(truncated) || accepts<B>(principal) || accepts<B>(minor) || accepts<B>(orthogonal)
                        || accepts<B>(quantised);
template <class B> constexpr bool begins = requires(B & be) { adapt::lora<double>(be, 2, 2, 1); };
static_assert(factorises<here> && !factorises<below>);
static_assert(adapts<here> && !adapts<below>);
static_assert(decomposes<below> && !decomposes<far_below>);
static_assert(begins<below> && !begins<far_below>);

/// A backend, the memory that lives on it, and the numbers that came of it.
template <class B> struct bench {
    B be;
    std::vector<buffer_t<B, double>> alive;
    std::vector<double> numbers;

    mat<B, double> put(matrix<double> const & m) {
        alive.push_back(be.template allocate<double>(m.values.size()));
        be.upload(std::span<double const>{m.values}, alive.back().view());
        return as_matrix(alive.back().view(), m.rows, m.cols);
    }
    mat<B, double> random(std::size_t rows, std::size_t cols, std::uint64_t seed) {
        return put(random_matrix<double>(rows, cols, seed));
    }
    void take(mat<B, double> m) {
        auto const host = lathe_test::on_host<double>(be, m);
        numbers.insert(numbers.end(), host.values.begin(), host.values.end());
    }
    void take(adapt::factors<B, double> const & f) { // products: the factors' signs are free
        auto const d = put(matrix<double>(f.outputs(), f.inputs()));
        adapt::delta(be, f, d);
        take(d);
    }
    void take(linalg::partial_svd_result<B, double> & r) {
        auto const d = put(matrix<double>(r.rows, r.cols));
        ops::gemm(be, op::transpose, op::none, 1, r.left(), r.right(), 0, d);
        take(d);
    }
    void take(std::vector<double> const & x) { numbers.insert(numbers.end(), x.begin(), x.end()); }
};
/// What `f` makes of both, compared.
template <class F> void compare(F && f) {
    bench<here> device;
    bench<lathe_test::plain_backend<>> host;
    f(device);
    f(host);
    REQUIRE(device.numbers.size() == host.numbers.size());
    REQUIRE_FALSE(host.numbers.empty());
    for (std::size_t i = 0; i != host.numbers.size(); ++i)
        CHECK(device.numbers[i] == Approx(host.numbers[i]).margin(1e-9));
}
} // namespace

TEST_CASE("factorisations on a device", "[archetype][linalg]") {
    compare([](auto & b) {
        for (auto const end : {linalg::spectrum_end::largest, linalg::spectrum_end::smallest})
            for (auto const method : {linalg::svd_method::full, linalg::svd_method::iteration})
                for (auto const rows : {9u, 16u, 40u}) {
                    auto found = linalg::partial_svd(b.be, b.random(rows, 16, rows), end, 2, {.method = method});
                    b.take(found);
                }
        auto sketch = linalg::randomized_svd(b.be, b.random(9, 7, 1), 3, {.oversampling = 4});
        b.take(sketch);
        auto const q = b.random(7, 5, 2), gram = b.put(matrix<double>(5, 5)), x = b.random(5, 2, 3);
        linalg::polar(b.be, q, q);
        b.take(q);
        ops::gemm(b.be, op::transpose, op::none, 1, q, q, 0, gram);
        b.take({linalg::solve_spd(b.be, gram, op::none, x, 0.5)});
        b.take(x);
        b.take({linalg::frobenius_norm(b.be, x)});
    });
}

TEST_CASE("adapters of a weight on a device", "[archetype][adapt]") {
    compare([](auto & b) {
        auto const w = b.random(9, 7, 1);
        auto dropped = adapt::kasa_truncate(b.be, w, 2);
        b.take(w);
        auto kasa = adapt::kasa<double>(b.be, 9, 7, 2, {.seed = 3});
        auto exported = adapt::kasa_to_lora(b.be, kasa.factors(), dropped);
        b.take(exported.factors());
        adapt::kasa_restore(b.be, w, dropped);
        b.take(w);
        auto const again = [&] { return b.random(9, 7, 1); };
        b.take(adapt::pissa(b.be, again(), 2).factors());
        b.take(adapt::pissa_fast(b.be, again(), 2).factors());
        auto const residual = again();
        auto milora = adapt::milora(b.be, residual, 2);
        b.take(milora.factors());
        b.take(residual);
        auto olora = adapt::olora(b.be, again(), 3);
        b.take(olora.factors());
        auto back = adapt::to_lora(b.be, olora.factors(), milora.factors());
        b.take(back.factors());
        auto mica = adapt::mica(b.be, again(), 2);
        auto const b_bt = b.put(matrix<double>(9, 9));
        ops::gemm(b.be, op::none, op::transpose, 1, mica.b(), mica.b(), 0, b_bt);
        b.take(b_bt);
        b.take(adapt::led(b.be, again(), 2).factors());
        auto extracted = adapt::extract(b.be, again(), b.random(9, 7, 2), {.max_rank = 3});
        b.take(extracted.adapter.factors());
        auto loftq = adapt::loftq(b.be, again(), 2);
        b.take(loftq.adapter.factors());
        b.take({loftq.error});
    });
}

TEST_CASE("arithmetic with adapters on a device", "[archetype][adapt]") {
    compare([]<class B>(bench<B> & b) {
        std::vector<adapt::adapter<B, double>> all;
        std::vector<adapt::factors<B, double>> views;
        for (std::uint64_t seed = 1; seed != 3; ++seed) {
            all.push_back(adapt::lora<double>(b.be, 9, 7, 2, {.seed = seed}));
            ops::map<double>(b.be, linalg::kernels::centred, all.back().b_elements.view(),
                             random::uniform_stream{seed, 7, 0});
        }
        for (auto & a : all)
            views.push_back(a.factors());
        for (auto const kind :
             {adapt::combination::cat, adapt::combination::svd, adapt::combination::linear, adapt::combination::ties,
              adapt::combination::dare_ties, adapt::combination::ties_svd}) {
            auto sum = adapt::combine(b.be, std::span<adapt::factors<B, double> const>{views},
                                      {.kind = kind, .weights = {0.5, 2}, .density = 0.6});
            b.take(sum.factors());
        }
        auto less = adapt::compress(b.be, std::span<adapt::factors<B, double> const>{views}, std::vector{1.0, 2.0}, 2);
        b.take(less.factors());
        adapt::shared_adapter<B, double> shared(b.be, 2, 9, 7, 2);
        ops::fill(b.be, 1, shared.b(0).row(0));
        ops::fill(b.be, 2, shared.b(1).row(1));
        b.take({shared.similarity(b.be, 0, 1)});
        shared.merge_until(b.be, 1);
        b.take(shared.factors(1));
    });
}

TEST_CASE("training adapters on a device", "[archetype][adapt]") {
    compare([]<class B>(bench<B> & b) {
        using gradients = adapt::gradients<B, double>;
        auto const zeros = [&](std::size_t rows, std::size_t cols) { return b.put(matrix<double>(rows, cols)); };
        auto const flat = [](mat<B, double> m) { return vec<B, double>{m.data, m.rows * m.cols}; };
        auto const w = b.random(6, 8, 1), x = b.random(4, 8, 2), g = b.random(4, 6, 3), y = zeros(4, 6);
        adapt::layer<B, double> const layer{w, flat(b.random(1, 6, 4)), cmat<B, double>(b.random(4, 8, 5))};
        adapt::factors<B, double> const f{b.random(3, 8, 6), b.random(6, 3, 7), 1.5, flat(b.random(1, 3, 8))};
        gradients const out{zeros(3, 8), zeros(6, 3), flat(zeros(1, 3)), flat(zeros(1, 6)), zeros(4, 8)};
        auto const show = [&](gradients const & of) {
            for (auto const & m : {of.a, of.b, of.x})
                b.take(*m);
            b.take(as_matrix(*of.bias, 1, 6));
        };
        adapt::forward(b.be, layer, f, x, y);
        b.take(y);
        adapt::backward(b.be, layer, f, x, g, out);
        show(out);
        b.take(as_matrix(*out.sigma, 1, 3));

        std::array const layers{f};
        std::array const into{out};
        for (auto const dialect : {adapt::kasa_dialect::paper, adapt::kasa_dialect::authors})
            b.take({adapt::kasa_loss<B, double>(b.be, layers, {.dialect = dialect}, into).loss});
        b.take({adapt::adalora_orthogonality<B, double>(b.be, layers, 0.5, into)});
        show(out);

        adapt::factors<B, double> const plain{f.a, f.b, 0.5};
        adapt::dora_layer<B, double> dora(b.be, layer, plain, flat(b.random(1, 6, 9)));
        dora.forward(b.be, x, y);
        b.take(y);
        auto inner = out;
        inner.sigma.reset();
        dora.backward(b.be, x, g, inner, flat(zeros(1, 6)));
        show(inner);
        auto const merged = b.random(6, 8, 1);
        dora.merge(b.be, merged);
        b.take(merged);

        adapt::adalora_importance<B, double> importance(b.be, layers);
        importance.update(b.be, layers, into);
        auto const scores = importance.scores(b.be);
        b.take(scores[0]);
        auto const e = flat(b.random(1, 3, 8));
        adapt::adalora_apply(b.be, adapt::adalora_keep(scores, 2).keep[0], e);
        b.take(as_matrix(e, 1, 3));
        auto begun = adapt::adalora<double>(b.be, 6, 8, {.initial_rank = 3});
        b.take(begun.a());

        auto blocks = adapt::melora<double>(b.be, 6, 8, {.ranks = {1, 2}, .alphas = {4}});
        std::vector<adapt::factors<B, double>> views;
        adapt::melora_gradients<B, double> of_blocks{{}, flat(zeros(1, 6)), zeros(4, 8)};
        for (auto & block : blocks) {
            views.push_back(block.factors());
            of_blocks.blocks.push_back(
                {zeros(block.rank, 4), zeros(3, block.rank), std::nullopt, std::nullopt, std::nullopt});
        }
        adapt::melora_layer<B, double> const melora(layer, views);
        melora.forward(b.be, x, y);
        b.take(y);
        melora.backward(b.be, x, g, of_blocks);
        b.take(*of_blocks.blocks[1].b);
        b.take(*of_blocks.x);
        b.take(adapt::melora_to_lora<B, double>(b.be, views).factors());
    });
}
