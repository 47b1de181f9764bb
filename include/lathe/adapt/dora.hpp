#pragma once
/// \file  DoRA (Liu et al. 2024): magnitude and direction of every output apart. V = W + s B A, c_i = g_i / |V_i|,
///        y = c (x V^T) + bias; |V_i| counts as a constant in the backward pass.
#include <lathe/adapt/factors.hpp>

LATHE_NAMESPACE_BEGIN
namespace adapt {

/// |V_i| for every output i, without V: |W_i|^2 + 2 s (W A^T)_i B_i + s^2 B_i (A A^T) B_i^T. Time 2 out in rank;
/// memory 2 out rank. With the B of the beginning, 0, the magnitudes to start from. Blocks. \throws shape_error,
/// non_finite_error
template <class B, real T>
    requires matrix_space<B, T>
std::vector<double> dora_norms(B & be, cmat<B, T> w, factors<B, T> const & f) {
    f.expect_valid();
    expects_shape(w.rows == f.outputs() && w.cols == f.inputs(), "dora_norms: the adapter does not fit the weight");
    auto const m = w.rows, r = f.rank();
    auto scales = weights_of(be, f);
    auto scaled_memory = scaled_rows<B, T>(be, f.a, scales);
    cmat<B, T> const a = as_matrix(scaled_memory.view(), r, f.inputs());
    auto product_memory = be.template allocate<T>(m * r), gram_memory = be.template allocate<T>(r * r);
    auto const product = as_matrix(product_memory.view(), m, r), gram = as_matrix(gram_memory.view(), r, r);
    ops::gemm(be, op::none, op::transpose, T(1), w, a, T(0), product);
    ops::gemm(be, op::none, op::transpose, T(1), a, a, T(0), gram);
    ops::gemm(be, op::none, op::none, T(1), f.b, gram, T(2), product); // 2 W A^T + B A A^T
    auto const p = linalg::to_host(be, product, op::none, "dora_norms: W A^T"),
               b = linalg::to_host(be, f.b, op::none, "dora_norms: B");
    std::vector<double> out(m);
    for (std::size_t i = 0; i != m; ++i)
        out[i] =
            std::sqrt(std::max(0.0, ops::dot(be, w.row(i), w.row(i)) + linalg::dot(p.row(i), b.row(i), p.stride())));
    return out;
}

/// A layer under DoRA. What it holds is of the adapter and the weight as they were when it was made.
template <class B, real T> class dora_layer {
    layer<B, T> at_;
    factors<B, T> f_;
    std::vector<double> norms_, magnitude_;
    std::optional<buffer_t<B, T>> c_;

    void expect_fit(std::size_t rows_in, std::size_t cols_in, std::size_t rows_out, std::size_t cols_out) const {
        expects_shape(cols_in == f_.inputs() && cols_out == f_.outputs() && rows_in == rows_out,
                      "dora: input or output do not fit the weight");
    }
    static void scale_columns(B & be, mat<B, T> y, cvec<B, T> c) {
        for (std::size_t t = 0; t != y.rows; ++t)
            ops::map<T>(be, kernels::multiply, y.row(t), y.row(t), c);
    }
    [[nodiscard]] double ratio(std::size_t i) const { return norms_[i] > 0 ? magnitude_[i] / norms_[i] : 1; }

public:
    /// \param magnitude g, one for each output. An output whose V is 0 keeps c = 1. \throws shape_error,
    /// non_finite_error
    dora_layer(B & be, layer<B, T> const & at, factors<B, T> const & f, cvec<B, T> magnitude)
        : at_{at}, f_{f}, norms_(dora_norms(be, at.weight, f)), magnitude_(norms_.size()) {
        expects_shape(magnitude.n == norms_.size(), "dora: one magnitude for each output");
        std::vector<T> values(magnitude.n);
        be.download(magnitude, std::span<T>{values});
        std::ranges::copy(values, magnitude_.begin());
        for (std::size_t i = 0; i != values.size(); ++i)
            values[i] = static_cast<T>(ratio(i));
        c_.emplace(be.template allocate<T>(values.size()));
        be.upload(std::span<T const>{values}, c_->view());
    }
    /// |V_i| of every output, V = W + scaling B diag(sigma) A.
    [[nodiscard]] std::span<double const> norms() const noexcept { return norms_; }

    /// y := c (x V^T) + bias; under dropout c (dropped x) V^T + (x - dropped x) W^T + bias, as PEFT does.
    void forward(B & be, cmat<B, T> x, mat<B, T> y) {
        expect_fit(x.rows, x.cols, y.rows, y.cols);
        std::optional<buffer_t<B, T>> memory;
        auto const input = dropped<B, T>(be, x, at_.dropout_mask, memory);
        adapt::forward(be, layer<B, T>{at_.weight}, f_, input, y);
        scale_columns(be, y, c_->view());
        if (at_.dropout_mask) {
            auto const rest = as_matrix(memory->view(), x.rows, x.cols);
            for (std::size_t t = 0; t != x.rows; ++t)
                ops::axpby(be, T(1), x.row(t), T(-1), rest.row(t));
            ops::gemm(be, op::none, op::transpose, T(1), rest, at_.weight, T(1), y);
        }
        if (at_.bias)
            for (std::size_t t = 0; t != y.rows; ++t)
                ops::axpy(be, T(1), *at_.bias, y.row(t));
    }
    /// The gradients of adapt::backward, and of g. Time: of it, and 2 N out in for g.
    void backward(B & be, cmat<B, T> x, cmat<B, T> g, gradients<B, T> const & out,
                  std::optional<vec<B, T>> magnitude = std::nullopt) {
        expect_fit(x.rows, x.cols, g.rows, g.cols);
        std::optional<buffer_t<B, T>> memory;
        auto const input = dropped<B, T>(be, x, at_.dropout_mask, memory);
        auto scaled_memory = be.template allocate<T>(g.rows * g.cols);
        auto const scaled = as_matrix(scaled_memory.view(), g.rows, g.cols);
        if (magnitude) {
            expects_shape(magnitude->n == norms_.size(), "dora: one gradient for each magnitude");
            adapt::forward(be, layer<B, T>{at_.weight}, f_, input, scaled);
            std::vector<T> row(g.cols), of_g(g.cols);
            std::vector<double> sum(g.cols);
            for (std::size_t t = 0; t != g.rows; ++t) {
                be.download(cvec<B, T>(scaled.row(t)), std::span<T>{row});
                be.download(g.row(t), std::span<T>{of_g});
                for (std::size_t i = 0; i != row.size(); ++i)
                    sum[i] += static_cast<double>(row[i]) * static_cast<double>(of_g[i]);
            }
            for (std::size_t i = 0; i != row.size(); ++i)
                row[i] = static_cast<T>(norms_[i] > 0 ? sum[i] / norms_[i] : 0);
            be.upload(std::span<T const>{row}, *magnitude);
        }
        for (std::size_t t = 0; t != g.rows; ++t)
            ops::copy(be, g.row(t), scaled.row(t));
        scale_columns(be, scaled, c_->view());
        auto inner = out;
        inner.bias.reset();
        adapt::backward(be, layer<B, T>{at_.weight}, f_, input, cmat<B, T>(scaled), inner);
        if (out.x && at_.dropout_mask) { // mask (g~ V - g W) + g W
            auto whole_memory = be.template allocate<T>(x.rows * x.cols);
            auto const whole = as_matrix(whole_memory.view(), x.rows, x.cols);
            ops::gemm(be, op::none, op::none, T(1), g, at_.weight, T(0), whole);
            for (std::size_t t = 0; t != x.rows; ++t) {
                ops::axpy(be, T(-1), whole.row(t), out.x->row(t));
                ops::map<T>(be, kernels::multiply, out.x->row(t), out.x->row(t), at_.dropout_mask->row(t));
                ops::axpy(be, T(1), whole.row(t), out.x->row(t));
            }
        }
        if (out.bias)
            sum_rows<B, T>(be, g, *out.bias);
    }
    /// w, the weight, := diag(c) V.
    void merge(B & be, mat<B, T> w) {
        add_delta(be, f_, 1, w);
        for (std::size_t i = 0; i != w.rows; ++i)
            ops::scale(be, static_cast<T>(ratio(i)), w.row(i));
    }
    /// Back again, to rounding. \throws singular_error for an output of magnitude 0: what it was is lost
    void unmerge(B & be, mat<B, T> w) {
        for (std::size_t i = 0; i != w.rows; ++i)
            if (ratio(i) == 0)
                throw singular_error{"dora: the magnitude of output " + std::to_string(i)
                                     + " is 0, it cannot be unmerged"};
        for (std::size_t i = 0; i != w.rows; ++i)
            ops::scale(be, static_cast<T>(1 / ratio(i)), w.row(i));
        add_delta(be, f_, -1, w);
    }
};

} // namespace adapt
LATHE_NAMESPACE_END
