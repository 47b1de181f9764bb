#pragma once
/// \file  Small checkpoints of random models around a common base, for tests of methods on their convex hull.
#include <lathe/core/checkpoint.hpp>
#include <lathe/core/convert.hpp>
#include <lathe/random/philox.hpp>

#include <memory>

namespace lathe_test {

/// Numbers in [-1, 1), the same on every machine.
inline std::vector<double> numbers(std::uint64_t seed, std::uint32_t purpose, std::size_t n) {
    lathe::random::uniform_stream const stream{seed, purpose, 0};
    std::vector<double> all;
    for (std::size_t i = 0; i < n; i += 4)
        for (auto const u : stream.quad(i / 4))
            all.push_back(2 * static_cast<double>(u) - 1);
    all.resize(n);
    return all;
}

/// Names and shapes: odd sizes, a scalar, a tensor of several windows, an integer and an empty tensor.
inline std::vector<lathe::tensor_info> tensors() {
    using lathe::dtype;
    return {{"a.weight", dtype::f32, {3, 5}},       {"b.bias", dtype::f64, {}},     {"c.long", dtype::f32, {9001}},
            {"d.steps", dtype::i64, {2}},           {"e.none", dtype::f32, {0, 4}}, {"f.scale", dtype::f32, {7}},
            {"\xc3\xa9.weight", dtype::f32, {2, 2}}};
}

/// A base common to all, and a part of its own for each purpose.
inline std::unique_ptr<lathe::memory_checkpoint> model(std::uint64_t seed, std::uint32_t purpose, double spread = 0.1) {
    auto made = std::make_unique<lathe::memory_checkpoint>("model " + std::to_string(purpose));
    std::uint32_t tensor = 0;
    for (auto const & t : tensors()) {
        ++tensor;
        std::vector<std::byte> bytes(t.bytes());
        auto const base = numbers(seed, 1000 + tensor, t.count());
        auto own = numbers(seed, 100 * (purpose + 20) + tensor, t.count());
        for (std::size_t i = 0; i != own.size(); ++i)
            own[i] = base[i] + spread * own[i];
        if (is_floating(t.type))
            lathe::host::store(t.type, own.data(), own.size(), bytes.data());
        else
            bytes[0] = std::byte{static_cast<unsigned char>(purpose)};
        made->set(t, bytes);
    }
    return made;
}

/// Models 0 to n - 1, and what a pool takes of them.
struct models {
    std::vector<std::unique_ptr<lathe::memory_checkpoint>> all;
    std::vector<lathe::checkpoint *> pointers;

    explicit models(std::uint64_t seed, std::size_t n, double spread = 0.1) {
        for (std::uint32_t k = 0; k != n; ++k)
            add(model(seed, k, spread));
    }
    void add(std::unique_ptr<lathe::memory_checkpoint> m) {
        pointers.push_back(m.get());
        all.push_back(std::move(m));
    }
};

/// The floating elements of a checkpoint, one after the other.
inline std::vector<double> elements(lathe::memory_checkpoint const & c) {
    std::vector<double> all;
    for (std::size_t i = 0; i != c.tensors().size(); ++i) {
        auto const & t = c.tensors()[i];
        if (!is_floating(t.type))
            continue;
        std::vector<double> part(t.count());
        lathe::host::load(t.type, c.bytes(i).data(), t.count(), part.data());
        all.insert(all.end(), part.begin(), part.end());
    }
    return all;
}

/// The bytes of all tensors, one after the other.
inline std::vector<std::byte> bytes_of(lathe::memory_checkpoint const & c) {
    std::vector<std::byte> all;
    for (std::size_t i = 0; i != c.tensors().size(); ++i)
        all.insert(all.end(), c.bytes(i).begin(), c.bytes(i).end());
    return all;
}

/// Another checkpoint, with the bytes that were read of it.
class counting_checkpoint final : public lathe::checkpoint {
    lathe::checkpoint * inner_;

public:
    std::size_t bytes_read = 0;

    explicit counting_checkpoint(lathe::checkpoint & inner) : inner_{&inner} {}
    [[nodiscard]] std::span<lathe::tensor_info const> tensors() const override { return inner_->tensors(); }
    [[nodiscard]] std::string_view label() const override { return inner_->label(); }
    [[nodiscard]] std::map<std::string, std::string> const & metadata() const override { return inner_->metadata(); }
    std::span<std::byte const> read(std::size_t index, std::size_t first, std::size_t size,
                                    lathe::window_buffer & buffer) override {
        bytes_read += size;
        return inner_->read(index, first, size, buffer);
    }
};

} // namespace lathe_test
