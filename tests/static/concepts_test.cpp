// Compile-only: the tower of backends. Each floor is satisfied by its archetype and by every supplied backend, refused
// by the archetype one floor down, and subsumes the floors below.
#include <lathe/backend/eigen.hpp>
#include <lathe/core/parameters.hpp>
#include <lathe/testing/archetype.hpp>
#include <lathe/testing/conformance.hpp>
#include <lathe/testing/explain.hpp>

#include <stop_token>

namespace {
using namespace lathe;
using testing::floor;

template <class B, class T> constexpr bool climbs_to(floor f) {
    return storage<B, T> && vector_space<B, T> == (f >= floor::vector_space)
           && inner_product_space<B, T> == (f >= floor::inner_product_space)
           && elementwise<B, T> == (f >= floor::elementwise) && matrix_space<B, T> == (f >= floor::matrix_space);
}
template <floor F> constexpr bool archetype_is_exact() {
    return climbs_to<testing::archetype<F, float>, float>(F) && climbs_to<testing::archetype<F, double>, double>(F)
           && climbs_to<testing::archetype<F, float, true>, float>(F) && !storage<testing::archetype<F, float>, double>
           && !storage<testing::archetype<F, double>, float> && !host_addressable<testing::archetype<F, float>, float>;
}
static_assert(archetype_is_exact<floor::storage>());
static_assert(archetype_is_exact<floor::vector_space>());
static_assert(archetype_is_exact<floor::inner_product_space>());
static_assert(archetype_is_exact<floor::elementwise>());
static_assert(archetype_is_exact<floor::matrix_space>());

// An archetype brings an operation as a member or through kernels, never both.
template <floor F>
constexpr bool has_members = requires(testing::archetype<F> & be, float a, cvec<testing::archetype<F>, float> x,
                                      vec<testing::archetype<F>, float> y) {
    be.fill(a, y);
    be.copy(x, y);
    be.scale(a, y);
    be.axpy(a, x, y);
};
static_assert(!has_members<floor::storage> && has_members<floor::vector_space>
              && has_members<floor::inner_product_space>);
static_assert(!has_members<floor::elementwise> && !has_members<floor::matrix_space>);
static_assert(!has_map<testing::archetype<floor::inner_product_space>, float>);
static_assert(!has_reduce<testing::archetype<floor::inner_product_space>, float>);
static_assert(!has_storage_operands<testing::archetype<floor::matrix_space>, float>);
static_assert(has_storage_operands<testing::archetype<floor::elementwise, float, true>, float>);

// Arguments are taken in exactly the documented types: nothing converts on the way.
template <class X, class Y>
constexpr bool scales = requires(testing::archetype<floor::vector_space> & be, X a, Y y) { be.scale(a, y); };
using device_vector = vec<testing::archetype<floor::vector_space>, float>;
using const_device_vector = cvec<testing::archetype<floor::vector_space>, float>;
static_assert(scales<float, device_vector>);
static_assert(!scales<double, device_vector> && !scales<int, device_vector> && !scales<float, const_device_vector>);

// What library code may do with a pointer, and what not.
using pointer = testing::opaque_pointer<float>;
using const_pointer = testing::opaque_pointer<float const>;
static_assert(device_pointer<pointer> && device_pointer<const_pointer> && device_pointer<float *>
              && !device_pointer<float>);
static_assert(!std::default_initializable<pointer> && !std::equality_comparable<pointer>
              && !std::totally_ordered<pointer>);
template <class P> constexpr bool dereferences = requires(P p) { *p; };
template <class P> constexpr bool indexes = requires(P p) { p[0]; };
static_assert(!dereferences<pointer> && !indexes<pointer> && dereferences<float *> && indexes<float *>);
static_assert(!std::is_constructible_v<bool, pointer> && !std::is_constructible_v<pointer, float *>);
static_assert(std::convertible_to<pointer, const_pointer> && !std::convertible_to<const_pointer, pointer>);
using buffer = buffer_t<testing::archetype<floor::storage>, float>;
static_assert(std::movable<buffer> && !std::copyable<buffer> && !std::default_initializable<buffer>);
static_assert(!std::copyable<testing::archetype<floor::storage>> && !std::movable<testing::archetype<floor::storage>>);

// The supplied backend, for both scalars, on any executor.
template <class B, class T>
constexpr bool is_complete = matrix_space<B, T> && host_addressable<B, T> && has_storage_operands<B, T>;
static_assert(is_complete<eigen_backend, float> && is_complete<eigen_backend, double>);
static_assert(is_complete<basic_eigen_backend<serial_executor>, float>);
static_assert(std::default_initializable<eigen_backend>);
static_assert(!storage<eigen_backend, int> && !storage<eigen_backend, long double>
              && !storage<eigen_backend, bfloat16>);
static_assert(!storage<int, float>);

// Memory and plain pointers are enough: kernels do the rest.
struct plain {
    template <class T> using pointer = T *;
    template <class T> struct buffer {
        std::vector<T> data;
        vec_view<T *> view() { return {data.data(), data.size()}; }
    };
    template <class T> buffer<T> allocate(std::size_t n) { return {std::vector<T>(n)}; }
    template <class T> void upload(std::span<T const>, vec_view<T *>) {}
    template <class T> void download(vec_view<T const *>, std::span<T>) {}
    void sync() {}
};
static_assert(climbs_to<plain, float>(floor::matrix_space) && climbs_to<plain, double>(floor::matrix_space));

// Each requirement of storage is one: a backend that lacks it is refused.
struct no_sync : plain {
    void sync() = delete;
};
struct no_upload : plain {
    template <class T> void upload(std::span<T const>, vec_view<T *>) = delete;
};
struct no_download : plain {
    template <class T> void download(vec_view<T const *>, std::span<T>) = delete;
};
struct other_buffer : plain {
    template <class T> std::vector<T> allocate(std::size_t n) { return std::vector<T>(n); }
};
struct const_view : plain {
    template <class T> struct buffer {
        vec_view<T const *> view() { return {nullptr, 0}; }
    };
    template <class T> buffer<T> allocate(std::size_t) { return {}; }
};
static_assert(storage<plain, float> && !storage<no_sync, float> && !storage<no_upload, float>
              && !storage<no_download, float>);
static_assert(!storage<other_buffer, float> && !storage<const_view, float>);
static_assert(!has_sync<no_sync> && !has_upload<no_upload, float> && !has_download<no_download, float>);
static_assert(!has_allocate<other_buffer, float>);

// Subsumption: of several overloads the highest floor wins, so an algorithm may refine itself.
template <class B>
    requires storage<B, float>
constexpr floor chosen() {
    return floor::storage;
}
template <class B>
    requires vector_space<B, float>
constexpr floor chosen() {
    return floor::vector_space;
}
template <class B>
    requires inner_product_space<B, float>
constexpr floor chosen() {
    return floor::inner_product_space;
}
template <class B>
    requires elementwise<B, float>
constexpr floor chosen() {
    return floor::elementwise;
}
template <class B>
    requires matrix_space<B, float>
constexpr floor chosen() {
    return floor::matrix_space;
}
template <floor... F> constexpr bool highest_wins = ((chosen<testing::archetype<F>>() == F) && ...);
static_assert(highest_wins<floor::storage, floor::vector_space, floor::inner_product_space, floor::elementwise,
                           floor::matrix_space>);
static_assert(chosen<eigen_backend>() == floor::matrix_space);

// Members that are meant to be used are used; one whose signature drifted is noticed.
static_assert(all_live<eigen_backend, float, ops::axpby_fn, ops::dot_many_fn>);
static_assert(all_live<testing::archetype<floor::elementwise>, float, ops::axpby_fn, ops::dot_many_fn>);
static_assert(!all_live<testing::archetype<floor::inner_product_space>, float, ops::axpby_fn>);
static_assert(!all_live<testing::archetype<floor::inner_product_space>, float, ops::dot_many_fn>);
struct device_with_axpby : testing::archetype<floor::inner_product_space> {
    void axpby(float, cvec<testing::archetype<floor::inner_product_space>, float>, float,
               vec<testing::archetype<floor::inner_product_space>, float>) {}
};
struct drifted : testing::archetype<floor::inner_product_space> {
    void axpby(float, cvec<testing::archetype<floor::inner_product_space>, float>,
               vec<testing::archetype<floor::inner_product_space>, float>) {} // lost its b
};
static_assert(all_live<device_with_axpby, float, ops::axpby_fn>);
static_assert(inner_product_space<drifted, float> && !all_live<drifted, float, ops::axpby_fn>);

// An operation can be called exactly where its atom holds.
template <class B> constexpr bool can_dot = requires(B & be, vec<B, float> x) { ops::dot(be, x, x); };
template <class B> constexpr bool can_axpby = requires(B & be, vec<B, float> x) { ops::axpby(be, 1.0f, x, 1.0f, x); };
template <class B>
constexpr bool can_map = requires(B & be, vec<B, float> x) { ops::map<float>(be, ops::kernels::identity, x, x); };
static_assert(!can_dot<testing::archetype<floor::vector_space>>
              && can_dot<testing::archetype<floor::inner_product_space>>);
static_assert(!can_axpby<testing::archetype<floor::storage>> && can_axpby<testing::archetype<floor::vector_space>>);
static_assert(!can_map<testing::archetype<floor::inner_product_space>>
              && can_map<testing::archetype<floor::elementwise>>);

// What explains a floor says yes where the floor is there.
static_assert(testing::explain<eigen_backend, double, floor::matrix_space>()
              && testing::explain<plain, float, floor::matrix_space>());
static_assert(testing::explain<testing::archetype<floor::storage>, float, floor::storage>());
static_assert(testing::explain<testing::archetype<floor::vector_space>, float, floor::vector_space>());
static_assert(testing::explain<testing::archetype<floor::inner_product_space>, float, floor::inner_product_space>());
static_assert(testing::explain<testing::archetype<floor::elementwise>, float, floor::elementwise>());
static_assert(testing::explain<testing::archetype<floor::matrix_space>, float, floor::matrix_space>());

// Executors.
static_assert(executor<serial_executor> && executor<thread_pool> && !executor<int> && !executor<thread_pool const>);

// Progress and cancellation: std::stop_token is one model among others; the defaults cost nothing.
static_assert(stop_token<std::stop_token> && stop_token<never_stop> && !stop_token<bool>);
static_assert(observer<no_observer> && observer<void (*)(progress const &)> && !observer<void (*)(int)>);
static_assert(std::is_empty_v<no_observer> && std::is_empty_v<never_stop> && std::is_trivially_copyable_v<progress>);
static_assert(!never_stop::stop_requested());
} // namespace
