#pragma once
/// \file  The least a host backend can be: memory and plain pointers. Everything it does comes from core/host.hpp.
#include <lathe/core/ops.hpp>

#include <vector>

namespace lathe_test {
struct plain_backend {
    template <class T> using pointer = T *;
    template <class T> class buffer {
        std::vector<T> data_;

    public:
        explicit buffer(std::size_t n) : data_(n) {}
        buffer(buffer &&) = default;
        buffer & operator=(buffer &&) = default;
        [[nodiscard]] lathe::vec_view<T *> view() { return {data_.data(), data_.size()}; }
    };
    template <class T> [[nodiscard]] buffer<T> allocate(std::size_t n) { return buffer<T>(n); }
    template <class T> void upload(std::span<T const> s, lathe::vec_view<T *> y) { std::ranges::copy(s, y.data); }
    template <class T> void download(lathe::vec_view<T const *> x, std::span<T> d) {
        std::copy_n(x.data, x.n, d.begin());
    }
    void sync() {}
};
} // namespace lathe_test
