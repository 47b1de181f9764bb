// Frank-Wolfe on a device: over vectors in its memory an inner product is enough; over checkpoints kernels are.
#include <lathe/merge/quadratic.hpp>

#include "models.hpp"

namespace {
using namespace lathe_test;
using testing::floor;

/// Half the squared distance to a vector in the backend's memory: nothing but copy, axpy and dot.
template <class B, class T> class distance_to {
    buffer_t<B, T> target_;

public:
    distance_to(B & be, std::vector<T> const & target) : target_(be.template allocate<T>(target.size())) {
        be.upload(std::span<T const>{target}, target_.view());
    }
    double value_and_gradient(B & be, cvec<B, T> x, vec<B, T> g) {
        ops::copy(be, x, g);
        ops::axpy(be, T(-1), target_.view(), g);
        return ops::dot(be, g, g) / 2;
    }
};
/// Any objective, to ask whether a call is allowed.
struct any_objective {
    template <class B, class X, class G> double value_and_gradient(B &, X const &, G const &) { return 0; }
};
template <class B>
constexpr bool can_search_memory = requires(B & be, merge::resident_vertices<B, float> & v, any_objective f,
                                            vec<B, float> x) { merge::frank_wolfe(be, v, f, x); };
template <class B>
constexpr bool can_search_files = requires(B & be, merge::model_pool const & pool, any_objective f,
                                           checkpoint_sink & sink) { merge::frank_wolfe(be, pool, f, sink); };
template <floor F> using device = testing::archetype<F>;
static_assert(can_search_memory<device<floor::inner_product_space>>);
static_assert(can_search_files<device<floor::elementwise>> && !can_search_files<device<floor::inner_product_space>>);

std::vector<std::vector<double>> some_vertices(std::size_t count, std::size_t n) {
    std::vector<std::vector<double>> all;
    for (std::uint32_t k = 0; k != count; ++k) {
        random::uniform_stream const u{9, k, 0};
        auto & v = all.emplace_back(n);
        for (std::size_t i = 0; i != n; ++i)
            v[i] = static_cast<double>(u[i]);
    }
    return all;
}

/// The search over vectors in memory, on any backend. \returns the result and x
template <class B>
std::pair<merge::frank_wolfe_result, std::vector<double>> search_memory(B & be,
                                                                        merge::frank_wolfe_options const & options) {
    auto const points = some_vertices(4, 300);
    std::vector<buffer_t<B, double>> buffers;
    std::vector<cvec<B, double>> vertices;
    for (auto const & p : points) {
        buffers.push_back(be.template allocate<double>(p.size()));
        be.upload(std::span<double const>{p}, buffers.back().view());
    }
    for (auto & b : buffers)
        vertices.push_back(b.view());
    std::vector<double> target(300);
    for (std::size_t i = 0; i != target.size(); ++i)
        target[i] = 0.4713 * points[0][i] + 0.3121 * points[2][i] + 0.2166 * points[3][i];
    distance_to<B, double> f(be, target);
    merge::resident_vertices<B, double> pool{std::span<cvec<B, double> const>{vertices}};
    auto x = be.template allocate<double>(300);
    auto result = merge::frank_wolfe(be, pool, f, x.view(), options);
    std::vector<double> host(300);
    be.download(cvec<B, double>(x.view()), std::span<double>{host});
    return {std::move(result), std::move(host)};
}
} // namespace

