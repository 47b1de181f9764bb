// expect: (could not convert|no viable conversion|not contextually convertible|cannot convert).*bool
// A comparison of packets (or of symbols) is no bool: a kernel chooses by select.
#include <lathe/core/ops.hpp>

inline constexpr auto positive_part = [](auto const & x) {
#ifdef LATHE_NEGATIVE_CONTROL
    return lathe::math::select(x > 0, x, x - x);
#else
    if (x > 0)
        return x;
    return x - x;
#endif
};
void apply(lathe::vec_view<float *> y) {
    lathe::serial_executor e;
    lathe::host::map<float>(e, positive_part, y.n, std::tuple{y}, y);
}
