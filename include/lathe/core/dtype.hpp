#pragma once
/// \file  The element types of files, and the description of one tensor of a checkpoint.
#include <lathe/core/error.hpp>
#include <lathe/core/scalar.hpp>

#include <array>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

LATHE_NAMESPACE_BEGIN

/// Element types a checkpoint may hold. The first four can be computed with; the others are carried through unchanged.
enum class dtype : std::uint8_t {
    f64,     ///< double
    f32,     ///< float
    f16,     ///< lathe::half
    bf16,    ///< lathe::bfloat16
    i64,     ///< signed integers of 64 bits
    i32,     ///< of 32
    i16,     ///< of 16
    i8,      ///< of 8
    u64,     ///< unsigned integers of 64 bits
    u32,     ///< of 32
    u16,     ///< of 16
    u8,      ///< of 8
    boolean, ///< one byte, 0 or 1
    f8_e4m3, ///< one byte: sign, 4 bits of the exponent, 3 of the fraction
    f8_e5m2  ///< one byte: sign, 5 bits of the exponent, 2 of the fraction
};

namespace dtypes {
/// What there is to know of an element type.
struct description {
    std::string_view name; ///< as safetensors spells it
    std::uint8_t size;     ///< bytes an element
};
/// In the order of dtype.
inline constexpr std::array<description, 15> table{{{"F64", 8},
                                                    {"F32", 4},
                                                    {"F16", 2},
                                                    {"BF16", 2},
                                                    {"I64", 8},
                                                    {"I32", 4},
                                                    {"I16", 2},
                                                    {"I8", 1},
                                                    {"U64", 8},
                                                    {"U32", 4},
                                                    {"U16", 2},
                                                    {"U8", 1},
                                                    {"BOOL", 1},
                                                    {"F8_E4M3", 1},
                                                    {"F8_E5M2", 1}}};
} // namespace dtypes

/// Bytes an element.
constexpr std::size_t size_of(dtype t) noexcept { return dtypes::table[static_cast<std::size_t>(t)].size; }
/// The name in a safetensors header.
constexpr std::string_view name_of(dtype t) noexcept { return dtypes::table[static_cast<std::size_t>(t)].name; }
/// The type of that name, if there is one.
constexpr std::optional<dtype> dtype_named(std::string_view name) noexcept {
    for (std::size_t i = 0; i != dtypes::table.size(); ++i)
        if (dtypes::table[i].name == name)
            return static_cast<dtype>(i);
    return std::nullopt;
}
/// Whether arithmetic is defined on it (f64, f32, f16, bf16).
constexpr bool is_floating(dtype t) noexcept { return t <= dtype::bf16; }
/// The element type of files whose elements are S.
template <storage_scalar S>
inline constexpr dtype dtype_of = std::same_as<S, double>  ? dtype::f64
                                  : std::same_as<S, float> ? dtype::f32
                                  : std::same_as<S, half>  ? dtype::f16
                                                           : dtype::bf16;

/// Calls f with a value of the storage scalar of `t`: the only switch on floating types. \throws unsupported_error
template <class F> constexpr decltype(auto) visit_floating(dtype t, F && f) {
    switch (t) {
    case dtype::f64: return f(double{});
    case dtype::f32: return f(float{});
    case dtype::f16: return f(half{});
    case dtype::bf16: return f(bfloat16{});
    default: throw unsupported_error{std::string{"no arithmetic on elements of type "}.append(name_of(t))};
    }
}

/// Extents, outermost first (rows, columns); none for a scalar.
using shape = std::vector<std::size_t>;

/// Product of the extents; 1 for a scalar (no extents). \throws shape_error if it exceeds std::size_t
constexpr std::size_t count_of(std::span<std::size_t const> extents) {
    std::size_t n = 1;
    bool overflow = false, empty = false;
    for (auto const e : extents) {
        empty = empty || e == 0;
        overflow = overflow || (e != 0 && n > std::numeric_limits<std::size_t>::max() / e);
        n *= e;
    }
    if (empty)
        return 0;
    if (overflow)
        throw shape_error{"shape: the number of elements exceeds 2^64"};
    return n;
}
/// Bytes of a tensor if none of its extents were zero; nothing if they are more than 2^63. Files with such shapes are
/// refused though they may hold no element: rows * columns must not wrap in whoever uses a shape.
constexpr std::optional<std::uint64_t> widest_bytes(std::span<std::size_t const> extents, dtype type) {
    std::uint64_t size = size_of(type);
    for (auto const e : extents) {
        if (e != 0 && size > (std::uint64_t{1} << 63) / e)
            return std::nullopt;
        size *= e == 0 ? 1 : e;
    }
    return size;
}
/// "[2, 3]"
inline std::string to_string(shape const & extents) {
    std::string s = "[";
    for (auto const e : extents)
        s.append(s.size() > 1 ? ", " : "").append(std::to_string(e));
    return s + "]";
}

/// Name, type and shape of one tensor of a checkpoint.
struct tensor_info {
    std::string name;        ///< unique in its checkpoint
    dtype type = dtype::f32; ///< of every element
    shape extents;           ///< outermost first; none for a scalar

    /// Elements. \throws shape_error if they exceed std::size_t
    [[nodiscard]] std::size_t count() const { return count_of(extents); }
    /// Bytes of all elements. \throws shape_error if they exceed std::size_t
    [[nodiscard]] std::size_t bytes() const {
        auto const elements = count();
        if (elements > std::numeric_limits<std::size_t>::max() / size_of(type))
            throw shape_error{"tensor '" + name + "': the number of bytes exceeds 2^64"};
        return elements * size_of(type);
    }
    friend bool operator==(tensor_info const &, tensor_info const &) = default; ///< name, type and shape
};

LATHE_NAMESPACE_END
