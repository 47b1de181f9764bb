#pragma once
/// \file  How adapters that leave the weight alone begin: random A, B = 0, so that the change is 0.
#include <lathe/adapt/factors.hpp>
#include <lathe/random/philox.hpp>

#include <numbers>

LATHE_NAMESPACE_BEGIN
namespace adapt {

/// Purposes of the streams of one seed (random/philox.hpp).
namespace purposes {
inline constexpr std::uint32_t a = 0, ///< of A
    sigma = 1,                        ///< of KaSA's sigma
    b = 2,                            ///< of B where it is not 0
    sketch = 3;                       ///< of dense changes
} // namespace purposes

namespace kernels {
/// [0, 1) spread over [-bound, bound).
inline constexpr auto uniform_between = [](auto const & u, auto const & bound) { return bound * (u + u - 1); };
} // namespace kernels

/// y := uniform on [-bound, bound).
template <class B, class P, class T = pointee_t<P>>
void fill_uniform(B & be, double bound, random::uniform_stream stream, vec_view<P> y) {
    ops::map<T>(be, kernels::uniform_between, y, stream, static_cast<T>(bound));
}
/// y := normal with mean 0, by Box and Muller's transform on the host: elements 2 i and 2 i + 1 from those of the
/// stream.
template <class B, class P, class T = pointee_t<P>>
void fill_normal(B & be, double deviation, random::uniform_stream stream, vec_view<P> y) {
    std::vector<T> values(y.n);
    for (std::size_t i = 0; i < y.n; i += 2) {
        auto const quad = stream.quad(stream.first / 4 + i / 4);
        auto const u = static_cast<double>(quad[i % 4]), v = static_cast<double>(quad[i % 4 + 1]);
        auto const radius = deviation * std::sqrt(-2 * std::log(1 - u)), angle = 2 * std::numbers::pi * v;
        values[i] = static_cast<T>(radius * std::cos(angle));
        if (i + 1 != y.n)
            values[i + 1] = static_cast<T>(radius * std::sin(angle));
    }
    be.upload(std::span<T const>{values}, y);
}

/// How LoRA draws A.
enum class initial_a : unsigned char {
    kaiming, ///< uniform on +-1 / sqrt(inputs): PyTorch's kaiming_uniform with a = sqrt(5)
    gaussian ///< normal, deviation 1 / r
};
/// Options of lora, and of what begins as it does.
struct lora_options {
    double alpha = 8;                       ///< the scaling is alpha / r or alpha / sqrt(r)
    scaling_rule rule = scaling_rule::lora; ///< which of the two
    initial_a a = initial_a::kaiming;       ///< the law of A
    std::uint64_t seed = 0;                 ///< of a model; give every weight its own: seed ^ random::fnv1a(name)
};

/// LoRA and rsLoRA: random A, B = 0. The numbers depend on the seed and the extents only. \throws option_error
template <real T, class B>
    requires elementwise<B, T>
adapter<B, T> lora(B & be, std::size_t outputs, std::size_t inputs, std::size_t r, lora_options const & options = {}) {
    adapter<B, T> out(be, outputs, inputs, r, scaling_of(options.alpha, r, options.rule));
    random::uniform_stream const stream{options.seed, purposes::a, 0};
    if (options.a == initial_a::kaiming)
        fill_uniform(be, 1 / std::sqrt(static_cast<double>(inputs)), stream, out.a_elements.view());
    else
        fill_normal(be, 1 / static_cast<double>(r), stream, out.a_elements.view());
    ops::fill(be, T(0), out.b_elements.view());
    return out;
}

} // namespace adapt
LATHE_NAMESPACE_END
