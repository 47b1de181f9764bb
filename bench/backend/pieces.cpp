// The operations of core/ops.hpp, kernels over storage types, products, selection and Philox, on one backend.
#include "arrays.hpp"
#include "selected_backend.hpp"

#include <lathe/core/selection.hpp>
#include <lathe/core/softmax.hpp>
#include <lathe/merge/linear.hpp>

namespace {

using namespace lathe_bench;
using backend = lathe::compiled::selected_backend;
using view = lathe::vec<backend, float>;
using storage = lathe::storage_view<lathe::pointer_t<backend, std::byte const>>;

/// Host backends move no bytes: they need not.
template <class B> void put(B & be, std::span<std::byte const> bytes, lathe::vec<B, std::byte> to) {
    if constexpr (lathe::host_addressable<B, float>)
        std::ranges::copy(bytes, to.data);
    else
        be.upload(bytes, to);
}

/// Arrays on the backend's device.
class operands {
    std::vector<lathe::buffer_t<backend, float>> vectors_;
    std::vector<lathe::buffer_t<backend, std::byte>> stored_;

public:
    backend be;
    explicit operands(std::size_t threads) : be(lathe::compiled::make_backend<backend>(threads)) {}
    view vector(std::size_t which) {
        auto const bytes = array(lathe::dtype::f32, which);
        vectors_.push_back(be.allocate<float>(elements));
        be.upload(std::span<float const>{reinterpret_cast<float const *>(bytes.data()), elements},
                  vectors_.back().view());
        return vectors_.back().view();
    }
    storage stored(lathe::dtype type, std::size_t which) {
        auto const bytes = array(type, which);
        stored_.push_back(be.allocate<std::byte>(bytes.size()));
        put(be, bytes, stored_.back().view());
        return {stored_.back().view().data, type, elements};
    }
    lathe::storage_view<lathe::pointer_t<backend, std::byte>> output(lathe::dtype type) {
        stored_.push_back(be.allocate<std::byte>(elements * lathe::size_of(type)));
        return {stored_.back().view().data, type, elements};
    }
};

/// Registers run(operands, dtype) \returns a function to time, and the bytes it moves, for one thread and two, where
/// the backend has threads.
template <class Run> void add(std::string const & name, std::vector<lathe::dtype> const & types, Run run) {
    std::vector<std::size_t> threads{1};
    if (std::constructible_from<backend, std::size_t>)
        threads.push_back(2);
    for (auto const type : types)
        for (auto const n : threads) {
            auto label = std::string{lathe::compiled::selected::name} + "/" + name + "/" + std::string{name_of(type)}
                         + "/" + std::to_string(n);
            benchmark::RegisterBenchmark(label.c_str(),
                                         [=](benchmark::State & state) {
                operands o(n);
                auto [work, bytes, flops] = run(o, type);
                work(); // a device compiles at the first call
                o.be.sync();
                for (auto _ : state) {
                    work();
                    o.be.sync();
                }
                report(state, bytes);
                if (flops != 0)
                    state.counters["flop/s"] = benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
            })
                ->Unit(benchmark::kMillisecond)
                ->UseRealTime();
        }
}
template <class Work> struct measured {
    Work work;
    std::size_t bytes;
    double flops = 0;
};
template <class Work> measured(Work, std::size_t) -> measured<Work>;
template <class Work> measured(Work, std::size_t, double) -> measured<Work>;

/// Magnitudes of the elements, for the selection.
constexpr auto itself = [](auto & values, auto const & x) { values.add(0, x); };

[[maybe_unused]] bool const registered = [] {
    using enum lathe::dtype;
    namespace ops = lathe::ops;
    constexpr auto bytes = elements * sizeof(float);
    add("fill", {f32},
        [](operands & o, auto) { return measured{[&o, y = o.vector(0)] { ops::fill(o.be, 1.5f, y); }, bytes}; });
    add("copy", {f32}, [](operands & o, auto) {
        return measured{[&o, x = o.vector(0), y = o.vector(1)] { ops::copy(o.be, x, y); }, 2 * bytes};
    });
    add("scale", {f32},
        [](operands & o, auto) { return measured{[&o, y = o.vector(0)] { ops::scale(o.be, -1.0f, y); }, 2 * bytes}; });
    add("axpy", {f32}, [](operands & o, auto) {
        return measured{[&o, x = o.vector(0), y = o.vector(1)] { ops::axpy(o.be, 1e-3f, x, y); }, 3 * bytes};
    });
    add("axpby", {f32}, [](operands & o, auto) {
        return measured{[&o, x = o.vector(0), y = o.vector(1)] { ops::axpby(o.be, 0.1f, x, 0.9f, y); }, 3 * bytes};
    });
    add("dot", {f32}, [](operands & o, auto) {
        return measured{[&o, x = o.vector(0), y = o.vector(1)] { benchmark::DoNotOptimize(ops::dot(o.be, x, y)); },
                        2 * bytes};
    });
    add("four products", {f32, f16, bf16}, [](operands & o, lathe::dtype type) {
        std::vector<storage> xs;
        for (std::size_t k = 0; k != 4; ++k)
            xs.push_back(o.stored(type, k));
        return measured{[&o, xs, y = o.stored(type, 4)] {
            std::array<double, 4> sums{};
            ops::reduce<float>(o.be, ops::kernels::dot_many, std::span<double>{sums}, y, lathe::list(xs));
            benchmark::DoNotOptimize(sums);
        }, 5 * elements * size_of(type)};
    });
    add("weighted sum of four", {f32, f16, bf16}, [](operands & o, lathe::dtype type) {
        std::vector<storage> xs;
        for (std::size_t k = 0; k != 4; ++k)
            xs.push_back(o.stored(type, k));
        return measured{[&o, xs, y = o.output(type)] {
            std::vector<float> const weights{0.4f, 0.3f, 0.2f, 0.1f};
            ops::map<float>(o.be, lathe::merge::kernels::weighted_sum, y, lathe::list(xs), lathe::list(weights));
        }, 5 * elements * size_of(type)};
    });
    add("uniform numbers", {f32}, [](operands & o, auto) {
        return measured{[&o, y = o.vector(0)] {
            ops::map<float>(o.be, ops::kernels::identity, y, lathe::random::uniform_stream{1});
        }, bytes};
    });
    add("magnitude of rank n / 5", {f32, bf16}, [](operands & o, lathe::dtype type) {
        return measured{[&o, x = o.stored(type, 0)] {
            std::uint64_t const rank[] = {elements / 5};
            lathe::magnitude_selection<backend, float> search(rank, elements);
            while (!search.done()) {
                search.add(o.be, itself, x);
                search.end_pass();
            }
            benchmark::DoNotOptimize(search.value(0));
        }, elements * size_of(type)};
    });
    add("softmax of rows of 1024", {f32}, [](operands & o, auto) {
        auto const m = lathe::as_matrix(o.vector(0), elements / 1024, 1024);
        return measured{[&o, m] { ops::softmax_rows(o.be, m); }, 2 * bytes};
    });
    add("product 1024", {f32}, [](operands & o, auto) {
        constexpr std::size_t n = 1024;
        auto const square = [&](std::size_t k) { return lathe::mat_view(o.vector(k).data, n, n); };
        return measured{[&o, a = square(0), b = square(1), c = square(2)] {
            ops::gemm(o.be, lathe::op::none, lathe::op::none, 1.0f, a, b, 0.0f, c);
        }, 3 * n * n * sizeof(float), 2.0 * n * n * n};
    });
    return true;
}();

} // namespace
