#pragma once
/// \file  The OpenCL devices of the machine, and the choice of one.
#include <lathe/backend/opencl/api.hpp>

#include <algorithm>
#include <cstdlib>
#include <vector>

LATHE_NAMESPACE_BEGIN
namespace opencl {

/// One device, and what the backend needs to know of it.
struct device {
    std::size_t index = 0;             ///< among all devices, platform by platform: what LATHE_OPENCL_DEVICE may say
    cl_platform_id platform = nullptr; ///< it belongs to
    cl_device_id id = nullptr;         ///< what OpenCL knows it by
    cl_device_type type = 0;           ///< bits CL_DEVICE_TYPE_...
    std::string name,                  ///< of the device, as its vendor gives it
        vendor,                        ///< of the device
        version,                       ///< of OpenCL
        driver;                        ///< its version
    std::string platform_name,         ///< of the platform
        platform_version;              ///< of OpenCL, and the platform's own
    std::size_t compute_units = 1;     ///< what work-groups run on, side by side
    std::size_t global_memory = 0;     ///< bytes
    std::size_t largest_buffer = 0;    ///< bytes
    std::size_t local_memory = 0;      ///< bytes
    std::size_t work_group_size = 1;   ///< largest
    std::size_t parameter_bytes = 0;   ///< largest size of all arguments of a kernel together
    bool fp64 = false;                 ///< arithmetic in double
    bool correctly_rounded = false;    ///< float quotients and roots can be
    [[nodiscard]] bool is_gpu() const noexcept { return (type & CL_DEVICE_TYPE_GPU) != 0; } ///< by its type
    [[nodiscard]] bool is_cpu() const noexcept { return (type & CL_DEVICE_TYPE_CPU) != 0; } ///< by its type
};

/// A number or another plain property. \throws device_error
template <class Value> Value device_info(cl_device_id id, cl_device_info what) {
    Value v{};
    check(clGetDeviceInfo(id, what, sizeof v, &v, nullptr), "clGetDeviceInfo");
    return v;
}
/// A property that is text, of a device (clGetDeviceInfo) or a platform (clGetPlatformInfo). \throws device_error
template <class Object, class Info> std::string text_info(Info info, Object object, cl_uint what) {
    std::size_t size = 0;
    check(info(object, what, 0, nullptr, &size), "query of a name");
    std::string text(size, '\0');
    check(info(object, what, size, text.data(), nullptr), "query of a name");
    text.resize(std::min(size, text.find('\0')));
    return text;
}

/// What there is to know of a device. \throws device_error
inline device describe(cl_device_id id) {
    device d;
    d.id = id;
    d.platform = device_info<cl_platform_id>(id, CL_DEVICE_PLATFORM);
    d.type = device_info<cl_device_type>(id, CL_DEVICE_TYPE);
    d.name = text_info(clGetDeviceInfo, id, CL_DEVICE_NAME);
    d.vendor = text_info(clGetDeviceInfo, id, CL_DEVICE_VENDOR);
    d.version = text_info(clGetDeviceInfo, id, CL_DEVICE_VERSION);
    d.driver = text_info(clGetDeviceInfo, id, CL_DRIVER_VERSION);
    d.platform_name = text_info(clGetPlatformInfo, d.platform, CL_PLATFORM_NAME);
    d.platform_version = text_info(clGetPlatformInfo, d.platform, CL_PLATFORM_VERSION);
    d.compute_units = std::max<std::size_t>(1, device_info<cl_uint>(id, CL_DEVICE_MAX_COMPUTE_UNITS));
    d.global_memory = device_info<cl_ulong>(id, CL_DEVICE_GLOBAL_MEM_SIZE);
    d.largest_buffer = device_info<cl_ulong>(id, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
    d.local_memory = device_info<cl_ulong>(id, CL_DEVICE_LOCAL_MEM_SIZE);
    d.work_group_size = std::max<std::size_t>(1, device_info<std::size_t>(id, CL_DEVICE_MAX_WORK_GROUP_SIZE));
    d.parameter_bytes = device_info<std::size_t>(id, CL_DEVICE_MAX_PARAMETER_SIZE);
    auto const extensions = " " + text_info(clGetDeviceInfo, id, CL_DEVICE_EXTENSIONS) + " ";
    d.fp64 = extensions.find(" cl_khr_fp64 ") != std::string::npos;
    d.correctly_rounded =
        (device_info<cl_device_fp_config>(id, CL_DEVICE_SINGLE_FP_CONFIG) & CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT) != 0;
    return d;
}

/// All devices of all platforms, in the order of the loader; none if there is no platform or no device.
/// \throws device_error if OpenCL itself fails
inline std::vector<device> devices() {
    std::vector<device> all;
    cl_uint count = 0;
    if (auto const status = clGetPlatformIDs(0, nullptr, &count); status == no_platform || count == 0)
        return all;
    else
        check(status, "clGetPlatformIDs");
    std::vector<cl_platform_id> platforms(count);
    check(clGetPlatformIDs(count, platforms.data(), nullptr), "clGetPlatformIDs");
    for (auto const platform : platforms) {
        cl_uint here = 0;
        auto const status = clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, nullptr, &here);
        if (status == CL_DEVICE_NOT_FOUND || (status == CL_SUCCESS && here == 0))
            continue;
        check(status, "clGetDeviceIDs");
        std::vector<cl_device_id> ids(here);
        check(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, here, ids.data(), nullptr), "clGetDeviceIDs");
        for (auto const id : ids) {
            all.push_back(describe(id));
            all.back().index = all.size() - 1;
        }
    }
    return all;
}

