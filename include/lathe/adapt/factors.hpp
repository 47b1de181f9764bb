#pragma once
/// \file  What adapters have in common: a weight's change as a product of low rank. Forward, backward, merge, unmerge,
///        and stacking, for every method whose change is scaling B diag(sigma) A.
///
/// A weight W is out x in, y = x W^T; A is rank x in, B is out x rank. Layers that keep W^T (fan_in_fan_out) say so.
#include <lathe/core/ops.hpp>
#include <lathe/linalg/host_matrix.hpp>

#include <optional>

LATHE_NAMESPACE_BEGIN
namespace adapt {

/// scaling B diag(sigma) A, of factors in memory of the backend; without sigma, sigma is 1.
template <class B, real T> struct factors {
    cmat<B, T> a;                                   ///< rank x in
    cmat<B, T> b;                                   ///< out x rank
    double scaling = 1;                             ///< factor of the product
    std::optional<cvec<B, T>> sigma = std::nullopt; ///< a factor for each row of A

    /// Rows of A, columns of B.
    [[nodiscard]] std::size_t rank() const noexcept { return a.rows; }
    /// Columns of A: what the layer takes.
    [[nodiscard]] std::size_t inputs() const noexcept { return a.cols; }
    /// Rows of B: what the layer gives.
    [[nodiscard]] std::size_t outputs() const noexcept { return b.rows; }
    /// \throws shape_error
    void expect_valid() const {
        expects_shape(a.rows == b.cols, "factors: A has not as many rows as B has columns");
        expects_shape(!sigma || sigma->n == a.rows, "factors: sigma is not as long as the rank");
    }
};

/// Factors that own their memory.
template <class B, real T> struct adapter {
    std::size_t outputs,                          ///< rows of B
        inputs,                                   ///< columns of A
        rank;                                     ///< rows of A, columns of B
    double scaling;                               ///< factor of the product
    buffer_t<B, T> a_elements,                    ///< rank x inputs
        b_elements;                               ///< outputs x rank
    std::optional<buffer_t<B, T>> sigma_elements; ///< of length rank; nothing: 1

    /// Memory that is not initialised. \param with_sigma whether there is a sigma
    adapter(B & be, std::size_t out, std::size_t in, std::size_t r, double s, bool with_sigma = false)
        : outputs{out}, inputs{in}, rank{r}, scaling{s}, a_elements{be.template allocate<T>(r * in)},
          b_elements{be.template allocate<T>(out * r)} {
        if (with_sigma)
            sigma_elements.emplace(be.template allocate<T>(r));
    }
    /// rank x inputs
    [[nodiscard]] mat<B, T> a() { return as_matrix(a_elements.view(), rank, inputs); }
    /// outputs x rank
    [[nodiscard]] mat<B, T> b() { return as_matrix(b_elements.view(), outputs, rank); }
    /// \pre it has one
    [[nodiscard]] vec<B, T> sigma() { return sigma_elements->view(); }
    /// Views, valid as long as this lives.
    [[nodiscard]] adapt::factors<B, T> factors() {
        return {a(), b(), scaling,
                sigma_elements ? std::optional<cvec<B, T>>(cvec<B, T>(sigma_elements->view())) : std::nullopt};
    }
};

/// The scaling of an adapter of rank r.
enum class scaling_rule : unsigned char {
    lora,  ///< alpha / r (Hu et al. 2021)
    rslora ///< alpha / sqrt(r) (Kalajdzievski 2023)
};
/// \throws option_error unless r > 0 and alpha is finite
inline double scaling_of(double alpha, std::size_t r, scaling_rule rule) {
    expects_option(r > 0, "r", "0", "a positive number");
    expects_option(std::isfinite(alpha), "alpha", std::to_string(alpha), "a finite number");
    return alpha / (rule == scaling_rule::lora ? static_cast<double>(r) : std::sqrt(static_cast<double>(r)));
}

/// scaling sigma, on the host. Blocks if there is a sigma.
template <class B, real T> std::vector<double> weights_of(B & be, factors<B, T> const & f) {
    std::vector<double> w(f.rank(), f.scaling);
    if (f.sigma) {
        std::vector<T> sigma(f.rank());
        be.download(*f.sigma, std::span<T>{sigma});
        for (std::size_t i = 0; i != w.size(); ++i)
            w[i] *= static_cast<double>(sigma[i]);
    }
    return w;
}
/// diag(w) m, a copy.
template <class B, real T> buffer_t<B, T> scaled_rows(B & be, cmat<B, T> m, std::span<double const> w) {
    auto out = be.template allocate<T>(m.rows * m.cols);
    for (std::size_t i = 0; i != m.rows; ++i) {
        auto const row = out.view().sub(i * m.cols, m.cols);
        ops::copy(be, m.row(i), row);
        if (w[i] != 1)
            ops::scale(be, static_cast<T>(w[i]), row);
    }
    return out;
}

/// add_delta(be, f, factor, w): w += factor scaling B diag(sigma) A; of w^T if the layer keeps that. Merging is factor
/// 1, unmerging -1: the same product, rounded once into w. Time: 2 out in rank, one pass over w; memory: rank x in.
/// \throws shape_error
struct add_delta_fn {
    /// w is outputs x inputs, or inputs x outputs with `fan_in_fan_out`.
    template <class B, real T, class Q>
        requires matrix_space<B, T>
    void operator()(B & be, factors<B, T> const & f, double factor, mat_view<Q> w, bool fan_in_fan_out = false) const {
        f.expect_valid();
        expects_shape((fan_in_fan_out ? w.cols : w.rows) == f.outputs()
                          && (fan_in_fan_out ? w.rows : w.cols) == f.inputs(),
                      "add_delta: the adapter does not fit the weight");
        if (f.rank() == 0)
            return;
        auto weights = weights_of(be, f);
        auto memory = scaled_rows<B, T>(be, f.a, weights);
        cmat<B, T> const a = as_matrix(memory.view(), f.rank(), f.inputs());
        if (fan_in_fan_out)
            ops::gemm(be, op::transpose, op::transpose, static_cast<T>(factor), a, f.b, T(1), w);
        else
            ops::gemm(be, op::none, op::none, static_cast<T>(factor), f.b, a, T(1), w);
    }
};
/// Adds the change of an adapter to a weight: add_delta_fn.
inline constexpr add_delta_fn add_delta{};

/// delta(be, f, w): w := scaling B diag(sigma) A. \throws shape_error
struct delta_fn {
    /// w is outputs x inputs.
    template <class B, real T, class Q>
        requires matrix_space<B, T>
    void operator()(B & be, factors<B, T> const & f, mat_view<Q> w) const {
        for (std::size_t i = 0; i != w.rows; ++i)
            ops::fill(be, T(0), w.row(i));
        add_delta_fn{}(be, f, 1, w);
    }
};
/// The change of an adapter as a matrix: delta_fn.
inline constexpr delta_fn delta{};

/// A layer at work: the weight (as [outputs, inputs]), a bias or none, and what dropout leaves of the adapter's input
/// (0, or 1 / (1 - p), for every element of x) or nothing.
template <class B, real T> struct layer {
    cmat<B, T> weight;                                     ///< W, outputs x inputs
    std::optional<cvec<B, T>> bias = std::nullopt;         ///< of length outputs
    std::optional<cmat<B, T>> dropout_mask = std::nullopt; ///< as large as x
};

namespace kernels {
/// x y
inline constexpr auto multiply = [](auto const & x, auto const & y) { return x * y; };
} // namespace kernels

/// x times the mask, if there is one, in `memory`.
template <class B, real T>
cmat<B, T> dropped(B & be, cmat<B, T> x, std::optional<cmat<B, T>> const & mask,
                   std::optional<buffer_t<B, T>> & memory) {
    if (!mask)
        return x;
    expects_shape(mask->rows == x.rows && mask->cols == x.cols, "layer: the mask has not the extents of the input");
    memory.emplace(be.template allocate<T>(x.rows * x.cols));
    auto const out = as_matrix(memory->view(), x.rows, x.cols);
    for (std::size_t i = 0; i != x.rows; ++i)
        ops::map<T>(be, kernels::multiply, out.row(i), x.row(i), mask->row(i));
    return out;
}

/// add_forward(be, f, x, y): y += scaling ((x A^T) sigma) B^T, what the adapter alone does with rows x of inputs. Time
/// 2 N rank (out + in). \throws shape_error
struct add_forward_fn {
    /// x is N x inputs, y is N x outputs.
    template <class B, real T, class P, class Q>
        requires matrix_space<B, T>
    void operator()(B & be, factors<B, T> const & f, mat_view<P> x, mat_view<Q> y) const {
        f.expect_valid();
        expects_shape(x.cols == f.inputs() && y.cols == f.outputs() && x.rows == y.rows,
                      "forward: input or output do not fit the adapter");
        if (f.rank() == 0 || x.rows == 0)
            return;
        auto weights = weights_of(be, f);
        auto scaled = scaled_rows<B, T>(be, f.a, weights);
        auto hidden_memory = be.template allocate<T>(x.rows * f.rank());
        auto const hidden = as_matrix(hidden_memory.view(), x.rows, f.rank());
        ops::gemm(be, op::none, op::transpose, T(1), x, as_matrix(scaled.view(), f.rank(), f.inputs()), T(0), hidden);
        ops::gemm(be, op::none, op::transpose, T(1), hidden, f.b, T(1), y);
    }
};
/// Adds what an adapter gives: add_forward_fn.
inline constexpr add_forward_fn add_forward{};

/// y := x W^T + bias, what the layer does without an adapter. \throws shape_error
template <class B, real T, class P, class Q>
    requires matrix_space<B, T>
void base_forward(B & be, layer<B, T> const & at, mat_view<P> x, mat_view<Q> y) {
    expects_shape(!at.bias || at.bias->n == at.weight.rows, "forward: the bias does not fit the weight");
    for (std::size_t t = 0; t != y.rows; ++t)
        if (at.bias)
            ops::copy(be, *at.bias, y.row(t));
    ops::gemm(be, op::none, op::transpose, T(1), x, at.weight, at.bias ? T(1) : T(0), y);
}

/// forward(be, layer, f, x, y): y := x W^T + bias + scaling ((dropout(x) A^T) sigma) B^T for rows x of inputs. Time:
/// 2 N out in + 2 N rank (out + in). \throws shape_error
struct forward_fn {
    /// x is N x inputs; y is N x outputs, and overwritten.
    template <class B, real T, class P, class Q>
        requires matrix_space<B, T>
    void operator()(B & be, layer<B, T> const & at, factors<B, T> const & f, mat_view<P> x, mat_view<Q> y) const {
        f.expect_valid();
        expects_shape(at.weight.rows == f.outputs() && at.weight.cols == f.inputs(),
                      "forward: the adapter does not fit the weight");
        expects_shape(x.cols == f.inputs() && y.cols == f.outputs() && x.rows == y.rows,
                      "forward: input or output do not fit the weight");
        base_forward(be, at, x, y);
        std::optional<buffer_t<B, T>> memory;
        add_forward(be, f, dropped<B, T>(be, x, at.dropout_mask, memory), y);
    }
};
/// What a layer with an adapter gives: forward_fn.
inline constexpr forward_fn forward{};

/// Where gradients go; what is not given is not computed.
template <class B, real T> struct gradients {
    std::optional<mat<B, T>> a,     ///< of A, rank x inputs
        b;                          ///< of B, outputs x rank
    std::optional<vec<B, T>> sigma, ///< of sigma, of length rank
        bias;                       ///< of the layer's bias, of length outputs
    std::optional<mat<B, T>> x;     ///< of the input
};

/// out := the sum of the rows of g, the gradient of a bias. \throws shape_error
template <class B, real T> void sum_rows(B & be, cmat<B, T> g, vec<B, T> out) {
    auto ones = be.template allocate<T>(g.rows);
    ops::fill(be, T(1), ones.view());
    ops::gemm(be, op::none, op::none, T(1), as_matrix(ones.view(), 1, g.rows), g, T(0), as_matrix(out, 1, g.cols));
}

/// add_backward(be, f, x, g, out): the gradients of a function of y = add_forward(x) from g, its gradient by y:
/// dB = s g^T (x A^T sigma), dA = s (g B sigma)^T x, dsigma_i = s <(g B)_i, (x A^T)_i>; s (g B sigma) A is added to
/// what is at out.x; out.bias is not looked at. Time: of add_forward, twice. \throws shape_error; option_error if the
/// gradient of a sigma is asked for that is not there
struct add_backward_fn {
    /// x is N x inputs, as forward took it; g is N x outputs.
    template <class B, real T, class P, class Q>
        requires matrix_space<B, T>
    void operator()(B & be, factors<B, T> const & f, mat_view<P> x, mat_view<Q> g, gradients<B, T> const & out) const {
        f.expect_valid();
        expects_shape(x.cols == f.inputs() && g.cols == f.outputs() && x.rows == g.rows,
                      "backward: input or gradient do not fit the adapter");
        expects_option(!out.sigma || f.sigma, "sigma", "a place for its gradient", "a sigma");
        auto const N = x.rows, r = f.rank();
        auto weights = weights_of(be, f);
        auto scaled_memory = scaled_rows<B, T>(be, f.a, weights);
        auto const scaled = as_matrix(scaled_memory.view(), r, f.inputs());
        auto hidden_memory = be.template allocate<T>(N * r);
        auto const hidden = as_matrix(hidden_memory.view(), N, r);
        if (out.b) {
            ops::gemm(be, op::none, op::transpose, T(1), x, scaled, T(0), hidden);
            ops::gemm(be, op::transpose, op::none, T(1), g, hidden, T(0), *out.b);
        }
        if (out.a || out.sigma || out.x)
            ops::gemm(be, op::none, op::none, T(1), g, f.b, T(0), hidden);
        if (out.x)
            ops::gemm(be, op::none, op::none, T(1), hidden, scaled, T(1), *out.x);
        if (out.a || out.sigma) { // the rows of P^T x give both
            auto product_memory = be.template allocate<T>(r * f.inputs());
            auto const product = as_matrix(product_memory.view(), r, f.inputs());
            ops::gemm(be, op::transpose, op::none, T(1), hidden, x, T(0), product);
            if (out.sigma) {
                std::vector<T> sigma(r);
                for (std::size_t i = 0; i != r; ++i)
                    sigma[i] = static_cast<T>(f.scaling * ops::dot(be, product.row(i), f.a.row(i)));
                be.upload(std::span<T const>{sigma}, *out.sigma);
            }
            if (out.a)
                for (std::size_t i = 0; i != r; ++i) {
                    ops::scale(be, static_cast<T>(weights[i]), product.row(i));
                    ops::copy(be, product.row(i), out.a->row(i));
                }
        }
    }
};
/// Gradients of an adapter: add_backward_fn.
inline constexpr add_backward_fn add_backward{};

/// backward(be, layer, f, x, g, out): the gradients of a function of y = forward(x) from g, its gradient by y: those of
/// add_backward, dx = g W + s (g B sigma) A, dbias = the sum of the rows of g; with dropout, x is the dropped input in
/// all but W's part, and the adapter's part of dx goes through the mask. Time: of forward, and that again without dx.
/// \throws shape_error; option_error if the gradient of a sigma is asked for that is not there
struct backward_fn {
    /// x is N x inputs, as forward took it; g is N x outputs.
    template <class B, real T, class P, class Q>
        requires matrix_space<B, T>
    void operator()(B & be, layer<B, T> const & at, factors<B, T> const & f, mat_view<P> x, mat_view<Q> g,
                    gradients<B, T> const & out) const {
        f.expect_valid();
        expects_shape(at.weight.rows == f.outputs() && at.weight.cols == f.inputs(),
                      "backward: the adapter does not fit the weight");
        std::optional<buffer_t<B, T>> memory;
        auto const input = dropped<B, T>(be, x, at.dropout_mask, memory);
        if (out.x && at.dropout_mask) {
            auto part_memory = be.template allocate<T>(x.rows * x.cols);
            auto const part = as_matrix(part_memory.view(), x.rows, x.cols);
            ops::fill(be, T(0), part_memory.view());
            auto inner = out;
            inner.x = part;
            add_backward(be, f, input, g, inner);
            ops::gemm(be, op::none, op::none, T(1), g, at.weight, T(0), *out.x);
            for (std::size_t t = 0; t != x.rows; ++t) {
                ops::map<T>(be, kernels::multiply, part.row(t), part.row(t), at.dropout_mask->row(t));
                ops::axpy(be, T(1), part.row(t), out.x->row(t));
            }
        } else {
            if (out.x)
                ops::gemm(be, op::none, op::none, T(1), g, at.weight, T(0), *out.x);
            add_backward(be, f, input, g, out);
        }
        if (out.bias)
            sum_rows<B, T>(be, g, *out.bias);
    }
};
/// Gradients of a layer with an adapter: backward_fn.
inline constexpr backward_fn backward{};

/// target's columns from `first` on := factor op(m).
template <class B, real T>
void copy_into_columns(B & be, double factor, op o, cmat<B, T> m, mat<B, T> target, std::size_t first) {
    auto const n = o == op::none ? m.cols : m.rows;
    auto memory = be.template allocate<T>(n * n); // a product with factor I: one operation, whatever the stride
    linalg::host_matrix diagonal(n, n);
    for (std::size_t i = 0; i != n; ++i)
        diagonal(i, i) = factor;
    auto const by = as_matrix(memory.view(), n, n);
    linalg::from_host(be, diagonal, op::none, by);
    ops::gemm(be, o, op::none, T(1), m, by, T(0),
              mat<B, T>(target.data + static_cast<std::ptrdiff_t>(first), target.rows, n, target.ld));
}

/// One adapter for a sum of changes: weight_1 Delta_1 + weight_2 Delta_2 + ... exactly, with scaling 1 and the ranks'
/// sum as rank: A stacks the A's, with all weights, scalings and sigmas, B stands the B's side by side. \throws
/// shape_error; option_error without any
template <class B, real T>
adapter<B, T> stack(B & be, std::span<factors<B, T> const> all, std::span<double const> weights) {
    expects_option(!all.empty(), "adapters", "none", "at least one");
    expects_shape(all.size() == weights.size(), "stack: one weight for each adapter");
    std::size_t rank = 0;
    for (auto const & f : all) {
        f.expect_valid();
        expects_shape(f.outputs() == all[0].outputs() && f.inputs() == all[0].inputs(),
                      "stack: the adapters are for weights of different extents");
        rank += f.rank();
    }
    adapter<B, T> out(be, all[0].outputs(), all[0].inputs(), rank, 1);
    std::size_t first = 0;
    for (std::size_t i = 0; i != all.size(); ++i) {
        auto const & f = all[i];
        auto scales = weights_of(be, f);
        for (std::size_t j = 0; j != f.rank(); ++j) {
            auto const row = out.a().row(first + j);
            ops::copy(be, f.a.row(j), row);
            ops::scale(be, static_cast<T>(weights[i] * scales[j]), row);
        }
        copy_into_columns<B, T>(be, 1, op::none, f.b, out.b(), first);
        first += f.rank();
    }
    return out;
}

} // namespace adapt
LATHE_NAMESPACE_END
