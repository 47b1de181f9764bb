// expect: no match for .?operator\+|invalid operands to binary expression
#include <lathe/core/scalar.hpp>

auto sum(lathe::bfloat16 a, lathe::bfloat16 b) {
#ifdef LATHE_NEGATIVE_CONTROL
    return lathe::widen(a) + lathe::widen(b);
#else
    return a + b;
#endif
}
