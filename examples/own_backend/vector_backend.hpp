#pragma once
/// \file  A backend of one's own: memory from the C++ allocator, one thread. Its pointers are plain, so the library
///        runs kernels and products on what they point to.
#include <lathe/core/ops.hpp>
#include <lathe/testing/explain.hpp>

#include <vector>

class vector_backend {
public:
    template <class T> using pointer = T *;
    template <class T> class buffer {
        std::vector<T> elements_;

    public:
        explicit buffer(std::size_t n) : elements_(n) {}
        lathe::vec_view<T *> view() { return {elements_.data(), elements_.size()}; }
    };
    template <class T> buffer<T> allocate(std::size_t n) { return buffer<T>(n); }
    template <lathe::real T> void upload(std::span<T const> from, lathe::vec_view<T *> to) {
        std::ranges::copy(from, to.data);
    }
    template <lathe::real T> void download(lathe::vec_view<T const *> from, std::span<T> to) {
        std::copy_n(from.data, from.n, to.begin());
    }
    void sync() {}
};
// One short message for each operation that is missing.
static_assert(lathe::testing::explain<vector_backend, float, lathe::testing::floor::matrix_space>());
