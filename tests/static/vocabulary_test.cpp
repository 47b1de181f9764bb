// Compile-only: scalars, element types, views, errors.
#include <lathe/core/kernel.hpp>
#include <lathe/testing/archetype.hpp>

namespace {
using namespace lathe;

// Arithmetic is float or double; storage types are bits.
static_assert(real<float> && real<double>);
static_assert(!real<long double> && !real<int> && !real<bfloat16> && !real<half> && !real<float const>);
static_assert(storage_scalar<float> && storage_scalar<double> && storage_scalar<half> && storage_scalar<bfloat16>);
static_assert(!storage_scalar<int> && !storage_scalar<std::uint16_t> && !storage_scalar<bool>);
static_assert(std::same_as<compute_t<half>, float> && std::same_as<compute_t<bfloat16>, float>);
static_assert(std::same_as<compute_t<float>, float> && std::same_as<compute_t<double>, double>);
static_assert(sizeof(half) == 2 && sizeof(bfloat16) == 2 && std::is_trivially_copyable_v<half>);
template <class S> constexpr bool adds = requires(S a, S b) { a + b; };
template <class S> constexpr bool converts = std::convertible_to<S, float> || std::convertible_to<float, S>;
static_assert(!adds<half> && !adds<bfloat16> && !converts<half> && !converts<bfloat16>);

// Rounding is a constant expression: to nearest, ties to even, overflow to infinity, once.
static_assert(widen(narrow<bfloat16>(1.0f)) == 1.0f && widen(narrow<half>(-2.5f)) == -2.5f);
static_assert(narrow<bfloat16>(0x1.01p0f).bits == 0x3f80 && narrow<bfloat16>(0x1.03p0f).bits == 0x3f82, "ties to even");
static_assert(narrow<half>(0x1.002p0f).bits == 0x3c00 && narrow<half>(0x1.006p0f).bits == 0x3c02, "ties to even");
static_assert(narrow<half>(65519.0f).bits == 0x7bff && narrow<half>(65520.0f).bits == 0x7c00);
static_assert(narrow<half>(-1e300).bits == 0xfc00 && narrow<bfloat16>(1e300).bits == 0x7f80);
static_assert(narrow<half>(0x1p-24f).bits == 1 && narrow<half>(0x1p-25f).bits == 0
              && narrow<half>(0x1.8p-25f).bits == 1);
static_assert(narrow<half>(-0x1p-30f).bits == 0x8000 && narrow<half>(-0.0).bits == 0x8000);
static_assert(widen(half{0x0001}) == 0x1p-24f && widen(half{0x03ff}) == 0x3ffp-24f && widen(half{0x7bff}) == 65504.0f);
// Through float this would round twice, up: the float nearest to it is the tie.
static_assert(narrow<half>(0x1.0020000000001p0).bits == 0x3c01 && narrow<half>(0x1.001ffffffffffp0).bits == 0x3c00);
static_assert(narrow<bfloat16>(0x1.0100000000001p0).bits == 0x3f81
              && narrow<bfloat16>(0x1.00fffffffffffp0).bits == 0x3f80);
static_assert(narrow<float>(0.1) == 0.1f && narrow<double>(0.1f) == 0.1f);

// Element types of files.
static_assert(dtype_of<double> == dtype::f64 && dtype_of<float> == dtype::f32 && dtype_of<half> == dtype::f16
              && dtype_of<bfloat16> == dtype::bf16);
static_assert(size_of(dtype::f64) == 8 && size_of(dtype::bf16) == 2 && size_of(dtype::boolean) == 1);
static_assert(name_of(dtype::f8_e4m3) == "F8_E4M3" && dtype_named("BF16") == dtype::bf16 && !dtype_named("bf16")
              && !dtype_named(""));
constexpr bool names_agree() {
    for (std::size_t i = 0; i != dtypes::table.size(); ++i)
        if (dtype_named(name_of(static_cast<dtype>(i))) != static_cast<dtype>(i))
            return false;
    return true;
}
static_assert(names_agree());
static_assert(is_floating(dtype::f64) && is_floating(dtype::bf16) && !is_floating(dtype::i64)
              && !is_floating(dtype::f8_e4m3));
static_assert(visit_floating(dtype::bf16, [](auto s) { return sizeof s; }) == 2);
static_assert(count_of(std::array<std::size_t, 0>{}) == 1 && count_of(std::array<std::size_t, 3>{2, 3, 4}) == 24);
static_assert(count_of(std::array{~std::size_t{0}, std::size_t{0}, ~std::size_t{0}}) == 0,
              "an empty extent, before any overflow");

// Views are vocabulary: small, trivially copyable, const-convertible and not the other way.
static_assert(std::is_trivially_copyable_v<vec_view<float *>> && sizeof(vec_view<float *>) == 16);
static_assert(std::convertible_to<vec_view<float *>, vec_view<float const *>>);
static_assert(!std::convertible_to<vec_view<float const *>, vec_view<float *>>);
static_assert(!std::convertible_to<vec_view<double *>, vec_view<float *>>);
static_assert(std::convertible_to<mat_view<float *>, mat_view<float const *>>);
static_assert(std::convertible_to<storage_view<std::byte *>, storage_view<std::byte const *>>);
static_assert(!std::convertible_to<storage_view<std::byte const *>, storage_view<std::byte *>>);
static_assert(!std::default_initializable<vec_view<float *>>);
using device = testing::opaque_pointer<float>;
static_assert(std::convertible_to<vec_view<device>, vec_view<testing::opaque_pointer<float const>>>);
static_assert(!std::convertible_to<vec_view<testing::opaque_pointer<float const>>, vec_view<device>>);
static_assert(std::same_as<pointee_t<float const *>, float const> && std::same_as<pointee_t<device>, float>);

constexpr bool slices() {
    std::array<float, 6> x{0, 1, 2, 3, 4, 5};
    vec_view<float *> const v(x.data(), x.size());
    mat_view<float *> const m(x.data(), 2, 2, 3);
    return v.sub(2, 3).data[0] == 2 && v.sub(2, 3).size() == 3 && v.sub(6, 0).n == 0 && m.row(1).data[0] == 3
           && m.row(1).n == 2 && as_matrix(v, 3, 2).row(2).data[1] == 5 && view_of(std::span<float>{x}).n == 6;
}
static_assert(slices());
template <class F> consteval bool is_constant(F) {
    return requires { typename std::bool_constant<(F{}(), true)>; };
}
static_assert(is_constant([] { return vec_view<float *>(nullptr, 0).sub(0, 0).n; }));
static_assert(!is_constant([] { return vec_view<float *>(nullptr, 3).sub(2, 2).n; }), "out of range throws");
static_assert(!is_constant([] { return mat_view<float *>(nullptr, 2, 3, 2).ld; }),
              "a leading dimension shorter than a row throws");

// Every error is a lathe::error, so that a program can catch all of them, and only them.
template <class... E> constexpr bool are_errors = (std::derived_from<E, error> && ...);
static_assert(are_errors<shape_error, option_error, mismatch_error, non_finite_error, format_error, io_error,
                         device_error, unsupported_error>
              && std::derived_from<error, std::runtime_error>);
} // namespace
