#pragma once
/// \file  CPU backend over Eigen. Kernels are those of core/host.hpp; products and factorisations are Eigen's.
#include <lathe/core/host_backend.hpp>
#include <lathe/core/ops.hpp>

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <Eigen/QR>
#include <Eigen/SVD>

LATHE_NAMESPACE_BEGIN

/// Owns n elements, of unspecified value.
template <class T> class array_buffer {
    std::unique_ptr<T[]> data_;
    std::size_t n_;

public:
    /// \throws std::bad_alloc
    explicit array_buffer(std::size_t n) : data_{new T[n]}, n_{n} {}
    /// All of it; the view is good as long as the buffer is.
    [[nodiscard]] vec_view<T *> view() noexcept { return {data_.get(), n_}; }
};

/// Host memory, Eigen's products and factorisations, kernels on the threads of E. Any contiguous memory is an operand
/// without a copy: Eigen::Map and Eigen vectors through `view`, std::span through `view_of`, files through a memory
/// map.
template <executor E = thread_pool> class basic_eigen_backend : public host_backend<E, array_buffer> {
    template <class T> using row_major = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    template <class T> static auto as_eigen(mat_view<T *> m) {
        using matrix = std::conditional_t<std::is_const_v<T>, row_major<std::remove_const_t<T>> const, row_major<T>>;
        return Eigen::Map<matrix, Eigen::Unaligned, Eigen::OuterStride<>>(
            m.data, static_cast<Eigen::Index>(m.rows), static_cast<Eigen::Index>(m.cols),
            Eigen::OuterStride<>(static_cast<Eigen::Index>(m.ld)));
    }

public:
    static constexpr char const * name = "eigen"; ///< as programs show it
    using host_backend<E, array_buffer>::host_backend;

    /// A dense Eigen vector, matrix or map with contiguous storage, as a vector of its coefficients in storage order.
    template <class Derived> [[nodiscard]] static auto view(Eigen::DenseBase<Derived> & x) {
        return vec_view(x.derived().data(), static_cast<std::size_t>(x.size()));
    }
    /// The same, to be read only.
    template <class Derived> [[nodiscard]] static auto view(Eigen::DenseBase<Derived> const & x) {
        return vec_view(x.derived().data(), static_cast<std::size_t>(x.size()));
    }

    /// C = a op(A) op(B) + b C. Rows of C are shared out to the threads in blocks.
    template <real T>
    void gemm(op oa, op ob, T alpha, mat_view<T const *> a, mat_view<T const *> b, T beta, mat_view<T *> c) {
        std::size_t const block = 256; // rows of C: large enough for Eigen's blocking, fixed for reproducibility
        this->executor().parallel_for((c.rows + block - 1) / block, [&](std::size_t i) {
            auto const first = i * block, rows = std::min(block, c.rows - first);
            auto const part_a = oa == op::none ? mat_view<T const *>(a.data + first * a.ld, rows, a.cols, a.ld)
                                               : mat_view<T const *>(a.data + first, a.rows, rows, a.ld);
            auto out = as_eigen(mat_view<T *>(c.data + first * c.ld, rows, c.cols, c.ld));
            auto const run = [&](auto const & x, auto const & y) {
                if (beta == T(0))
                    out.noalias() = alpha * (x * y);
                else {
                    if (beta != T(1))
                        out *= beta;
                    out.noalias() += alpha * (x * y);
                }
            };
            auto const x = as_eigen(part_a);
            auto const y = as_eigen(b);
            if (oa == op::none)
                ob == op::none ? run(x, y) : run(x, y.transpose());
            else
                ob == op::none ? run(x.transpose(), y) : run(x.transpose(), y.transpose());
        });
    }

    /// A = left^T diag(s) right, thin, in double. A much longer side is first reduced to the shorter one.
    /// Compiling it takes 20 s where it is used. \returns whether Eigen's divide and conquer succeeded
    template <real T> bool svd(mat_view<T const *> a, mat_view<T *> left, std::span<double> s, mat_view<T *> right) {
        using matrix = Eigen::MatrixXd;
        bool const wide = a.rows < a.cols;
        auto const & long_side = wide ? right : left;
        auto const & short_side = wide ? left : right;
        matrix m = wide ? matrix(as_eigen(a).transpose().template cast<double>())
                        : matrix(as_eigen(a).template cast<double>());
        Eigen::HouseholderQR<matrix> qr;
        bool const reduce = m.rows() >= 2 * m.cols();
        if (reduce) {
            qr.compute(m);
            m = qr.matrixQR().topRows(m.cols()).template triangularView<Eigen::Upper>();
        }
        Eigen::BDCSVD<matrix> const solver(m, Eigen::ComputeThinU | Eigen::ComputeThinV);
        if (solver.info() != Eigen::Success || !solver.matrixU().allFinite() || !solver.matrixV().allFinite())
            return false;
        std::ranges::copy_n(solver.singularValues().data(), static_cast<std::ptrdiff_t>(s.size()), s.begin());
        as_eigen(short_side) = solver.matrixV().transpose().template cast<T>();
        if (reduce) {
            m = matrix::Identity(qr.rows(), m.cols()) * solver.matrixU();
            m.applyOnTheLeft(qr.householderQ());
            as_eigen(long_side) = m.transpose().template cast<T>();
        } else
            as_eigen(long_side) = solver.matrixU().transpose().template cast<T>();
        return true;
    }

    /// op(x) := (A + ridge I)^-1 op(x) for a symmetric positive definite matrix of which the lower triangle is read, in
    /// double. \returns the smallest pivot as a part of its diagonal element; not positive if there is no factorisation
    template <real T> double solve_spd(mat_view<T const *> a, double ridge, op o, mat_view<T *> x) {
        using matrix = Eigen::MatrixXd;
        matrix m = as_eigen(a).template cast<double>();
        m.diagonal().array() += ridge;
        Eigen::VectorXd const diagonal = m.diagonal();
        Eigen::LLT<Eigen::Ref<matrix>, Eigen::Lower> const solver(m); // in its place
        if (solver.info() != Eigen::Success || !(diagonal.minCoeff() > 0))
            return 0;
        matrix y = o == op::none ? matrix(as_eigen(x).template cast<double>())
                                 : matrix(as_eigen(x).transpose().template cast<double>());
        solver.solveInPlace(y);
        if (o == op::none)
            as_eigen(x) = y.template cast<T>();
        else
            as_eigen(x) = y.transpose().template cast<T>();
        return (solver.matrixLLT().diagonal().array().square() / diagonal.array()).minCoeff();
    }
};

/// On a pool of threads.
using eigen_backend = basic_eigen_backend<>;

LATHE_NAMESPACE_END
