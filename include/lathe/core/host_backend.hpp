#pragma once
/// \file  What backends in host memory have in common: an executor, plain pointers, copies.
#include <lathe/core/error.hpp>
#include <lathe/core/executor.hpp>
#include <lathe/core/scalar.hpp>
#include <lathe/core/view.hpp>

LATHE_NAMESPACE_BEGIN

/// Base of a backend whose memory is the host's, with kernels and products on the threads of E. Buffer<T>(n) owns n
/// elements and gives their view().
template <executor E, template <class> class Buffer> class host_backend {
    E executor_;

public:
    template <class T> using pointer = T *;      ///< plain, so that kernels run on the host
    template <class T> using buffer = Buffer<T>; ///< owns elements

    /// One thread.
    host_backend() = default;
    /// \param threads counts the caller; 0 means one per processor.
    explicit host_backend(std::size_t threads)
        requires std::constructible_from<E, std::size_t>
        : executor_(threads) {}
    /// The caller's executor.
    explicit host_backend(E e) : executor_(std::move(e)) {}

    /// What kernels and products run on.
    [[nodiscard]] E & executor() noexcept { return executor_; }

    /// n elements, of unspecified value. \throws std::bad_alloc
    template <class T> [[nodiscard]] buffer<T> allocate(std::size_t n) { return buffer<T>(n); }
    /// Copies. \throws shape_error if the extents differ
    template <real T> void upload(std::span<T const> from, vec_view<T *> to) {
        expects_shape(from.size() == to.n, "upload: the extents differ");
        std::copy(from.begin(), from.end(), to.data);
    }
    /// Copies. \throws shape_error if the extents differ
    template <real T> void download(vec_view<T const *> from, std::span<T> to) {
        expects_shape(to.size() == from.n, "download: the extents differ");
        std::copy_n(from.data, from.n, to.begin());
    }
    /// Nothing is ever under way.
    void sync() noexcept {}
};

LATHE_NAMESPACE_END