TEST_CASE("over vectors in memory an inner product is enough", "[archetype][frank_wolfe]") {
    for (auto const method :
         {merge::frank_wolfe_method::fw, merge::frank_wolfe_method::away, merge::frank_wolfe_method::pairwise})
        for (auto const step : {merge::step_rule::open, merge::step_rule::backtracking}) {
            bool const open = step == merge::step_rule::open;
            merge::frank_wolfe_options const options{
                .method = method, .step = step, .iters = open ? 30u : 1000u, .gap_tolerance = open ? 0 : 1e-5};
            testing::archetype<floor::inner_product_space, double> device;
            eigen_backend host;
            auto const [found, x] = search_memory(device, options);
            auto const [expected, y] = search_memory(host, options);
            CAPTURE(static_cast<int>(method), open);
            CHECK(found.status == expected.status);
            // Whether a trial step is short enough is for rounding to say where f is its own bound, as here:
            // backtracking may take another way, to the same end.
            double const margin = open ? 1e-9 : 1e-2;
            if (!open)
                CHECK(found.status == status::converged);
            CHECK(found.objective == Approx(expected.objective).margin(open ? 1e-9 : 1e-5));
            for (std::size_t k = 0; k != 4; ++k)
                CHECK(found.weights[0][k] == Approx(expected.weights[0][k]).margin(margin));
            for (std::size_t i = 0; i != x.size(); ++i)
                CHECK(x[i] == Approx(y[i]).margin(margin));
        }
}

TEST_CASE("over checkpoints kernels are enough", "[archetype][frank_wolfe]") {
    models m(4);
    auto const pool = m.pool();
    memory_checkpoint target;
    eigen_backend be;
    merge::linear(be, pool, target, {.weights = {0.5, 0.0, 0.3, 0.2}});
    for (auto const granularity : {merge::granularity::task, merge::granularity::layer})
        for (auto const step : {merge::step_rule::open, merge::step_rule::exact, merge::step_rule::backtracking}) {
            merge::frank_wolfe_options const options{.method = merge::frank_wolfe_method::away,
                                                     .step = step,
                                                     .granularity = granularity,
                                                     .iters = 6,
                                                     .gap_tolerance = 0};
            auto const run = [&]<class B>(B & backend, auto & sink) {
                merge::quadratic_distance<B, double> f(merge::parameter_layout::of(pool), target);
                return merge::frank_wolfe<double>(backend, pool, f, sink, options);
            };
            auto const [device, host] = run_on_both<floor::elementwise, double>(run, 1e-9);
            CHECK(device.objective == Approx(host.objective).margin(1e-12));
            CHECK(device.gap == Approx(host.gap).margin(1e-12));
            REQUIRE(device.weights.size() == host.weights.size());
            for (std::size_t b = 0; b != host.weights.size(); ++b)
                for (std::size_t k = 0; k != 4; ++k)
                    CHECK(device.weights[b][k] == Approx(host.weights[b][k]).margin(1e-9));
        }
}

TEST_CASE("the products of the models alone, on a device", "[archetype][frank_wolfe]") {
    models m(4);
    auto const pool = m.pool();
    auto const run = [&]<class B>(B & backend, auto & sink) {
        merge::quadratic_distance<B, double> f(merge::parameter_layout::of(pool), m.base());
        return merge::frank_wolfe_gram<double>(backend, pool, f, sink, {.step = merge::step_rule::exact, .iters = 50});
    };
    auto const [device, host] = run_on_both<floor::elementwise, double>(run, 1e-9);
    for (std::size_t k = 0; k != 4; ++k)
        CHECK(device.weights[0][k] == Approx(host.weights[0][k]).margin(1e-9));
}

TEST_CASE("a device holds x, its gradient and windows", "[archetype][frank_wolfe]") {
    auto const peak = [](std::size_t count) {
        models m(count);
        auto const pool = m.pool();
        testing::archetype<floor::elementwise> be;
        memory_checkpoint out;
        merge::quadratic_distance<decltype(be), float> f(merge::parameter_layout::of(pool), m.base());
        merge::frank_wolfe(be, pool, f, out, {.iters = 2});
        return be.memory().peak;
    };
    models m(1);
    auto const parameters = m.pool().parameters();
    // A window of every vertex that is read at once, of the target and of the result; one that grows counts twice.
    auto const two = peak(2), six = peak(6);
    CHECK(two <= 2 * parameters + (2 + 3) * 4096 + 10100);
    CHECK(six - two <= 4 * 4096);
}