/// Lower case, of the letters A to Z.
inline std::string lower_case(std::string_view text) {
    std::string lower{text};
    for (auto & c : lower)
        if (c >= 'A' && c <= 'Z')
            c = static_cast<char>(c - 'A' + 'a');
    return lower;
}

/// The device that `wanted` names: its index, or a part of its name in any case. Empty: what LATHE_OPENCL_DEVICE says;
/// without that the first GPU, without one the first device.
/// \throws device_error (CL_PLATFORM_NOT_FOUND_KHR, CL_DEVICE_NOT_FOUND) if there is none; option_error if none is
/// called so
inline device choose_device(std::string_view wanted = {}) {
    auto const all = devices();
    if (all.empty()) {
        cl_uint platforms = 0;
        clGetPlatformIDs(0, nullptr, &platforms);
        auto const code = platforms == 0 ? no_platform : CL_DEVICE_NOT_FOUND;
        throw device_error{
            message(platforms == 0 ? "there is no platform: no driver (ICD) is installed" : "no platform has a device",
                    code),
            code};
    }
    std::string_view option = "opencl device";
    if (wanted.empty())
        if (char const * const variable = std::getenv("LATHE_OPENCL_DEVICE"); variable != nullptr) {
            wanted = variable;
            option = "LATHE_OPENCL_DEVICE";
        }
    if (wanted.empty()) {
        auto const gpu = std::ranges::find_if(all, &device::is_gpu);
        return gpu != all.end() ? *gpu : all.front();
    }
    auto const part = lower_case(wanted);
    for (auto const & d : all)
        if (std::to_string(d.index) == part)
            return d;
    for (auto const & d : all)
        if (part.find_first_not_of("0123456789") != std::string::npos
            && lower_case(d.name).find(part) != std::string::npos)
            return d;
    std::string expected = "an index or a part of a name of:";
    for (auto const & d : all)
        expected.append(" ").append(std::to_string(d.index)).append(" ").append(d.name).append(";");
    expected.pop_back();
    expects_option(false, option, std::string{wanted}, expected);
    return all.front();
}

} // namespace opencl
LATHE_NAMESPACE_END
