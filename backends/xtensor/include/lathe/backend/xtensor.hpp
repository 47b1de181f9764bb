#pragma once
/// \file  CPU backend over xtensor: containers, adaptors and views of the caller are operands without a copy. Kernels,
///        products and factorisations are the library's own (core/host.hpp, core/gemm.hpp, linalg), because xtensor has
///        expressions, whose reductions stay scalar, and no products without a BLAS.
#include <lathe/core/checkpoint.hpp>
#include <lathe/core/host_backend.hpp>
#include <lathe/core/ops.hpp>

#include <xtensor/xadapt.hpp>
#include <xtensor/xtensor.hpp>

LATHE_NAMESPACE_BEGIN

/// Owns n elements, of unspecified value.
template <class T> class xtensor_buffer {
    xt::uvector<T> elements_;

public:
    /// \throws std::bad_alloc
    explicit xtensor_buffer(std::size_t n) : elements_(n) {}
    /// All of it; the view is good as long as the buffer is.
    [[nodiscard]] vec_view<T *> view() noexcept { return {elements_.data(), elements_.size()}; }
};

/// Host memory in xtensor's buffers, kernels on the threads of E.
template <executor E = thread_pool> class basic_xtensor_backend : public host_backend<E, xtensor_buffer> {
public:
    static constexpr char const * name = "xtensor"; ///< as programs show it
    using host_backend<E, xtensor_buffer>::host_backend;

    /// The elements of a container, adaptor or view, in the order they lie in memory. \throws shape_error if they do
    /// not lie side by side
    template <class X>
        requires xt::has_data_interface<std::remove_const_t<X>>::value
    [[nodiscard]] static auto view(X & x) {
        expects_shape(x.is_contiguous(), "xtensor_backend::view: the elements do not lie side by side");
        return vec_view(x.data() + x.data_offset(), x.size());
    }
    /// A row-major array of two dimensions, or a view of one whose rows are whole. \throws shape_error for others
    template <class X>
        requires xt::has_data_interface<std::remove_const_t<X>>::value
    [[nodiscard]] static auto matrix(X & x) {
        expects_shape(x.dimension() == 2, "xtensor_backend::matrix: the array has not two dimensions");
        auto const rows = static_cast<std::size_t>(x.shape()[0]), cols = static_cast<std::size_t>(x.shape()[1]);
        // The stride of a dimension of one element is 0.
        auto const row = rows > 1 ? x.strides()[0] : static_cast<std::ptrdiff_t>(cols);
        expects_shape((cols <= 1 || x.strides()[1] == 1) && row >= static_cast<std::ptrdiff_t>(cols),
                      "xtensor_backend::matrix: the rows do not lie side by side");
        return mat_view(x.data() + x.data_offset(), rows, cols, static_cast<std::size_t>(row));
    }
    /// A view as an xtensor expression that can be read, and written if its elements can. Nothing is copied.
    /// (xt::adapt would refer to a named pointer, hence the +.)
    template <class T> [[nodiscard]] static auto array(vec_view<T *> v) {
        return xt::adapt(+v.data, v.n, xt::no_ownership(), std::array<std::size_t, 1>{v.n});
    }
    /// \throws shape_error if there are gaps between the rows: xtensor's adaptors write over them
    template <class T> [[nodiscard]] static auto array(mat_view<T *> m) {
        expects_shape(m.ld == m.cols || m.rows <= 1, "xtensor_backend::array: there are gaps between the rows");
        return xt::adapt(+m.data, m.rows * m.cols, xt::no_ownership(), std::array<std::size_t, 2>{m.rows, m.cols});
    }
};

/// On a pool of threads.
using xtensor_backend = basic_xtensor_backend<>;

/// Whether the elements lie row after row without gaps. A dimension of one element has no stride.
template <class X> [[nodiscard]] bool is_row_major(X const & x) {
    std::ptrdiff_t next = 1;
    for (auto d = x.dimension(); d-- != 0;) {
        if (x.shape()[d] > 1 && x.strides()[d] != next)
            return false;
        next *= static_cast<std::ptrdiff_t>(x.shape()[d]);
    }
    return true;
}

/// Makes an array a tensor of the checkpoint, with its shape. Nothing is copied. \throws shape_error if the elements
/// are not row after row, without gaps; and what borrowed_checkpoint::add throws
template <class X>
    requires xt::has_data_interface<X>::value && real<typename X::value_type>
void add_array(borrowed_checkpoint & to, std::string name, X const & x) {
    expects_shape(x.size() == 0 || is_row_major(x), "add_array: the elements are not row after row without gaps");
    to.add(std::move(name), shape(x.shape().begin(), x.shape().end()),
           std::span<typename X::value_type const>(x.data() + x.data_offset(), x.size()));
}
/// A tensor of a checkpoint in memory as an xtensor expression of N dimensions. Nothing is copied.
/// \throws mismatch_error if there is no such tensor, or it has another type or number of dimensions
template <real T, std::size_t N> [[nodiscard]] auto array_of(memory_checkpoint & from, std::string_view name) {
    auto const index = from.find(name);
    if (!index)
        throw mismatch_error{"tensor '" + std::string{name} + "': found none in " + std::string{from.label()}};
    auto const & info = from.tensors()[*index];
    if (info.type != dtype_of<T> || info.extents.size() != N)
        throw mismatch_error{"tensor '" + info.name + "': found " + std::string{name_of(info.type)} + " "
                             + to_string(info.extents) + ", expected " + std::string{name_of(dtype_of<T>)} + " of "
                             + std::to_string(N) + " dimensions"};
    std::array<std::size_t, N> extents{};
    std::ranges::copy(info.extents, extents.begin());
    return xt::adapt(reinterpret_cast<T *>(from.bytes(*index).data()), info.count(), xt::no_ownership(), extents);
}

LATHE_NAMESPACE_END
