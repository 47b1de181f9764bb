#pragma once
/// \file  The OpenCL 1.2 C interface with owners for its objects and exceptions for its status codes.
#include <lathe/core/error.hpp>

#ifndef CL_TARGET_OPENCL_VERSION
/// The version of OpenCL that its headers declare, as the CMake target has it; for who takes the headers without CMake.
/// All files of a program must agree.
#    define CL_TARGET_OPENCL_VERSION 120
#endif
#include <CL/cl.h>

#include <utility>

LATHE_NAMESPACE_BEGIN
namespace opencl {

/// What no header of version 1.2 names: the loader found no platform at all (cl_khr_icd).
inline constexpr cl_int no_platform = -1001;

/// The name of a status code in the OpenCL headers; empty for what is none of 1.2.
constexpr std::string_view status_name(cl_int code) noexcept {
    switch (code) {
    case CL_SUCCESS: return "CL_SUCCESS";
    case CL_DEVICE_NOT_FOUND: return "CL_DEVICE_NOT_FOUND";
    case CL_DEVICE_NOT_AVAILABLE: return "CL_DEVICE_NOT_AVAILABLE";
    case CL_COMPILER_NOT_AVAILABLE: return "CL_COMPILER_NOT_AVAILABLE";
    case CL_MEM_OBJECT_ALLOCATION_FAILURE: return "CL_MEM_OBJECT_ALLOCATION_FAILURE";
    case CL_OUT_OF_RESOURCES: return "CL_OUT_OF_RESOURCES";
    case CL_OUT_OF_HOST_MEMORY: return "CL_OUT_OF_HOST_MEMORY";
    case CL_PROFILING_INFO_NOT_AVAILABLE: return "CL_PROFILING_INFO_NOT_AVAILABLE";
    case CL_MEM_COPY_OVERLAP: return "CL_MEM_COPY_OVERLAP";
    case CL_BUILD_PROGRAM_FAILURE: return "CL_BUILD_PROGRAM_FAILURE";
    case CL_MAP_FAILURE: return "CL_MAP_FAILURE";
    case CL_MISALIGNED_SUB_BUFFER_OFFSET: return "CL_MISALIGNED_SUB_BUFFER_OFFSET";
    case CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST: return "CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST";
    case CL_COMPILE_PROGRAM_FAILURE: return "CL_COMPILE_PROGRAM_FAILURE";
    case CL_LINKER_NOT_AVAILABLE: return "CL_LINKER_NOT_AVAILABLE";
    case CL_LINK_PROGRAM_FAILURE: return "CL_LINK_PROGRAM_FAILURE";
    case CL_INVALID_VALUE: return "CL_INVALID_VALUE";
    case CL_INVALID_DEVICE_TYPE: return "CL_INVALID_DEVICE_TYPE";
    case CL_INVALID_PLATFORM: return "CL_INVALID_PLATFORM";
    case CL_INVALID_DEVICE: return "CL_INVALID_DEVICE";
    case CL_INVALID_CONTEXT: return "CL_INVALID_CONTEXT";
    case CL_INVALID_QUEUE_PROPERTIES: return "CL_INVALID_QUEUE_PROPERTIES";
    case CL_INVALID_COMMAND_QUEUE: return "CL_INVALID_COMMAND_QUEUE";
    case CL_INVALID_HOST_PTR: return "CL_INVALID_HOST_PTR";
    case CL_INVALID_MEM_OBJECT: return "CL_INVALID_MEM_OBJECT";
    case CL_INVALID_BINARY: return "CL_INVALID_BINARY";
    case CL_INVALID_BUILD_OPTIONS: return "CL_INVALID_BUILD_OPTIONS";
    case CL_INVALID_PROGRAM: return "CL_INVALID_PROGRAM";
    case CL_INVALID_PROGRAM_EXECUTABLE: return "CL_INVALID_PROGRAM_EXECUTABLE";
    case CL_INVALID_KERNEL_NAME: return "CL_INVALID_KERNEL_NAME";
    case CL_INVALID_KERNEL_DEFINITION: return "CL_INVALID_KERNEL_DEFINITION";
    case CL_INVALID_KERNEL: return "CL_INVALID_KERNEL";
    case CL_INVALID_ARG_INDEX: return "CL_INVALID_ARG_INDEX";
    case CL_INVALID_ARG_VALUE: return "CL_INVALID_ARG_VALUE";
    case CL_INVALID_ARG_SIZE: return "CL_INVALID_ARG_SIZE";
    case CL_INVALID_KERNEL_ARGS: return "CL_INVALID_KERNEL_ARGS";
    case CL_INVALID_WORK_DIMENSION: return "CL_INVALID_WORK_DIMENSION";
    case CL_INVALID_WORK_GROUP_SIZE: return "CL_INVALID_WORK_GROUP_SIZE";
    case CL_INVALID_WORK_ITEM_SIZE: return "CL_INVALID_WORK_ITEM_SIZE";
    case CL_INVALID_GLOBAL_OFFSET: return "CL_INVALID_GLOBAL_OFFSET";
    case CL_INVALID_EVENT_WAIT_LIST: return "CL_INVALID_EVENT_WAIT_LIST";
    case CL_INVALID_EVENT: return "CL_INVALID_EVENT";
    case CL_INVALID_OPERATION: return "CL_INVALID_OPERATION";
    case CL_INVALID_BUFFER_SIZE: return "CL_INVALID_BUFFER_SIZE";
    case CL_INVALID_GLOBAL_WORK_SIZE: return "CL_INVALID_GLOBAL_WORK_SIZE";
    case CL_INVALID_PROPERTY: return "CL_INVALID_PROPERTY";
    case no_platform: return "CL_PLATFORM_NOT_FOUND_KHR";
    default: return {};
    }
}

/// "OpenCL: <what>: CL_INVALID_VALUE (-30)", in one line.
inline std::string message(std::string_view what, cl_int code) {
    auto const name = status_name(code);
    return std::string{"OpenCL: "}.append(what).append(": ").append(name).append(name.empty() ? "status " : " (")
           + std::to_string(code) + (name.empty() ? "" : ")");
}
/// \throws device_error unless the status is CL_SUCCESS
inline void check(cl_int code, char const * what) {
    if (code != CL_SUCCESS) [[unlikely]]
        throw device_error{message(what, code), code};
}

/// A share of a counted object of OpenCL, or nothing.
template <class Object, cl_int(CL_API_CALL * Retain)(Object), cl_int(CL_API_CALL * Release)(Object)> class handle {
    Object object_ = nullptr;

public:
    handle() = default;
    /// Takes over the share that a clCreate function gave.
    static handle adopt(Object o) noexcept {
        handle h;
        h.object_ = o;
        return h;
    }
    /// One more share of an object of somebody else.
    static handle share(Object o) noexcept {
        if (o != nullptr)
            Retain(o);
        return adopt(o);
    }
    /// One more share.
    handle(handle const & other) noexcept : object_(other.object_) {
        if (object_ != nullptr)
            Retain(object_);
    }
    /// The other's share: it has nothing afterwards.
    handle(handle && other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
    /// What this had a share of loses it.
    handle & operator=(handle other) noexcept {
        std::swap(object_, other.object_);
        return *this;
    }
    ~handle() {
        if (object_ != nullptr)
            Release(object_);
    }
    /// Without a share of its own; null for nothing.
    [[nodiscard]] Object get() const noexcept { return object_; }
    /// Whether it is a share of something.
    explicit operator bool() const noexcept { return object_ != nullptr; }
};
/// Shares of the objects that the backend makes.
///@{
using memory_handle = handle<cl_mem, clRetainMemObject, clReleaseMemObject>;
using queue_handle = handle<cl_command_queue, clRetainCommandQueue, clReleaseCommandQueue>;
using context_handle = handle<cl_context, clRetainContext, clReleaseContext>;
using program_handle = handle<cl_program, clRetainProgram, clReleaseProgram>;
using kernel_handle = handle<cl_kernel, clRetainKernel, clReleaseKernel>;
using event_handle = handle<cl_event, clRetainEvent, clReleaseEvent>;
///@}

} // namespace opencl
LATHE_NAMESPACE_END
