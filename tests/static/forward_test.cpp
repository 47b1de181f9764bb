// Compile-only: a header of somebody's that has only fwd.hpp, before and after the headers that define what it names.
#include <lathe/fwd.hpp>

namespace {
struct session { // members by pointer and reference, functions by value
    lathe::checkpoint * base;
    lathe::merge::model_pool const & pool;
    lathe::merge::ties_result (*merge)(session const &, lathe::merge::ties_options const &);
    lathe::status (*add)(lathe::vec_view<float const *>, lathe::vec_view<float *>);
    bool (*failed)(lathe::error const &);
};
static_assert(static_cast<unsigned char>(lathe::dtype{1}) == 1, "enumerations are complete");
} // namespace

#include <lathe/merge/ties.hpp>

#include <type_traits>

namespace {
static_assert(std::is_same_v<decltype(session::base), lathe::checkpoint *>);
static_assert(std::is_base_of_v<lathe::error, lathe::shape_error> && lathe::dtype{1} == lathe::dtype::f32);
static_assert(std::is_convertible_v<lathe::vec_view<float *>, lathe::vec_view<float const *>>);
static_assert(std::is_same_v<lathe::control<>, lathe::control<lathe::no_observer, lathe::never_stop>>);
} // namespace
