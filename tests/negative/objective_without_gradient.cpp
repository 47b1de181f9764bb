// expect: value_and_gradient
// An objective that cannot be differentiated.
#include <lathe/backend/eigen.hpp>
#include <lathe/merge/frank_wolfe.hpp>

using backend = lathe::eigen_backend;
struct objective {
    double value(backend &, lathe::cvec<backend, float>) { return 0; }
#ifdef LATHE_NEGATIVE_CONTROL
    double value_and_gradient(backend &, lathe::cvec<backend, float>, lathe::vec<backend, float>) { return 0; }
#endif
};
auto minimum(backend & be, lathe::merge::model_pool const & pool, objective & f, lathe::checkpoint_sink & sink) {
    return lathe::merge::frank_wolfe(be, pool, f, sink);
}
