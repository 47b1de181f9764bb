#pragma once
/// \file  Merging methods on an OpenCL device against Eigen, as they run on a GPU: replay runs the recorded cases as
///        they run on a processor.
#include <lathe/backend/opencl.hpp>

#include "models.hpp"

namespace lathe_test {

/// Runs run(be, sink) on OpenCL with kernels of work-groups and windows moved to the device, and on Eigen. Both have to
/// write the same up to `tolerance` (relative; where an element is stored in 16 bits, and one unit of those).
/// `compare(found, expected)` looks at the results.
template <class Run, class Compare> void on_device_and_host(Run && run, double tolerance, Compare && compare) {
    eigen_backend host(2);
    memory_checkpoint from_host, from_device;
    auto const expected = run(host, from_host);
    opencl_backend device(opencl::options{.shape = opencl::kernel_shape::groups, .share = false});
    auto const found = run(device, from_device);
    check_alike(from_device, from_host, tolerance + 0x1p-23);
    compare(found, expected);
}
template <class Run> void on_device_and_host(Run && run, double tolerance) {
    on_device_and_host(std::forward<Run>(run), tolerance, [](auto const &, auto const &) {});
}
} // namespace lathe_test
