#pragma once
/// \file  The functions a kernel may use. An operand that is no number (a packet, a device's symbol) brings them as
///        members of the same name; a new function needs one line here and one member in each such operand.
#include <lathe/core/scalar.hpp>

#include <cmath>
#include <type_traits>

LATHE_NAMESPACE_BEGIN

/// Functions of kernels. All evaluate all their arguments: a kernel has no branches.
namespace math {

/// Plain numbers, for which the functions are those of the standard library.
template <class A>
concept number = std::is_arithmetic_v<A>;

/// |a|, the sign of zero and NaN cleared too.
inline constexpr auto abs = []<class A>(A const & a) {
    if constexpr (number<A>)
        return std::fabs(a);
    else
        return a.abs();
};
/// The square root, within 3 ulp on any backend; NaN below 0.
inline constexpr auto sqrt = []<class A>(A const & a) {
    if constexpr (number<A>)
        return std::sqrt(a);
    else
        return a.sqrt();
};
/// e^a, within 4 ulp on any backend.
inline constexpr auto exp = []<class A>(A const & a) {
    if constexpr (number<A>)
        return std::exp(a);
    else
        return a.exp();
};
/// The natural logarithm, within 4 ulp on any backend; -infinity at 0, NaN below.
inline constexpr auto log = []<class A>(A const & a) {
    if constexpr (number<A>)
        return std::log(a);
    else
        return a.log();
};
/// a^b within 16 ulp on any backend; b is a run-time scalar or a literal.
inline constexpr auto pow = []<class A, class B>(A const & a, B const & b) {
    if constexpr (number<A>)
        return std::pow(a, static_cast<A>(b));
    else
        return a.pow(b);
};
/// To the nearest integer, ties to even.
inline constexpr auto rint = []<class A>(A const & a) {
    if constexpr (number<A>)
        return std::nearbyint(a);
    else
        return a.rint();
};
/// The branch-free choice: a where c holds, else b.
inline constexpr auto select = []<class C, class A, class B>(C const & c, A const & a, B const & b) {
    if constexpr (std::same_as<C, bool>)
        return c ? a : b;
    else
        return c.select(a, b);
};

// Composed of the above and of operators.

/// Whether a is NaN.
inline constexpr auto is_nan = [](auto const & a) { return a != a; };
/// The smaller; b where either is NaN.
inline constexpr auto min = [](auto const & a, auto const & b) { return select(a < b, a, b); };
/// The larger; b where either is NaN.
inline constexpr auto max = [](auto const & a, auto const & b) { return select(a > b, a, b); };
/// -1, 0 or 1; 0 for NaN.
inline constexpr auto sign = []<class A>(A const & a) { return select(a > A(0), A(1), select(a < A(0), A(-1), A(0))); };

} // namespace math

LATHE_NAMESPACE_END
