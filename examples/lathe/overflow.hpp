#pragma once
/// \file  Results that are too large for the type they are stored in.
#include <lathe/core/checkpoint.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace lathe_cli {

enum class overflow_policy : unsigned char {
    infinity, ///< they become infinite, as IEEE 754 has it; counted
    error,    ///< the first one ends the run
    saturate  ///< they become the largest finite value of their sign; counted
};

/// Hands everything on to another sink, and looks for infinite elements in tensors of F32, F16 and BF16 on their way.
/// An infinity that stood in an input cannot be told from one that rounding made, and is treated alike.
/// One pass over each window while it is in the cache; memory only for windows that are changed.
class overflow_watch final : public lathe::checkpoint_sink {
    lathe::checkpoint_sink & to_;
    overflow_policy policy_;
    std::vector<lathe::tensor_info> tensors_;
    std::vector<std::byte> changed_;
    std::uint64_t elements_ = 0;
    std::string first_;

public:
    overflow_watch(lathe::checkpoint_sink & to, overflow_policy policy) : to_{to}, policy_{policy} {}

    void begin(std::vector<lathe::tensor_info> tensors, std::map<std::string, std::string> metadata) override;
    std::span<std::byte> window(std::size_t index, std::size_t first, std::size_t size,
                                lathe::window_buffer & buffer) override {
        return to_.window(index, first, size, buffer);
    }
    /// \throws non_finite_error naming the tensor and the element, if the policy is error; what the other sink throws
    void commit(std::size_t index, std::size_t first, std::span<std::byte const> bytes) override;
    void finish() override { to_.finish(); }

    /// Infinite elements so far.
    [[nodiscard]] std::uint64_t elements() const noexcept { return elements_; }
    /// What the user should know, in one line; empty if there were none.
    [[nodiscard]] std::string note() const;
};

} // namespace lathe_cli
