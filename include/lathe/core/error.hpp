#pragma once
/// \file  The exception hierarchy. Broken contracts and failing devices or files throw; outcomes (not converged,
///        stopped) are values in the result.
#include <lathe/config.hpp>

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

LATHE_NAMESPACE_BEGIN

/// Root of everything lathe throws on purpose.
struct error : std::runtime_error {
    using std::runtime_error::runtime_error;
};
/// Operands whose extents do not fit. Always checked; O(1).
struct shape_error : error {
    using error::error;
};
/// An option outside its range, unknown, or contradicting another. Names the option, what was found, what was expected.
struct option_error : error {
    using error::error;
};
/// Checkpoints that do not belong together: a tensor is missing, or has another shape. Names the tensor and the model.
struct mismatch_error : error {
    using error::error;
};
/// A value that must be finite is not.
struct non_finite_error : error {
    using error::error;
};
/// A matrix that has to be inverted is singular to working precision.
struct singular_error : error {
    using error::error;
};
/// A file is not what its format demands. Names the file and the rule.
struct format_error : error {
    using error::error;
};
/// The operating system refused: open, read, write, rename, run. Names the path and the reason.
struct io_error : error {
    using error::error;
};
/// A device or vendor library refused; `code` is the vendor's own status.
struct device_error : error {
    /// \param status the vendor's own
    device_error(std::string const & what, int status) : error{what}, code{status} {}
    int code; ///< as the vendor's headers number it
};
/// The backend models the concept, but this device lacks the scalar (fp64, half, ...).
struct unsupported_error : error {
    using error::error;
};

/// Precondition on extents: throws shape_error with `what`, which names the operation.
constexpr void expects_shape(bool ok, char const * what) {
    if (!ok) [[unlikely]]
        throw shape_error{what};
}
/// Precondition on an option: throws option_error "<option>: found <found>, expected <expected>".
inline void expects_option(bool ok, std::string_view option, std::string const & found, std::string_view expected) {
    if (!ok) [[unlikely]]
        throw option_error{std::string{option}.append(": found ").append(found).append(", expected ").append(expected)};
}

LATHE_NAMESPACE_END
