#pragma once
/// \file  Where merges in memory are written to.
#include <lathe/core/checkpoint.hpp>

namespace lathe_bench {

/// A checkpoint in memory whose pages are kept between runs: fresh pages would cost more than the merge.
class reused_sink final : public lathe::checkpoint_sink {
    lathe::memory_checkpoint & to_;
    bool begun_ = false;

public:
    explicit reused_sink(lathe::memory_checkpoint & to) : to_{to} {}
    void begin(std::vector<lathe::tensor_info> tensors, std::map<std::string, std::string> metadata) override {
        if (!begun_ && !std::ranges::equal(to_.tensors(), tensors))
            to_.begin(std::move(tensors), std::move(metadata));
        begun_ = true;
    }
    std::span<std::byte> window(std::size_t i, std::size_t first, std::size_t size, lathe::window_buffer & b) override {
        return to_.window(i, first, size, b);
    }
    void commit(std::size_t, std::size_t, std::span<std::byte const>) override {}
    void finish() override {}
};

} // namespace lathe_bench
