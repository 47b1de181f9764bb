// expect: no viable conversion|could not convert|no matching function
#include <lathe/core/view.hpp>

void zero(lathe::vec_view<float *> y);

#ifdef LATHE_NEGATIVE_CONTROL
void reset(lathe::vec_view<float *> x) { zero(x); }
#else
void reset(lathe::vec_view<float const *> x) { zero(x); }
#endif
