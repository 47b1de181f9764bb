// What merges are made of, and merges, on every backend, on arrays that do not fit the caches. Each reports bytes moved
// for each second; `read` and `copy` are what the machine gives to a plain loop, in the same run: compare with those.
// bench/table.py makes a table of --benchmark_format=json.
#include "arrays.hpp"

namespace {

void read(benchmark::State & state) {
    auto const a = lathe_bench::array(lathe::dtype::f32, 0);
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
    lathe_bench::report(state, a.size());
}
void copy(benchmark::State & state) {
    auto const a = lathe_bench::array(lathe::dtype::f32, 0);
    std::vector<std::byte> out(a.size());
    for (auto _ : state) {
        std::memcpy(out.data(), a.data(), a.size());
        benchmark::ClobberMemory();
    }
    lathe_bench::report(state, 2 * a.size());
}
BENCHMARK(read)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(copy)->Unit(benchmark::kMillisecond)->UseRealTime();

} // namespace

BENCHMARK_MAIN();
