#pragma once
/// \file  Arrays to measure on, the same for every backend.
#include <lathe/core/checkpoint.hpp>
#include <lathe/core/ops.hpp>

#include <benchmark/benchmark.h>

#include <map>

namespace lathe_bench {

constexpr std::size_t elements = std::size_t{1} << 24;

/// Bytes of so many elements of a type, small numbers all of them. Those of f32 are made once, the others from them.
inline std::span<std::byte const> array(lathe::dtype type, std::size_t which) {
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

inline void report(benchmark::State & state, std::size_t bytes) {
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(bytes));
}

} // namespace lathe_bench
