#pragma once
/// \file  Models to merge on an archetype and on Eigen, and the comparison of what comes out.
#include <lathe/backend/eigen.hpp>
#include <lathe/merge/pool.hpp>
#include <lathe/testing/archetype.hpp>

#include "catch.hpp"

#include <memory>

namespace lathe_test {
using namespace lathe;

/// A base and models near it: matrices, vectors, a scalar, three extents, all types, several windows of one tensor.
class models {
    memory_checkpoint base_{"base"};
    std::vector<std::unique_ptr<memory_checkpoint>> models_;

    static void fill(memory_checkpoint & c, std::uint32_t which, bool with_scalar) {
        std::uint32_t tensor = 0;
        auto const add = [&](std::string name, shape extents, dtype type) {
            std::vector<float> x(count_of(extents));
            random::uniform_stream const common{1, ++tensor, 0}, own{2, tensor, std::uint64_t{which} << 20};
            for (std::size_t i = 0; i != x.size(); ++i)
                x[i] = (2 * common[i] - 1) + (which == 0 ? 0 : 0.2f * own[i] - 0.08f);
            std::vector<std::byte> bytes(x.size() * size_of(type));
            host::store(type, x.data(), x.size(), bytes.data());
            c.set({std::move(name), type, std::move(extents)}, bytes);
        };
        add("long.weight", {100, 101}, dtype::f32);
        add("long.bias", {100}, dtype::f32);
        add("tall.weight", {17, 6}, dtype::f32);
        add("conv", {2, 3, 5}, dtype::f16);
        add("norm", {7}, dtype::bf16);
        if (with_scalar)
            add("scale", {}, dtype::f32);
        add("empty", {0, 3}, dtype::f32);
        std::vector<std::int64_t> const ids{static_cast<std::int64_t>(which), 7};
        c.set({"ids", dtype::i64, {2}}, std::as_bytes(std::span{ids}));
    }

public:
    explicit models(std::size_t count, bool with_scalar = true) {
        fill(base_, 0, with_scalar);
        for (std::uint32_t k = 1; k <= count; ++k) {
            models_.push_back(std::make_unique<memory_checkpoint>("model " + std::to_string(k - 1)));
            fill(*models_.back(), k, with_scalar);
        }
    }
    [[nodiscard]] memory_checkpoint & base() { return base_; }
    [[nodiscard]] memory_checkpoint & operator[](std::size_t k) { return *models_[k]; }
    [[nodiscard]] std::vector<checkpoint *> all() {
        std::vector<checkpoint *> all;
        for (auto & m : models_)
            all.push_back(m.get());
        return all;
    }
    [[nodiscard]] merge::model_pool pool(bool with_base = true) {
        return merge::model_pool(with_base ? &base_ : nullptr, all(), {.window = 4096});
    }
};

/// Squares of the models' elements stand for Fisher information.
inline std::vector<std::unique_ptr<memory_checkpoint>> fishers_of(models & m, std::size_t count) {
    std::vector<std::unique_ptr<memory_checkpoint>> all;
    for (std::size_t k = 0; k != count; ++k) {
        auto & c = *all.emplace_back(std::make_unique<memory_checkpoint>("fisher"));
        for (std::size_t i = 0; i != m[k].tensors().size(); ++i) {
            auto const & t = m[k].tensors()[i];
            if (!is_floating(t.type))
                continue;
            std::vector<float> x(t.count());
            host::load(t.type, m[k].bytes(i).data(), x.size(), x.data());
            for (auto & v : x)
                v *= v;
            c.set<float>(t.name, t.extents, x);
        }
    }
    return all;
}
/// Gram matrices of the inputs of "tall": x^T x of ten random rows, and a little more on the diagonal.
inline std::vector<std::unique_ptr<memory_checkpoint>> grams_of_tall(std::uint32_t count) {
    std::vector<std::unique_ptr<memory_checkpoint>> grams;
    for (std::uint32_t k = 0; k != count; ++k) {
        random::uniform_stream const u{4, k, 0};
        std::vector<float> g(36);
        for (std::size_t i = 0; i != 6; ++i)
            for (std::size_t j = 0; j != 6; ++j)
                for (std::size_t r = 0; r != 10; ++r)
                    g[i * 6 + j] += (u[r * 6 + i] - 0.5f) * (u[r * 6 + j] - 0.5f) + (i == j ? 0.1f : 0.0f);
        grams.push_back(std::make_unique<memory_checkpoint>("grams"));
        grams.back()->set<float>("tall", {6, 6}, g);
    }
    return grams;
}
inline std::vector<checkpoint *> pointers(std::vector<std::unique_ptr<memory_checkpoint>> const & files) {
    std::vector<checkpoint *> all;
    for (auto const & f : files)
        all.push_back(f.get());
    return all;
}

/// The same tensors, with elements that differ by rounding only.
inline void check_alike(memory_checkpoint const & found, memory_checkpoint const & expected, double tolerance) {
    REQUIRE(std::ranges::equal(found.tensors(), expected.tensors()));
    for (std::size_t i = 0; i != found.tensors().size(); ++i) {
        auto const & t = found.tensors()[i];
        CAPTURE(t.name);
        if (!is_floating(t.type)) {
            CHECK(std::ranges::equal(found.bytes(i), expected.bytes(i)));
            continue;
        }
        std::vector<double> f(t.count()), e(t.count());
        host::load(t.type, found.bytes(i).data(), f.size(), f.data());
        host::load(t.type, expected.bytes(i).data(), e.size(), e.data());
        double const unit = t.type == dtype::bf16 ? 0x1p-7 : t.type == dtype::f16 ? 0x1p-10 : 0;
        double worst = 0;
        for (std::size_t k = 0; k != f.size(); ++k) {
            auto const off = std::fabs(f[k] - e[k]) / (1 + std::fabs(e[k]));
            worst = off <= worst ? worst : off; // NaN is worst
        }
        CHECK(worst <= tolerance + unit);
    }
}

/// Runs run(be, sink) on the archetype of that floor and on Eigen: both have to write the same. \returns both results
template <testing::floor F, class T, class Run> auto run_on_both(Run && run, double tolerance) {
    testing::archetype<F, T> device;
    eigen_backend host(2);
    memory_checkpoint from_device, from_host;
    if constexpr (std::is_void_v<decltype(run(host, from_host))>) {
        run(device, from_device);
        run(host, from_host);
        check_alike(from_device, from_host, tolerance);
    } else {
        auto results = std::pair{run(device, from_device), run(host, from_host)};
        check_alike(from_device, from_host, tolerance);
        CHECK(device.memory().now == 0);
        return results;
    }
}
/// What single and double precision may differ by after a few operations.
template <class T> inline constexpr double few_roundings = 64 * std::numeric_limits<T>::epsilon();

} // namespace lathe_test
