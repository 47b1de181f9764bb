#pragma once
/// \file  Programs for several backends: the backends as names, so that only the translation units of each include its
///        header. For those CMake generates selected_backend.hpp, which defines selected (the name) and selected_backend
///        (the type).
#include <lathe/config.hpp>

#include <concepts>
#include <cstddef>
#include <string_view>

LATHE_NAMESPACE_BEGIN
namespace compiled {

/// Names of the backends, as the targets of CMake and the options of programs have them.
namespace backends {
/// eigen_backend: the processor, products by Eigen.
struct eigen {
    static constexpr std::string_view name = "eigen"; ///< what users write
};
/// xtensor_backend: the processor, over arrays of xtensor.
struct xtensor {
    static constexpr std::string_view name = "xtensor"; ///< what users write
};
/// opencl_backend: devices, through OpenCL.
struct opencl {
    static constexpr std::string_view name = "opencl"; ///< what users write
};
} // namespace backends

/// The names of the backends that a program is built with.
template <class... Backends> struct backend_list {};

/// Backends on the host take a number of threads (0: one for each processor), others a device (empty: the first).
/// \throws what the backend throws
template <class B> B make_backend(std::size_t threads, std::string_view device = {}) {
    if constexpr (std::constructible_from<B, std::size_t>)
        return B(threads);
    else
        return B(device);
}

} // namespace compiled
LATHE_NAMESPACE_END
