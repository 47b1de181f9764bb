#pragma once
/// \file  Adapters that are several: MELoRA's blocks along the diagonal, and a shared A with groups of B.
#include <lathe/adapt/initial.hpp>

#include <algorithm>
#include <numeric>

LATHE_NAMESPACE_BEGIN
namespace adapt {

/// MELoRA (Ren et al. 2024): p blocks, each for a p-th of the inputs and of the outputs: the change is block-diagonal,
/// of rank up to the sum of the blocks' ranks. Blocks as one adapter of scaling 1, padded with zeros: exact; merging,
/// forward and files are then those of any other. \throws shape_error unless all have the same extents
template <class B, real T>
    requires matrix_space<B, T>
adapter<B, T> melora_to_lora(B & be, std::span<factors<B, T> const> blocks) {
    expects_option(!blocks.empty(), "blocks", "none", "at least one");
    std::size_t rank = 0;
    for (auto const & f : blocks) {
        f.expect_valid();
        expects_shape(f.outputs() == blocks[0].outputs() && f.inputs() == blocks[0].inputs(),
                      "melora: the blocks are of different extents");
        rank += f.rank();
    }
    auto const m = blocks[0].outputs(), n = blocks[0].inputs();
    adapter<B, T> out(be, m * blocks.size(), n * blocks.size(), rank, 1);
    ops::fill(be, T(0), out.a_elements.view());
    ops::fill(be, T(0), out.b_elements.view());
    std::size_t first = 0;
    for (std::size_t i = 0; i != blocks.size(); ++i) {
        auto const & f = blocks[i];
        auto scales = weights_of(be, f);
        for (std::size_t j = 0; j != f.rank(); ++j) {
            auto const part = out.a().row(first + j).sub(i * n, n);
            ops::copy(be, f.a.row(j), part);
            ops::scale(be, static_cast<T>(scales[j]), part);
        }
        mat<B, T> const rows(out.b().data + static_cast<std::ptrdiff_t>(i * m * rank), m, rank, rank);
        copy_into_columns<B, T>(be, 1, op::none, f.b, rows, first);
        first += f.rank();
    }
    return out;
}

/// Options of melora.
struct melora_options {
    std::vector<std::size_t> ranks = {}; ///< of the blocks
    std::vector<double> alphas = {};     ///< one for each, or one for all
    std::uint64_t seed = 0;              ///< of a model; give every weight its own: seed ^ random::fnv1a(name)
};
/// The blocks of a weight: A_i uniform on +-1 / sqrt(inputs / p), B_i = 0. \throws option_error unless the number of
/// blocks divides the extents (its authors round down, in silence), and alphas and ranks fit each other
template <real T, class B>
    requires elementwise<B, T>
std::vector<adapter<B, T>> melora(B & be, std::size_t outputs, std::size_t inputs, melora_options const & options) {
    auto const p = options.ranks.size();
    expects_option(p != 0, "ranks", "none", "one for each block");
    expects_option(options.alphas.size() == 1 || options.alphas.size() == p, "alphas",
                   std::to_string(options.alphas.size()), "one, or one for each of " + std::to_string(p) + " blocks");
    expects_option(outputs % p == 0 && inputs % p == 0, "ranks", std::to_string(p),
                   "a number of blocks that divides " + std::to_string(outputs) + " and " + std::to_string(inputs));
    std::vector<adapter<B, T>> out;
    std::uint64_t first = 0;
    for (std::size_t i = 0; i != p; ++i) {
        auto const r = options.ranks[i];
        auto const columns = inputs / p;
        auto & block =
            out.emplace_back(be, outputs / p, columns, r,
                             scaling_of(options.alphas[options.alphas.size() == 1 ? 0 : i], r, scaling_rule::lora));
        fill_uniform(be, 1 / std::sqrt(static_cast<double>(columns)),
                     random::uniform_stream{options.seed, purposes::a, first}, block.a_elements.view());
        ops::fill(be, T(0), block.b_elements.view());
        first += r * columns;
    }
    return out;
}

/// Where the gradients of a weight under MELoRA go.
template <class B, real T> struct melora_gradients {
    std::vector<gradients<B, T>> blocks; ///< one for each block, of which a, b and sigma are looked at; or none
    std::optional<vec<B, T>> bias = std::nullopt; ///< of the layer's bias
    std::optional<mat<B, T>> x = std::nullopt;    ///< of the input
};
/// A weight under MELoRA, block by block: what the padded adapter does, without its zeros.
template <class B, real T>
    requires matrix_space<B, T>
class melora_layer {
    layer<B, T> at_;
    std::vector<factors<B, T>> blocks_;

