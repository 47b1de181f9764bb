#pragma once
/// \file  What backends on one context share: the device, its programs, and how CLBlast is set up for it.
#include <lathe/backend/opencl/program_cache.hpp>

#include <clblast.h>

LATHE_NAMESPACE_BEGIN
namespace opencl {

/// CLBlast by itself chooses parameters for GPUs; on a processor these are 5 to 10 times faster. Once a device and
/// process.
inline void tune_products(device const & d) {
    if (!d.is_cpu())
        return;
    static std::mutex mutex;
    static std::vector<cl_device_id> done;
    std::lock_guard const lock{mutex};
    if (std::ranges::find(done, d.id) != done.end())
        return;
    done.push_back(d.id);
    for (auto const precision : {clblast::Precision::kSingle, clblast::Precision::kDouble}) {
        if (precision == clblast::Precision::kDouble && !d.fp64)
            continue;
        std::size_t const vector = precision == clblast::Precision::kSingle ? 8 : 4;
        // What a status says here only costs speed.
        clblast::OverrideParameters(d.id, "Xgemm", precision,
                                    {{"GEMMK", 0},
                                     {"KREG", 1},
                                     {"KWG", 16},
                                     {"KWI", 2},
                                     {"MDIMA", 1},
                                     {"MDIMC", 1},
                                     {"MWG", 32},
                                     {"NDIMB", 4},
                                     {"NDIMC", 4},
                                     {"NWG", 16},
                                     {"SA", 0},
                                     {"SB", 0},
                                     {"STRM", 0},
                                     {"STRN", 0},
                                     {"VWM", vector},
                                     {"VWN", 4}});
        clblast::OverrideParameters(d.id, "GemmRoutine", precision, {{"XGEMM_MIN_INDIRECT_SIZE", 1}});
    }
}

/// Its own and foreign routines of CLBlast that run for the first time at once have crashed (1.5.3): one after the
/// other.
inline std::mutex & product_mutex() {
    static std::mutex mutex;
    return mutex;
}

/// A share of what CLBlast keeps. It holds every context that it has compiled for, some 3 MiB each, for ever. Let go is
/// all of it at once, which is compiled anew where it is wanted again: when no session is left, and after some ended.
class product_share {
    static constexpr std::size_t worthwhile = 16;
    static inline std::size_t alive_ = 0, ended_ = 0; // under product_mutex

public:
    /// One more session.
    product_share() {
        std::lock_guard const lock{product_mutex()};
        ++alive_;
    }
    product_share(product_share const &) = delete;
    product_share & operator=(product_share const &) = delete;
    /// One less; the last lets go.
    ~product_share() {
        std::lock_guard const lock{product_mutex()};
        ++ended_;
        if (--alive_ == 0 && ended_ >= worthwhile) {
            ended_ = 0;
            static_cast<void>(clblast::ClearCache()); // a status that it always succeeds with
        }
    }
};

/// \throws device_error with CLBlast's own status; unsupported_error if the device lacks the precision
inline void check(clblast::StatusCode code, char const * what) {
    if (code == clblast::StatusCode::kSuccess) [[likely]]
        return;
    if (code == clblast::StatusCode::kNoDoublePrecision || code == clblast::StatusCode::kNoHalfPrecision)
        throw unsupported_error{std::string{"CLBlast: "} + what + ": the device has no arithmetic of this precision"};
    auto const number = static_cast<int>(code);
    std::string name{status_name(number)}; // those of OpenCL are passed through
    if (name.empty())
        name = "clblast::StatusCode";
    throw device_error{std::string{"CLBlast: "} + what + ": " + name + " (" + std::to_string(number) + ")", number};
}

/// One context on one device. Shared by a backend and its forks, on any threads; what it has is not changed but for
/// `programs`, which locks itself.
struct session {
    opencl::device device;  ///< what is known of it
    context_handle context; ///< of its own, or the caller's
    program_cache programs; ///< compiled for the device
    product_share products; ///< of what CLBlast compiled

    /// \param folder of compiled programs; empty: none \throws unsupported_error for a big-endian device; device_error
    /// for one without a compiler
    session(opencl::device d, context_handle c, std::string folder)
        : device(std::move(d)), context(std::move(c)), programs(context, device, std::move(folder)) {
        if (device_info<cl_bool>(device.id, CL_DEVICE_ENDIAN_LITTLE) == CL_FALSE)
            throw unsupported_error{"OpenCL: " + device.name + " is big-endian; files are not"};
        if (device_info<cl_bool>(device.id, CL_DEVICE_COMPILER_AVAILABLE) == CL_FALSE)
            throw device_error{message(device.name + " has no compiler", CL_COMPILER_NOT_AVAILABLE),
                               CL_COMPILER_NOT_AVAILABLE};
        tune_products(device);
    }
};

} // namespace opencl
LATHE_NAMESPACE_END
