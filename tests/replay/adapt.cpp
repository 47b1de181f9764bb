/// \file  Recorded cases of low-rank adaptation.
#include "backend_runners.hpp"
#include "cases.hpp"

#include <lathe/adapt/adalora.hpp>
#include <lathe/adapt/blocks.hpp>
#include <lathe/adapt/combine.hpp>
#include <lathe/adapt/dora.hpp>
#include <lathe/adapt/loftq.hpp>

#include <set>

namespace lathe_replay {

namespace {

using namespace lathe;
using numbers = std::vector<double>;
using B = selected_backend;

/// One case: its manifest, its tensors, and what has been held against them.
class adapt_case {
    fs::path folder_;
    json manifest_;
    std::unique_ptr<lathe::checkpoint> tensors_;
    std::set<std::string> open_; // expected tensors that nothing was held against yet

public:
    explicit adapt_case(fs::path folder) : folder_{std::move(folder)}, manifest_(read_json(folder_ / "manifest.json")) {
        if (!manifest_.contains("tensors"))
            return;
        tensors_ = io::open_checkpoint(folder_ / manifest_.at("tensors").get<std::string>());
        for (auto const & t : tensors_->tensors())
            if (t.name.starts_with("out."))
                open_.insert(t.name);
    }
    [[nodiscard]] std::string method() const { return manifest_.at("method"); }
    [[nodiscard]] json const & manifest() const { return manifest_; }
    [[nodiscard]] json const & params() const { return manifest_.at("params"); }
    [[nodiscard]] std::size_t rank() const { return params().at("r"); }
    [[nodiscard]] bool has(std::string const & name) const { return tensors_->find(name).has_value(); }
    [[nodiscard]] bool expects(std::string const & name) const { return open_.contains("out." + name); }
    [[nodiscard]] std::set<std::string> const & open() const noexcept { return open_; }
    [[nodiscard]] shape extents(std::string const & name) const {
        auto const index = tensors_->find(name);
        if (!index)
            throw failure{"no tensor " + name};
        return tensors_->tensors()[*index].extents;
    }
    [[nodiscard]] numbers values(std::string const & name) const {
        auto const index = tensors_->find(name);
        if (!index)
            throw failure{"no tensor " + name};
        auto const & info = tensors_->tensors()[*index];
        window_buffer buffer;
        auto const bytes = tensors_->read(*index, 0, info.count() * size_of(info.type), buffer);
        numbers out(info.count());
        if (is_floating(info.type))
            host::load(info.type, bytes.data(), out.size(), out.data());
        else
            for (std::size_t i = 0; i != out.size(); ++i) {
                if (info.type == dtype::u8)
                    out[i] = std::to_integer<int>(bytes[i]);
                else if (info.type == dtype::i32) {
                    std::int32_t x;
                    std::memcpy(&x, bytes.data() + 4 * i, 4);
                    out[i] = x;
                } else
                    throw failure{name + ": a type nobody reads"};
            }
        return out;
    }
    [[nodiscard]] std::vector<unsigned char> mask(std::string const & name) const {
        auto const x = values(name);
        return {x.begin(), x.end()};
    }
    [[nodiscard]] double tolerance(bool in_double) const {
        auto const & t = manifest_.at("tolerance");
        auto const * const key = in_double && t.contains("rel_fro_f64") ? "rel_fro_f64" : "rel_fro_f32";
        return t.contains(key) ? t.at(key).get<double>() : 2e-5;
    }
    /// |found - expected|_F <= tolerance max(|expected|_F, scale) \throws failure
    void check(std::string const & name, numbers const & found, double tolerance, double scale = 0) {
        auto const want = values("out." + name);
        open_.erase("out." + name);
        if (want.size() != found.size())
            throw failure{name + ": " + std::to_string(found.size()) + " elements, expected "
                          + std::to_string(want.size())};
        double apart = 0, norm = 0;
        for (std::size_t i = 0; i != want.size(); ++i) {
            apart += (found[i] - want[i]) * (found[i] - want[i]);
            norm += want[i] * want[i];
        }
        if (!(std::sqrt(apart) <= tolerance * std::max(std::sqrt(norm), scale)))
            throw failure{name + ": off by " + std::to_string(std::sqrt(apart)) + ", |expected| = "
                          + std::to_string(std::sqrt(norm)) + ", tolerance " + std::to_string(tolerance)};
    }
    void check_equal(std::string const & name, numbers const & found) {
        auto const want = values("out." + name);
        open_.erase("out." + name);
        if (want != found)
            throw failure{name + ": not equal"};
    }
    void done(std::string const & name) { open_.erase("out." + name); }
    void require(bool ok, std::string const & what) const {
        if (!ok)
            throw failure{what};
    }
};

double norm_of(numbers const & x) {
    double sum = 0;
    for (auto const v : x)
        sum += v * v;
    return std::sqrt(sum);
}

/// What the cases are run with: a backend and matrices on it.
template <real T> class bench {
public:
    using factors = adapt::factors<B, T>;
    using adapter = adapt::adapter<B, T>;
    struct matrix {
        std::size_t rows, cols;
        buffer_t<B, T> memory;
        [[nodiscard]] mat<B, T> view() { return as_matrix(memory.view(), rows, cols); }
        [[nodiscard]] vec<B, T> flat() { return memory.view(); }
    };
    B & be;
    adapt_case & c;
    double tolerance;

    bench(B & b, adapt_case & k) : be{b}, c{k}, tolerance{k.tolerance(std::same_as<T, double>)} {}
    matrix make(std::size_t rows, std::size_t cols) { return {rows, cols, be.template allocate<T>(rows * cols)}; }
    matrix make(std::size_t rows, std::size_t cols, numbers const & x) {
        auto m = make(rows, cols);
        std::vector<T> y(x.size());
        std::ranges::transform(x, y.begin(), [](double v) { return static_cast<T>(v); });
        be.upload(std::span<T const>{y}, m.flat());
        return m;
    }
    matrix in(std::string const & name) {
        auto const e = c.extents("in." + name);
        return make(e.size() > 1 ? e[0] : 1, e.empty() ? 1 : e.back(), c.values("in." + name));
    }
    numbers out(vec<B, T> v) {
        std::vector<T> x(v.n);
        be.download(cvec<B, T>(v), std::span<T>{x});
        return {x.begin(), x.end()};
    }
    numbers product(factors const & f) {
        auto m = make(f.outputs(), f.inputs());
        adapt::delta(be, f, m.view());
        return out(m.flat());
    }
    /// B A, without the scaling.
    numbers plain_product(factors f) {
        f.scaling = 1;
        return product(f);
    }
    void check(std::string const & name, numbers const & x) { c.check(name, x, tolerance); }
    void check(std::string const & name, matrix & m) { check(name, out(m.flat())); }
};

adapt::kasa_dialect dialect_of(std::string const & mode) {
    if (mode == "paper")
        return adapt::kasa_dialect::paper;
    if (mode == "authors")
        return adapt::kasa_dialect::authors;
    if (mode == "peft")
        return adapt::kasa_dialect::peft;
    throw failure{"unknown mode '" + mode + "'"};
}

template <real T> void run_truncate(bench<T> & at) {
    adapt_case & c = at.c;
    constexpr bool in_double = std::same_as<T, double>;
    adapt::kasa_options options{.dialect = dialect_of(c.params().at("mode"))};
    if (c.params().at("r").is_array()) {
        for (std::size_t const r : c.params().at("r")) {
            auto w = at.in("weight");
            static_cast<void>(adapt::kasa_truncate(at.be, w.view(), r, options));
            auto const name = "weight_truncated_r" + std::to_string(r);
            c.check(name, at.out(w.flat()), at.tolerance, norm_of(c.values("in.weight")));
        }
        return;
    }
    auto w = at.in("weight");
    auto const before = at.out(w.flat());
    std::optional<adapt::kasa_truncation<selected_backend, T>> t;
    try {
        t.emplace(adapt::kasa_truncate(at.be, w.view(), c.rank(), options));
    } catch (lathe::error const &) {
        auto const after = at.out(w.flat());
        for (std::size_t i = 0; i != after.size(); ++i)
            c.require(after[i] == before[i] || std::isnan(before[i]), "the weight was changed before the error");
        throw;
    }
    auto const after = at.out(w.flat());
    auto const weight = norm_of(before);
    auto removed = before;
    for (std::size_t i = 0; i != removed.size(); ++i)
        removed[i] -= after[i];
    if (c.params().contains("kept"))
        c.require(t->kept == c.params().at("kept").get<std::size_t>(), "kept: " + std::to_string(t->kept));
    auto const values = linalg::partial_svd(at.be, w.view(), linalg::spectrum_end::largest, std::min(w.rows, w.cols)).s;
    auto const noise = (in_double ? 1e-12 : 1e-5) * (values[0] + 1e-300);
    c.require(std::ranges::all_of(values.begin() + static_cast<std::ptrdiff_t>(t->kept), values.end(),
                                  [&](double s) { return s <= noise; }),
              "the result has a rank above what was kept");
    bool const close = c.manifest().at("tolerance").contains("removed_norm_rel");
    if (c.expects("removed_fro_norm")) {
        auto const rel = close ? c.manifest().at("tolerance").at("removed_norm_rel").get<double>() : 1e-9;
        c.check("removed_fro_norm", {norm_of(removed)}, in_double ? rel : 1e-4);
    }
    if (c.expects("singular_values_truncated"))
        c.check("singular_values_truncated", values, (in_double ? 1e-9 : 1e-5), values[0]);
    if (c.expects("dropped_singular_values")) {
        auto dropped = t->dropped ? t->dropped->s : numbers{};
        auto const want = c.values("out.dropped_singular_values");
        if (dropped.empty() && !want.empty())
            throw failure{"nothing was dropped"};
        c.check("dropped_singular_values", dropped, at.tolerance, weight);
    }
    if (c.expects("weight_truncated")) {
        if (close && !in_double) { // of values that are too near to be told apart in float: |W_t - out| <= 2 sigma_cut
            auto const want = c.values("out.weight_truncated");
            auto apart = after;
            for (std::size_t i = 0; i != apart.size(); ++i)
                apart[i] -= want[i];
            c.require(norm_of(apart) <= 2 * t->dropped->s[0], "off by more than 2 sigma_cut");
            c.done("weight_truncated");
        } else
            at.check("weight_truncated", after);
    }
    adapt::kasa_restore(at.be, w.view(), *t);
    auto back = at.out(w.flat());
    for (std::size_t i = 0; i != back.size(); ++i)
        back[i] -= before[i];
    c.require(norm_of(back) <= (in_double ? 1e-14 : 1e-6) * weight, "restoring does not bring the weight back");
}

template <real T> void run_layer(bench<T> & at) {
    adapt_case & c = at.c;
    bool const rslora = c.params().at("rslora");
    auto const scaling = adapt::scaling_of(c.params().at("alpha"), c.rank(),
                                           rslora ? adapt::scaling_rule::rslora : adapt::scaling_rule::lora);
    c.require(scaling == c.params().at("scaling").get<double>(), "scaling: " + std::to_string(scaling));
    auto w = at.in("weight"), a = at.in("A"), b = at.in("B"), sigma = at.in("sigma"), x = at.in("x"),
         g = at.in("grad_y");
    auto truncation = adapt::kasa_truncate(at.be, w.view(), c.rank(), {.dialect = dialect_of(c.params().at("mode"))});
    std::optional<typename bench<T>::matrix> bias;
    if (c.has("in.bias"))
        bias.emplace(at.in("bias"));
    adapt::factors<B, T> const f{a.view(), b.view(), scaling, cvec<B, T>(sigma.flat())};
    adapt::layer<B, T> layer{w.view()};
    if (bias)
        layer.bias = bias->flat();
    auto y = at.make(x.rows, w.rows);
    adapt::forward(at.be, layer, f, x.view(), y.view());
    at.check("y", y);
    auto ga = at.make(a.rows, a.cols), gb = at.make(b.rows, b.cols), gs = at.make(1, c.rank()),
         gx = at.make(x.rows, x.cols), gbias = at.make(1, w.rows);
    adapt::gradients<B, T> const gradients{ga.view(), gb.view(), gs.flat(), gbias.flat(), gx.view()};
    adapt::backward(at.be, layer, f, x.view(), g.view(), gradients);
    at.check("grad_A", ga);
    at.check("grad_B", gb);
    at.check("grad_sigma", gs);
    at.check("grad_x", gx);
    if (c.expects("grad_bias"))
        at.check("grad_bias", gbias);
    if (c.expects("delta"))
        at.check("delta", at.product(f));
    if (c.expects("lora2r_product")) {
        auto lora = adapt::kasa_to_lora(at.be, f, truncation);
        c.require(lora.rank == c.rank() + truncation.rank() && lora.scaling == 1, "the rank of the export");
        at.check("lora2r_product", at.product(lora.factors()));
    }
    if (c.expects("merged")) {
        auto const truncated = at.out(w.flat());
        adapt::add_delta(at.be, f, 1, w.view());
        at.check("merged", w);
        adapt::add_delta(at.be, f, -1, w.view());
        auto back = at.out(w.flat());
        for (std::size_t i = 0; i != back.size(); ++i)
            back[i] -= truncated[i];
        c.require(norm_of(back) <= at.tolerance * norm_of(truncated), "unmerging does not bring the weight back");
    }
}

template <real T> void run_aux(bench<T> & at) {
    adapt_case & c = at.c;
    using matrix = typename bench<T>::matrix;
    std::vector<matrix> a, b, sigma;
    std::vector<adapt::factors<B, T>> layers;
    auto const count = c.params().at("layers").size();
    for (std::size_t l = 0; l != count; ++l) {
        a.push_back(at.in("A" + std::to_string(l)));
        b.push_back(at.in("B" + std::to_string(l)));
        sigma.push_back(at.in("sigma" + std::to_string(l)));
    }
    for (std::size_t l = 0; l != count; ++l)
        layers.push_back({a[l].view(), b[l].view(), 1, cvec<B, T>(sigma[l].flat())});
    for (auto const * const which : {"authors", "peft"}) {
        auto const dialect = dialect_of(which);
        std::vector<matrix> ga, gb, gs;
        std::vector<adapt::gradients<B, T>> out(count);
        for (std::size_t l = 0; l != count; ++l) {
            ga.push_back(at.make(a[l].rows, a[l].cols, numbers(a[l].rows * a[l].cols)));
            gb.push_back(at.make(b[l].rows, b[l].cols, numbers(b[l].rows * b[l].cols)));
            gs.push_back(at.make(1, a[l].rows, numbers(a[l].rows)));
        }
        for (std::size_t l = 0; l != count; ++l) {
            out[l].a = ga[l].view();
            out[l].b = gb[l].view();
            out[l].sigma = gs[l].flat();
        }
        auto const r = adapt::kasa_loss<B, T>(
            at.be, layers, {.dialect = dialect, .beta = c.params().at("beta"), .gamma = c.params().at("gamma")}, out);
        std::string const prefix = which;
        at.check("loss_" + prefix, {r.loss});
        for (std::size_t l = 0; l != count; ++l)
            for (auto const & [name, gradient] :
                 {std::pair<std::string, matrix *>{"A", &ga[l]}, {"B", &gb[l]}, {"sigma", &gs[l]}}) {
                auto const key = prefix + "_grad_" + name + std::to_string(l);
                if (c.expects(key)) // those of an orthonormal A are rounding errors, in the small form not recorded
                    c.check(key, at.out(gradient->flat()), at.tolerance, c.params().at("gamma").get<double>());
            }
        if (prefix == "authors")
            continue;
        numbers small_a, small_b, big_a, big_b;
        for (auto const & l : r.layers) {
            small_a.push_back(l.small_a);
            small_b.push_back(l.small_b);
            big_a.push_back(l.big_a);
            big_b.push_back(l.big_b);
        }
        c.check("norms_small_A", small_a, at.tolerance, 1);
        c.check("norms_small_B", small_b, at.tolerance, 1);
        at.check("norms_big_A", big_a);
        at.check("norms_big_B", big_b);
    }
}

template <real T> void run_init(bench<T> & at) {
    adapt_case & c = at.c;
    auto const r = c.rank();
    adapt::spectral_options const options{.alpha = c.params().at("alpha")};
    auto const scaling = adapt::scaling_of(options.alpha, r, options.rule);
    auto const original = c.values("in.weight");
    auto const residual_and_product = [&](std::string const & name, auto && make) {
        auto w = at.in("weight");
        auto f = make(w.view());
        at.check(name + "_BA", at.plain_product(f.factors()));
        if (c.expects(name + "_residual"))
            at.check(name + "_residual", w);
        adapt::add_delta(at.be, f.factors(), 1, w.view());
        auto back = at.out(w.flat());
        for (std::size_t i = 0; i != back.size(); ++i)
            back[i] -= original[i];
        c.require(norm_of(back) <= at.tolerance * norm_of(original), name + ": residual + s B A is not the weight");
        return f;
    };
    auto w = at.in("weight");
    auto const values = linalg::partial_svd(at.be, w.view(), linalg::spectrum_end::largest, std::min(w.rows, w.cols)).s;
    at.check("singular_values", values);
    auto pissa = residual_and_product("pissa", [&](auto v) { return adapt::pissa(at.be, v, r, options); });
    for (bool const of_a : {true, false}) { // A A^T = B^T B = diag(s / scaling)
        auto gram = at.make(r, r);
        auto const m = of_a ? pissa.a() : pissa.b();
        ops::gemm(at.be, of_a ? op::none : op::transpose, of_a ? op::transpose : op::none, T(1), m, m, T(0),
                  gram.view());
        auto g = at.out(gram.flat());
        for (std::size_t i = 0; i != r; ++i)
            g[i * r + i] -= values[i] / scaling;
        c.require(norm_of(g) <= at.tolerance * values[0], "pissa: the factors are not balanced");
    }
    residual_and_product("milora", [&](auto v) { return adapt::milora(at.be, v, r, options); });
    residual_and_product("olora", [&](auto v) { return adapt::olora(at.be, v, r, options); });
    auto mica = adapt::mica(at.be, w.view(), r, options);
    auto outer = at.make(w.rows, w.rows);
    ops::gemm(at.be, op::none, op::transpose, T(1), mica.b(), mica.b(), T(0), outer.view());
    at.check("mica_BBt", outer);
    c.require(norm_of(at.out(mica.a_elements.view())) == 0 && at.out(w.flat()) == [&] {
        auto same = at.in("weight");
        return at.out(same.flat());
    }(), "mica: A is not 0, or the weight was changed");
    auto const omega = c.values("in.omega");
    numbers rows(omega.size());
    for (std::size_t i = 0; i != w.rows; ++i)
        for (std::size_t k = 0; k != r; ++k)
            rows[k * w.rows + i] = omega[i * r + k];
    auto sketch = at.make(r, w.rows, rows);
    for (std::size_t const niter : {0u, 2u, 4u}) {
        auto triplets = linalg::randomized_svd(at.be, w.view(), r, sketch.view(), niter);
        auto f = adapt::split<B, T>(at.be, triplets, r, adapt::singular_values::balanced, scaling);
        c.check("pissa_niter" + std::to_string(niter) + "_BA", at.plain_product(f.factors()),
                std::same_as<T, double> ? 1e-8 : at.tolerance);
    }
}

template <real T> void run_loftq(bench<T> & at) {
    adapt_case & c = at.c;
    auto last = std::numeric_limits<double>::infinity();
    for (std::size_t const iterations : c.params().at("iters")) {
        auto const suffix = "_it" + std::to_string(iterations);
        auto w = at.in("weight");
        auto result = adapt::loftq(at.be, w.view(), c.rank(), {.iterations = iterations});
        at.check("BA" + suffix, at.plain_product(result.adapter.factors()));
        at.check("dequant" + suffix, w);
        at.check("absmax" + suffix, result.base.scales);
        c.require(result.base.block() == c.params().at("block").get<std::size_t>(), "the size of a block");
        numbers const codes(result.base.codes.begin(), result.base.codes.end());
        c.check_equal("code" + suffix, codes);
        c.require(result.error <= last * (1 + 1e-6), "the error grows with the iterations");
        last = result.error;
    }
}

template <real T> void run_dora(bench<T> & at) {
    adapt_case & c = at.c;
    auto w = at.in("weight"), a = at.in("A"), b = at.in("B"), x = at.in("x"), g = at.in("grad_y"),
         magnitude = at.in("magnitude");
    adapt::factors<B, T> const f{a.view(), b.view(),
                                 adapt::scaling_of(c.params().at("alpha"), c.rank(), adapt::scaling_rule::lora)};
    adapt::dora_layer<B, T> layer(at.be, {w.view()}, f, magnitude.flat());
    auto const norms = layer.norms();
    at.check("row_norm", numbers(norms.begin(), norms.end()));
    auto none = at.make(b.rows, b.cols, numbers(b.rows * b.cols));
    auto const initial = adapt::dora_norms<B, T>(at.be, w.view(), {a.view(), none.view(), f.scaling});
    // The recorded start is that of the given B, or of B = 0.
    auto const want = c.values("out.magnitude_init");
    auto distance = [&](std::span<double const> y) {
        double sum = 0;
        for (std::size_t i = 0; i != y.size(); ++i)
            sum += (y[i] - want[i]) * (y[i] - want[i]);
        return sum;
    };
    at.check("magnitude_init", distance(initial) < distance(norms) ? initial : numbers(norms.begin(), norms.end()));
    auto y = at.make(x.rows, w.rows);
    layer.forward(at.be, x.view(), y.view());
    at.check("y", y);
    auto ga = at.make(a.rows, a.cols), gb = at.make(b.rows, b.cols), gx = at.make(x.rows, x.cols),
         gm = at.make(1, w.rows);
    adapt::gradients<B, T> out;
    out.a = ga.view();
    out.b = gb.view();
    out.x = gx.view();
    layer.backward(at.be, x.view(), g.view(), out, gm.flat());
    at.check("grad_A", ga);
    at.check("grad_B", gb);
    at.check("grad_x", gx);
    at.check("grad_magnitude", gm);
    layer.merge(at.be, w.view());
    at.check("merged", w);
    layer.unmerge(at.be, w.view());
    auto back = at.out(w.flat());
    auto const original = c.values("in.weight");
    for (std::size_t i = 0; i != back.size(); ++i)
        back[i] -= original[i];
    c.require(norm_of(back) <= at.tolerance * norm_of(original), "unmerging does not bring the weight back");
}

template <real T> void run_adalora(bench<T> & at) {
    adapt_case & c = at.c;
    using matrix = typename bench<T>::matrix;
    auto const & p = c.params();
    std::size_t layers = 0;
    while (c.has("in.A" + std::to_string(layers)))
        ++layers;
    adapt::adalora_options options{.alpha = p.at("alpha"),
                                   .initial_rank = p.at("ranknum"),
                                   .beta1 = p.at("beta1"),
                                   .beta2 = p.at("beta2"),
                                   .orthogonality = p.at("orth_reg_weight")};
    auto const read = [&](std::string const & prefix, std::string const & name) {
        std::vector<matrix> all;
        for (std::size_t l = 0; l != layers; ++l)
            all.push_back(at.in(prefix + name + std::to_string(l)));
        return all;
    };
    auto a = read("", "A"), b = read("", "B"), e = read("", "E");
    std::vector<adapt::factors<B, T>> factors;
    for (std::size_t l = 0; l != layers; ++l)
        factors.push_back({a[l].view(), b[l].view(), adapt::adalora_scaling(options), cvec<B, T>(e[l].flat())});
    adapt::adalora_importance<B, T> importance(at.be, factors, options);
    for (std::size_t step = 0; c.has("in.grad" + std::to_string(step) + "_A0"); ++step) {
        auto const prefix = "grad" + std::to_string(step) + "_";
        auto ga = read(prefix, "A"), gb = read(prefix, "B"), ge = read(prefix, "E");
        std::vector<adapt::gradients<B, T>> gradients(layers);
        for (std::size_t l = 0; l != layers; ++l) {
            gradients[l].a = ga[l].view();
            gradients[l].b = gb[l].view();
            gradients[l].sigma = ge[l].flat();
        }
        importance.update(at.be, factors, gradients);
    }
    auto const scores = importance.scores(at.be);
    auto const mask = adapt::adalora_keep(scores, p.at("budget"));
    at.check("threshold", {mask.threshold});
    std::vector<matrix> ga, gb;
    std::vector<adapt::gradients<B, T>> gradients(layers);
    for (std::size_t l = 0; l != layers; ++l) {
        auto const number = std::to_string(l);
        at.check("score" + number, scores[l]);
        c.check_equal("keep" + number, numbers(mask.keep[l].begin(), mask.keep[l].end()));
        at.check("delta" + number, at.product(factors[l]));
        ga.push_back(at.make(a[l].rows, a[l].cols, numbers(a[l].rows * a[l].cols)));
        gb.push_back(at.make(b[l].rows, b[l].cols, numbers(b[l].rows * b[l].cols)));
    }
    for (std::size_t l = 0; l != layers; ++l) {
        gradients[l].a = ga[l].view();
        gradients[l].b = gb[l].view();
    }
    at.check("orth_loss", {adapt::adalora_orthogonality<B, T>(at.be, factors, options.orthogonality, gradients)});
    for (std::size_t l = 0; l != layers; ++l) {
        at.check("orth_grad_A" + std::to_string(l), ga[l]);
        at.check("orth_grad_B" + std::to_string(l), gb[l]);
        adapt::adalora_apply(at.be, mask.keep[l], e[l].flat());
        auto const masked = at.out(e[l].flat());
        for (std::size_t i = 0; i != masked.size(); ++i)
            c.require(mask.keep[l][i] || masked[i] == 0, "a masked triplet is not 0");
    }
    auto const & s = p.at("schedule");
    options.tinit = s.at("tinit");
    options.tfinal = s.at("tfinal");
    options.total_steps = s.at("total");
    options.delta_t = s.at("dT");
    numbers budget, now;
    for (std::size_t t = 1; t <= c.values("out.budget").size(); ++t) {
        auto const at_t = adapt::adalora_budget_at(t, s.at("init_bgt"), s.at("target_bgt"), options);
        budget.push_back(static_cast<double>(at_t.triplets));
        now.push_back(at_t.mask);
    }
    c.check_equal("budget", budget);
    c.check_equal("mask_now", now);
}

template <real T> void run_melora(bench<T> & at) {
    adapt_case & c = at.c;
    std::vector<typename bench<T>::matrix> a, b;
    auto const count = c.params().at("blocks").get<std::size_t>();
    for (std::size_t i = 0; i != count; ++i) {
        a.push_back(at.in("A" + std::to_string(i)));
        b.push_back(at.in("B" + std::to_string(i)));
    }
    std::vector<adapt::factors<B, T>> blocks;
    for (std::size_t i = 0; i != count; ++i)
        blocks.push_back({a[i].view(), b[i].view(),
                          adapt::scaling_of(c.params().at("alpha")[i], a[i].rows, adapt::scaling_rule::lora)});
    auto lora = adapt::melora_to_lora<B, T>(at.be, blocks);
    auto w = at.in("weight"), x = at.in("x");
    auto y = at.make(x.rows, w.rows);
    adapt::forward(at.be, adapt::layer<B, T>{w.view()}, lora.factors(), x.view(), y.view());
    at.check("y", y);
    at.check("delta", at.product(lora.factors()));
    // The scalings may be in A or in B: the recorded ones are held against the product.
    auto expected_a = at.make(lora.rank, lora.inputs, c.values("out.lora_A")),
         expected_b = at.make(lora.outputs, lora.rank, c.values("out.lora_B"));
    c.check("delta", at.product({expected_a.view(), expected_b.view()}), at.tolerance);
    for (std::size_t i = 0; i != lora.rank; ++i) { // rows of A agree but for their factor
        auto const found = at.out(lora.a().row(i)), want = at.out(expected_a.view().row(i));
        double inner = 0;
        for (std::size_t j = 0; j != found.size(); ++j)
            inner += found[j] * want[j];
        c.require(std::abs(inner) >= (1 - 1e-6) * norm_of(found) * norm_of(want), "lora_A: another direction");
    }
    c.done("lora_A");
    c.done("lora_B");
}

template <real T> void run_led(bench<T> & at) {
    adapt_case & c = at.c;
    for (auto const & row : c.params().at("rank_rule_table_out_in_rank_result")) {
        auto const rank = adapt::led_rank(row[0], row[1], row[2]);
        c.require(rank ? !row[3].is_null() && *rank == row[3].get<std::size_t>() : row[3].is_null(),
                  "the rank of " + row.dump());
    }
    auto w = at.in("weight"), x = at.in("x"), bias = at.in("bias");
    auto f = adapt::led(at.be, w.view(), c.params().at("rank"));
    at.check("product", at.product(f.factors()));
    auto nothing = at.make(w.rows, w.cols, numbers(w.rows * w.cols));
    auto y = at.make(x.rows, w.rows);
    adapt::forward(at.be, adapt::layer<B, T>{nothing.view(), cvec<B, T>(bias.flat())}, f.factors(), x.view(), y.view());
    at.check("y", y);
}

template <real T> void run_weighted(bench<T> & at) {
    adapt_case & c = at.c;
    using adapt::combination;
    std::vector<typename bench<T>::matrix> a, b;
    auto const scalings = c.params().at("scalings").get<numbers>();
    adapt::combine_options options{.weights = c.params().at("weights").get<numbers>(),
                                   .density = c.params().at("density")};
    for (std::size_t i = 0; i != scalings.size(); ++i) {
        auto const n = std::to_string(i);
        a.push_back(at.in("A" + n));
        b.push_back(at.in("B" + n));
        options.masks.push_back(c.mask("in.mask" + n));
        options.masks_a.push_back(c.mask("in.maskA" + n));
        options.masks_b.push_back(c.mask("in.maskB" + n));
    }
    std::vector<adapt::factors<B, T>> all;
    for (std::size_t i = 0; i != a.size(); ++i)
        all.push_back({a[i].view(), b[i].view(), scalings[i]});
    auto const run = [&](combination kind, bool masks, adapt::election elect, std::size_t rank,
                         adapt::combine_scaling scaling, std::span<adapt::factors<B, T> const> which) {
        auto o = options;
        o.kind = kind;
        o.elect = elect;
        o.svd_rank = rank;
        o.scaling = scaling;
        if (!masks)
            o.masks = o.masks_a = o.masks_b = {};
        o.weights.resize(which.size());
        return adapt::combine(at.be, which, o);
    };
    auto const once = adapt::combine_scaling::once;
    auto const total = adapt::election::total, frequency = adapt::election::frequency;
    std::span<adapt::factors<B, T> const> const everything{all};
    auto const factors = [&](std::string const & name, combination kind, adapt::election elect,
                             std::span<adapt::factors<B, T> const> which) {
        bool const dare = kind == combination::dare_linear || kind == combination::dare_ties;
        auto f = run(kind, dare, elect, 0, once, which);
        c.require(f.scaling == 1, name + ": the scaling is not 1");
        at.check(name + "_A", at.out(f.a_elements.view()));
        at.check(name + "_B", at.out(f.b_elements.view()));
    };
    factors("cat", combination::cat, total, everything);
    factors("linear", combination::linear, total, everything);
    factors("magnitude_prune", combination::magnitude_prune, total, everything);
    factors("dare_linear", combination::dare_linear, total, everything);
    factors("ties", combination::ties, total, everything);
    factors("ties_frequency", combination::ties, frequency, everything);
    factors("dare_ties", combination::dare_ties, total, everything);
    factors("dare_ties_frequency", combination::dare_ties, frequency, everything);
    factors("single_adapter", combination::svd, total, everything.first(1)); // always linear
    auto const rank = c.params().at("svd_rank").get<std::size_t>();
    auto const whole = std::min(a[0].cols, b[0].rows);
    auto const product = [&](std::string const & name, combination kind, std::size_t r,
                             adapt::combine_scaling scaling) {
        bool const dare = kind == combination::dare_linear_svd || kind == combination::dare_ties_svd;
        auto f = run(kind, dare, total, r, scaling, everything);
        at.check(name + "_product", at.product(f.factors()));
    };
    product("svd", combination::svd, rank, once);
    product("svd_fullrank", combination::svd, whole, once);
    product("svd_legacy_double_scaling", combination::svd, rank, adapt::combine_scaling::legacy_twice);
    auto const dense_scaling = once;
    product("magnitude_prune_svd", combination::magnitude_prune_svd, rank, dense_scaling);
    product("dare_linear_svd", combination::dare_linear_svd, rank, dense_scaling);
    product("ties_svd", combination::ties_svd, rank, dense_scaling);
    product("dare_ties_svd", combination::dare_ties_svd, rank, dense_scaling);
}

template <real T> void run_extract(bench<T> & at) {
    adapt_case & c = at.c;
    auto base = at.in("base"), finetuned = at.in("finetuned");
    auto const run = [&](adapt::extract_options options) {
        return adapt::extract(at.be, base.view(), finetuned.view(), options);
    };
    auto all = run({.max_rank = 0});
    at.check("singular_values", all.s);
    for (std::size_t const r : {1u, 4u, 18u})
        if (auto const name = "product_r" + std::to_string(r); c.expects(name))
            for (auto const place :
                 {adapt::singular_values::balanced, adapt::singular_values::in_a, adapt::singular_values::in_b}) {
                auto f = run({.max_rank = r, .place = place});
                c.check(name, at.product(f.adapter.factors()), at.tolerance);
                for (bool const of_a : {true, false}) {
                    auto gram = at.make(r, r);
                    auto const m = of_a ? f.adapter.a() : f.adapter.b();
                    ops::gemm(at.be, of_a ? op::none : op::transpose, of_a ? op::transpose : op::none, T(1), m, m, T(0),
                              gram.view());
                    auto g = at.out(gram.flat());
                    for (std::size_t i = 0; i != r; ++i)
                        g[i * r + i] -= place == adapt::singular_values::balanced         ? f.s[i]
                                        : (place == adapt::singular_values::in_a) == of_a ? f.s[i] * f.s[i]
                                                                                          : 1.0;
                    c.require(norm_of(g) <= at.tolerance * std::max(1.0, f.s[0] * f.s[0]),
                              "the singular values are not where they were to go");
                }
            }
    auto eps = run({.max_rank = 0, .sv_epsilon = c.params().at("sv_epsilon")});
    c.require(eps.s.size() == c.params().at("rank_eps").get<std::size_t>(),
              "sv_epsilon: rank " + std::to_string(eps.s.size()));
    at.check("product_eps", at.product(eps.adapter.factors()));
    for (auto const & [share, rank] : c.params().at("energy_rank").items()) {
        auto const found = run({.max_rank = 0, .energy = std::stod(share)}).s.size();
        c.require(found == rank.template get<std::size_t>(), "energy " + share + ": rank " + std::to_string(found));
    }
}

using adapt_runner = void (*)(adapt_case &, selected_backend &, bool in_double);
template <void (*in_float)(bench<float> &), void (*in_double)(bench<double> &)> constexpr adapt_runner both() {
    return [](adapt_case & c, selected_backend & be, bool use_double) {
        if (use_double) {
            bench<double> at(be, c);
            in_double(at);
        } else {
            bench<float> at(be, c);
            in_float(at);
        }
    };
}

std::map<std::string, adapt_runner, std::less<>> const & adapt_runners() {
    static std::map<std::string, adapt_runner, std::less<>> const table{
        {"kasa.truncate", both<run_truncate, run_truncate>()},
        {"kasa.layer", both<run_layer, run_layer>()},
        {"kasa.aux_loss", both<run_aux, run_aux>()},
        {"init", both<run_init, run_init>()},
        {"loftq", both<run_loftq, run_loftq>()},
        {"dora.layer", both<run_dora, run_dora>()},
        {"adalora", both<run_adalora, run_adalora>()},
        {"melora", both<run_melora, run_melora>()},
        {"greenformers.led", both<run_led, run_led>()},
        {"peft.add_weighted", both<run_weighted, run_weighted>()},
        {"extract_lora", both<run_extract, run_extract>()},
    };
    return table;
}

result run_adapt_once(fs::path const & folder, std::size_t threads, bool in_double) {
    std::string const precision = in_double ? "double: " : "float: ";
    adapt_case c(folder);
    auto const run = adapt_runners().find(c.method());
    if (run == adapt_runners().end())
        return {verdict::failed, "unknown method '" + c.method() + "'"};
    std::optional<std::string> error;
    try {
        auto be = lathe::compiled::make_backend<selected_backend>(threads);
        run->second(c, be, in_double);
    } catch (lathe::unsupported_error const & e) {
        return {verdict::skipped, precision + e.what()};
    } catch (lathe::error const & e) {
        error = e.what();
    } catch (failure const & e) {
        return {verdict::failed, precision + e.what()};
    }
    if (c.manifest().contains("error"))
        return error ? result{verdict::passed, precision + "as expected: " + *error}
                     : result{verdict::failed,
                              precision + "no error, expected: " + c.manifest().at("error").get<std::string>()};
    if (error)
        return {verdict::failed, precision + *error};
    if (!c.open().empty())
        return {verdict::failed, precision + "nothing was held against " + *c.open().begin()};
    return {verdict::passed, {}};
}

result run_adapt_case(fs::path const & folder, std::size_t threads) {
    auto const in_float = run_adapt_once(folder, threads, false);
    if (in_float.what == verdict::failed)
        return in_float;
    auto const in_double = run_adapt_once(folder, threads, true);
    return in_double.what != verdict::passed && in_float.what == verdict::passed && in_double.what == verdict::skipped
               ? in_float
               : in_double;
}

} // namespace

template <class Backend> std::vector<recorded_case> adapt_cases(fs::path const & folder) {
    std::vector<recorded_case> cases;
    for (auto const & name : cases_in(folder)) {
        auto const at = folder / name;
        auto const manifest = read_json(at / "manifest.json");
        if (!manifest.contains("id"))
            return {};
        auto const method = manifest.value("method", "");
        cases.push_back({name, [method] { return method; }, [at, method](std::size_t threads) -> result {
            if (method == "peft.load")
                return run_peft_case(at);
            if (!adapt_runners().contains(method))
                return {verdict::failed, "unknown method '" + method + "'"};
            return run_adapt_case(at, threads);
        }});
    }
    return cases;
}
template std::vector<recorded_case> adapt_cases<selected>(fs::path const &);

} // namespace lathe_replay