    template <class P> mat_view<P> part(mat_view<P> m, std::size_t i) const {
        auto const n = m.cols / blocks_.size();
        return {m.data + static_cast<std::ptrdiff_t>(i * n), m.rows, n, m.ld};
    }
    void expect_fit(cmat<B, T> x, cmat<B, T> y) const {
        expects_shape(x.cols == at_.weight.cols && y.cols == at_.weight.rows && x.rows == y.rows,
                      "melora: input or output do not fit the weight");
    }

public:
    /// \throws option_error without a block; shape_error unless the blocks are equal shares of the weight
    melora_layer(layer<B, T> const & at, std::vector<factors<B, T>> blocks) : at_{at}, blocks_{std::move(blocks)} {
        expects_option(!blocks_.empty(), "blocks", "none", "at least one");
        for (auto const & f : blocks_) {
            f.expect_valid();
            expects_shape(f.outputs() * blocks_.size() == at_.weight.rows
                              && f.inputs() * blocks_.size() == at_.weight.cols,
                          "melora: a block is not its share of the weight");
        }
    }
    /// y := x W^T + bias, plus in block i of the outputs what block i makes of its (dropped) inputs. Time: 2 N out in
    /// and 2 N rank (out + in) / p for p blocks with `rank` together. \throws shape_error
    void forward(B & be, cmat<B, T> x, mat<B, T> y) const {
        expect_fit(x, y);
        base_forward(be, at_, x, y);
        std::optional<buffer_t<B, T>> memory;
        auto const input = dropped<B, T>(be, x, at_.dropout_mask, memory);
        for (std::size_t i = 0; i != blocks_.size(); ++i)
            add_forward(be, blocks_[i], part(input, i), part(y, i));
    }
    /// The gradients of a function of y from g, its gradient by y. Time: of forward, twice. \throws shape_error,
    /// option_error as adapt::backward
    void backward(B & be, cmat<B, T> x, cmat<B, T> g, melora_gradients<B, T> const & out) const {
        expect_fit(x, g);
        expects_shape(out.blocks.empty() || out.blocks.size() == blocks_.size(), "melora: one gradient for each block");
        std::optional<buffer_t<B, T>> memory, part_memory;
        auto const input = dropped<B, T>(be, x, at_.dropout_mask, memory);
        std::optional<mat<B, T>> of_adapter;
        if (out.x) {
            part_memory.emplace(be.template allocate<T>(x.rows * x.cols));
            ops::fill(be, T(0), part_memory->view());
            of_adapter = as_matrix(part_memory->view(), x.rows, x.cols);
        }
        for (std::size_t i = 0; i != blocks_.size(); ++i) {
            auto inner = out.blocks.empty() ? gradients<B, T>{} : out.blocks[i];
            inner.x.reset();
            if (of_adapter)
                inner.x = part(*of_adapter, i);
            add_backward(be, blocks_[i], part(input, i), part(g, i), inner);
        }
        if (out.x) {
            ops::gemm(be, op::none, op::none, T(1), g, at_.weight, T(0), *out.x);
            for (std::size_t t = 0; t != x.rows; ++t) {
                auto const row = of_adapter->row(t);
                if (at_.dropout_mask)
                    ops::map<T>(be, kernels::multiply, row, row, at_.dropout_mask->row(t));
                ops::axpy(be, T(1), row, out.x->row(t));
            }
        }
        if (out.bias)
            sum_rows<B, T>(be, g, *out.bias);
    }
};

/// Layers in groups that share one B beside the A that all share: Delta_l = s B_{c(l)} A. After ASLoRA (arXiv
/// 2412.10135), of which no code is public: which groups merge, and when, is ours to say. Every layer starts alone.
template <class B, real T> class shared_adapter {
    std::size_t outputs_, inputs_, rank_;
    double scaling_;
    buffer_t<B, T> a_;
    std::vector<buffer_t<B, T>> b_;         // of the groups
    std::vector<std::size_t> group_, size_; // of the layers; layers in a group

public:
    /// A as LoRA's, every B = 0. \throws option_error
    shared_adapter(B & be, std::size_t layers, std::size_t outputs, std::size_t inputs, std::size_t r,
                   lora_options const & options = {})
        : outputs_{outputs}, inputs_{inputs}, rank_{r}, scaling_{scaling_of(options.alpha, r, options.rule)},
          a_{be.template allocate<T>(r * inputs)}, group_(layers), size_(layers, 1) {
        std::iota(group_.begin(), group_.end(), std::size_t{0});
        auto first = lora<T>(be, outputs, inputs, r, options);
        ops::copy(be, first.a_elements.view(), a_.view());
        for (std::size_t l = 0; l != layers; ++l) {
            b_.push_back(be.template allocate<T>(outputs * r));
            ops::fill(be, T(0), b_.back().view());
        }
    }
    /// Groups that are left.
    [[nodiscard]] std::size_t groups() const noexcept { return b_.size(); }
    /// Of a layer. \throws std::out_of_range
    [[nodiscard]] std::size_t group(std::size_t layer) const { return group_.at(layer); }
    /// Layers in a group. \throws std::out_of_range
    [[nodiscard]] std::size_t size(std::size_t group) const { return size_.at(group); }
    /// The A of all layers, rank x inputs.
    [[nodiscard]] mat<B, T> a() { return as_matrix(a_.view(), rank_, inputs_); }
    /// Of a group. Its gradient is the sum of those of its layers.
    [[nodiscard]] mat<B, T> b(std::size_t group) { return as_matrix(b_.at(group).view(), outputs_, rank_); }
    /// Views for a layer, valid until groups merge. \throws std::out_of_range
    [[nodiscard]] adapt::factors<B, T> factors(std::size_t layer) { return {a(), b(group(layer)), scaling_}; }

    /// The cosine of two groups' B; 0 if one is 0.
    [[nodiscard]] double similarity(B & be, std::size_t i, std::size_t j) {
        auto const x = b_.at(i).view(), y = b_.at(j).view();
        auto const xx = ops::dot(be, x, x), yy = ops::dot(be, y, y);
        return xx > 0 && yy > 0 ? ops::dot(be, x, y) / (std::sqrt(xx) * std::sqrt(yy)) : 0.0;
    }
    /// Groups i and j become one, with the mean of their B, weighted by layers; the last group takes the number that
    /// is free. \throws option_error for a group with itself
    void merge(B & be, std::size_t i, std::size_t j) {
        expects_option(i != j && std::max(i, j) < groups(), "groups", std::to_string(i) + " and " + std::to_string(j),
                       "two of " + std::to_string(groups()));
        auto const [into, from] = std::minmax(i, j);
        auto const both = static_cast<double>(size_[into] + size_[from]);
        ops::axpby(be, static_cast<T>(static_cast<double>(size_[from]) / both), b_[from].view(),
                   static_cast<T>(static_cast<double>(size_[into]) / both), b_[into].view());
        size_[into] += size_[from];
        auto const last = groups() - 1;
        for (auto & g : group_)
            g = g == from ? into : g == last ? from : g;
        if (from != last) {
            std::swap(b_[from], b_[last]);
            size_[from] = size_[last];
        }
        b_.pop_back();
        size_.pop_back();
    }
    /// Merges the most similar pair until `target` groups are left, or similarity(i, j) is below `least` for all. Time:
    /// groups^2 similarities a merge.
    template <class Similarity> void merge_until(B & be, std::size_t target, double least, Similarity && alike) {
        while (groups() > std::max<std::size_t>(1, target)) {
            double best = -std::numeric_limits<double>::infinity();
            std::pair<std::size_t, std::size_t> pair{0, 1};
            for (std::size_t j = 1; j != groups(); ++j)
                for (std::size_t i = 0; i != j; ++i)
                    if (double const s = alike(i, j); s > best) {
                        best = s;
                        pair = {i, j};
                    }
            if (!(best >= least))
                return;
            merge(be, pair.first, pair.second);
        }
    }
    /// The same by the cosine of B.
    void merge_until(B & be, std::size_t target, double least = -1) {
        merge_until(be, target, least, [&](std::size_t i, std::size_t j) { return similarity(be, i, j); });
    }
};

} // namespace adapt
LATHE_NAMESPACE_END
