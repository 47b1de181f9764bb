#pragma once
/// \file  The source of ops::softmax_rows in OpenCL C. Right for groups of any power of two.
#include <lathe/core/scalar.hpp>

#include <string>

LATHE_NAMESPACE_BEGIN
namespace opencl {

/// One kernel, softmax_rows: a work-group to a row, one T of local memory for each work-item.
template <real T> std::string softmax_source() {
    std::string source = std::same_as<T, double> ? "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\ntypedef double T;\n"
                                                 : "typedef float T;\n";
    return source + R"(
#pragma OPENCL FP_CONTRACT OFF
__kernel void softmax_rows(__global T * x, const ulong offset, const ulong rows, const ulong cols, const ulong ld,
                           __local T * scratch) {
    const size_t lane = get_local_id(0), lanes = get_local_size(0);
    for (ulong r = get_group_id(0); r < rows; r += get_num_groups(0)) {
        __global T * const row = x + offset + r * ld;
        T top = -INFINITY;
        for (ulong c = lane; c < cols; c += lanes)
            top = fmax(top, row[c]);
        scratch[lane] = top;
        for (size_t half_ = lanes / 2; half_ != 0; half_ /= 2) {
            barrier(CLK_LOCAL_MEM_FENCE);
            if (lane < half_)
                scratch[lane] = fmax(scratch[lane], scratch[lane + half_]);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        top = scratch[0];
        barrier(CLK_LOCAL_MEM_FENCE);
        T sum = 0;
        for (ulong c = lane; c < cols; c += lanes) {
            const T e = exp(row[c] - top);
            row[c] = e;
            sum += e;
        }
        scratch[lane] = sum;
        for (size_t half_ = lanes / 2; half_ != 0; half_ /= 2) {
            barrier(CLK_LOCAL_MEM_FENCE);
            if (lane < half_)
                scratch[lane] += scratch[lane + half_];
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        sum = scratch[0];
        for (ulong c = lane; c < cols; c += lanes)
            row[c] /= sum;
        barrier(CLK_LOCAL_MEM_FENCE);
    }
}
)";
}

} // namespace opencl
LATHE_NAMESPACE_END
