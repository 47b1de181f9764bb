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

/// Looks for infinite elements of results of F32, F16 and BF16.
/// An infinity that stood in an input cannot be told from one that rounding made, and is treated alike.
class overflow_count {
    overflow_policy policy_;
    std::uint64_t elements_ = 0;
    std::string first_;

public:
    explicit overflow_count(overflow_policy policy) : policy_{policy} {}

    /// \param first the byte of the tensor at which `bytes` begin \returns whether they are to be saturated
    /// \throws non_finite_error naming the tensor and the element, if the policy is error
    bool look(lathe::tensor_info const & info, std::size_t first, std::span<std::byte const> bytes);
    /// Replaces infinities by the largest finite values of their sign.
    static void saturate(lathe::dtype type, std::span<std::byte> bytes);
    /// Elements that are known from elsewhere, and which was the first.
    void add(std::uint64_t elements, std::string const & first);

    /// Infinite elements so far.
    [[nodiscard]] std::uint64_t elements() const noexcept { return elements_; }
    /// Tensor, type and element of the first; empty if there were none.
    [[nodiscard]] std::string const & first() const noexcept { return first_; }
    /// What the user should know, in one line; empty if there were none.
    [[nodiscard]] std::string note() const;
};

/// Hands everything on to another sink, and counts infinite elements on their way.
/// One pass over each window while it is in the cache; memory only for windows that are changed.
class overflow_watch final : public lathe::checkpoint_sink {
    lathe::checkpoint_sink & to_;
    overflow_count & count_;
    std::vector<lathe::tensor_info> tensors_;
    std::vector<std::byte> changed_;

public:
    /// \param to, count which must outlive it
    overflow_watch(lathe::checkpoint_sink & to, overflow_count & count) : to_{to}, count_{count} {}

    void begin(std::vector<lathe::tensor_info> tensors, std::map<std::string, std::string> metadata) override;
    std::span<std::byte> window(std::size_t index, std::size_t first, std::size_t size,
                                lathe::window_buffer & buffer) override {
        return to_.window(index, first, size, buffer);
    }
    /// \throws what overflow_count and the other sink throw
    void commit(std::size_t index, std::size_t first, std::span<std::byte const> bytes) override;
    void finish() override { to_.finish(); }
};

} // namespace lathe_cli
