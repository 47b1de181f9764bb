#pragma once
/// \file  What the tests of the OpenCL backend share.
#include <lathe/backend/opencl.hpp>

#include "catch.hpp"
#include "temporary_folder.hpp"

namespace lathe_test {
using namespace lathe;
using opencl::kernel_shape;

/// Vectors on a device.
template <class T> class device_vectors {
    opencl_backend & be_;
    std::vector<opencl::buffer<T>> buffers_;

public:
    explicit device_vectors(opencl_backend & be) : be_(be) {}
    vec<opencl_backend, T> add(std::span<T const> values) {
        auto const to = buffers_.emplace_back(be_.allocate<T>(values.size())).view();
        be_.upload(values, to);
        return to;
    }
};
template <class T> std::vector<T> download(opencl_backend & be, vec<opencl_backend, T> x) {
    std::vector<T> host(x.n);
    be.download(cvec<opencl_backend, T>(x), std::span<T>{host});
    return host;
}
/// n numbers in [-1, 1).
template <class T> std::vector<T> numbers(std::size_t n, std::uint32_t salt) {
    random::uniform_stream const u{3, salt, 0};
    std::vector<T> x(n);
    for (std::size_t i = 0; i != n; ++i)
        x[i] = static_cast<T>(2 * static_cast<double>(u[i]) - 1);
    return x;
}
} // namespace lathe_test
