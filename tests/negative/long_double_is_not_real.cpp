// expect: constraints? not satisfied|does not satisfy .?real|no matching function
#include <lathe/core/scalar.hpp>

#ifdef LATHE_NEGATIVE_CONTROL
using scalar = double;
#else
using scalar = long double;
#endif
auto rounded(scalar x) { return lathe::narrow<lathe::half>(x); }
