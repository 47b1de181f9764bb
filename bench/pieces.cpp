// The pieces merges are made of, on arrays that do not fit the caches. Each reports bytes moved for each second; `read`
// and `copy` are what the machine gives to a plain loop, in the same run: compare with those.
#include <lathe/backend/eigen.hpp>
#include <lathe/merge/linear.hpp>

#include <benchmark/benchmark.h>

namespace {

using backend = lathe::eigen_backend;
constexpr std::size_t elements = std::size_t{1} << 25;

/// Bytes of so many elements of a type, small numbers all of them.
std::vector<std::byte> const & array(lathe::dtype type, std::size_t which) {
    static std::map<std::pair<lathe::dtype, std::size_t>, std::vector<std::byte>> arrays;
    auto & bytes = arrays[{type, which}];
    if (bytes.empty()) {
        bytes.resize(elements * lathe::size_of(type));
        std::vector<float> values(4096);
        lathe::random::uniform_stream const u{which};
        for (std::size_t first = 0; first != elements; first += values.size()) {
            for (std::size_t i = 0; i != values.size(); ++i)
                values[i] = u[first + i] - 0.5f;
            lathe::host::store(type, values.data(), values.size(), bytes.data() + first * lathe::size_of(type));
        }
    }
    return bytes;
}
void report(benchmark::State & state, std::size_t bytes) {
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(bytes));
}

void read(benchmark::State & state) {
    auto const & a = array(lathe::dtype::f32, 0);
    for (auto _ : state) {
        std::array<std::uint64_t, 8> lanes{};
        for (std::size_t i = 0; i != a.size(); i += 64) {
            std::array<std::uint64_t, 8> words;
            std::memcpy(words.data(), a.data() + i, 64);
            for (std::size_t k = 0; k != 8; ++k)
                lanes[k] += words[k];
        }
        benchmark::DoNotOptimize(lanes);
    }
    report(state, a.size());
}
void copy(benchmark::State & state) {
    auto const & a = array(lathe::dtype::f32, 0);
    static std::vector<std::byte> out(a.size());
    for (auto _ : state) {
        std::memcpy(out.data(), a.data(), a.size());
        benchmark::ClobberMemory();
    }
    report(state, 2 * a.size());
}

/// The weighted sum of four models of one storage type.
void weighted_sum(benchmark::State & state) {
    auto const type = static_cast<lathe::dtype>(state.range(0));
    backend be(static_cast<std::size_t>(state.range(1)));
    std::vector<lathe::storage_view<std::byte const *>> models;
    for (std::size_t k = 0; k != 4; ++k)
        models.push_back(lathe::storage_of(array(type, k), type));
    static std::vector<std::byte> out(elements * 8);
    std::vector<float> const weights{0.4f, 0.3f, 0.2f, 0.1f};
    auto const target = lathe::storage_of(std::span{out}.first(elements * lathe::size_of(type)), type);
    for (auto _ : state)
        lathe::ops::map<float>(be, lathe::merge::kernels::weighted_sum, target, lathe::list(models),
                               lathe::list(weights));
    report(state, 5 * elements * lathe::size_of(type));
}
/// Four inner products with one vector, in one pass.
void inner_products(benchmark::State & state) {
    auto const type = static_cast<lathe::dtype>(state.range(0));
    backend be(static_cast<std::size_t>(state.range(1)));
    std::vector<lathe::storage_view<std::byte const *>> models;
    for (std::size_t k = 0; k != 4; ++k)
        models.push_back(lathe::storage_of(array(type, k), type));
    auto const vector = lathe::storage_of(array(type, 4), type);
    std::vector<double> sums(4);
    for (auto _ : state)
        lathe::ops::reduce<float>(be, lathe::ops::kernels::dot_many, sums, vector, lathe::list(models));
    report(state, 5 * elements * lathe::size_of(type));
}
void uniform_numbers(benchmark::State & state) {
    backend be(static_cast<std::size_t>(state.range(0)));
    static std::vector<float> out(elements);
    for (auto _ : state)
        lathe::ops::map<float>(be, lathe::ops::kernels::identity, lathe::view_of(std::span{out}),
                               lathe::random::uniform_stream{1});
    report(state, elements * sizeof(float));
}
void product(benchmark::State & state) {
    backend be(static_cast<std::size_t>(state.range(1)));
    auto const n = static_cast<std::size_t>(state.range(0));
    std::vector<float> a(n * n, 0.5f), b(n * n, 0.25f), c(n * n);
    auto const m = [&](std::vector<float> & v) { return lathe::mat_view(v.data(), n, n); };
    for (auto _ : state)
        lathe::ops::gemm(be, lathe::op::none, lathe::op::none, 1.0f, m(a), m(b), 0.0f, m(c));
    state.counters["flop/s"] =
        benchmark::Counter(2.0 * static_cast<double>(n * n * n), benchmark::Counter::kIsIterationInvariantRate);
}

constexpr auto f32 = static_cast<int>(lathe::dtype::f32), f16 = static_cast<int>(lathe::dtype::f16),
               bf16 = static_cast<int>(lathe::dtype::bf16);
BENCHMARK(read);
BENCHMARK(copy);
BENCHMARK(weighted_sum)
    ->ArgNames({"dtype", "threads"})
    ->ArgsProduct({{f32, f16, bf16}, {1, 2}})
    ->UseRealTime()
    ->MeasureProcessCPUTime();
BENCHMARK(inner_products)
    ->ArgNames({"dtype", "threads"})
    ->ArgsProduct({{f32, f16, bf16}, {1, 2}})
    ->UseRealTime()
    ->MeasureProcessCPUTime();
BENCHMARK(uniform_numbers)->ArgName("threads")->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK(product)->ArgNames({"n", "threads"})->ArgsProduct({{256, 1024}, {1, 2}})->UseRealTime();

} // namespace

BENCHMARK_MAIN();
