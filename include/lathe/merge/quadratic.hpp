#pragma once
/// \file  Quadratic objectives of merging: the distance to a target, weighted by tensor and by element (Fisher
///        information), and Frank-Wolfe on them in one pass over the models.
#include <lathe/merge/frank_wolfe.hpp>

LATHE_NAMESPACE_BEGIN
namespace merge {

namespace kernels {
/// The gradient w (x - y).
inline constexpr auto scaled_difference = [](auto const & w, auto const & x, auto const & y) { return w * (x - y); };
/// The gradient w f (x - y).
inline constexpr auto fisher_difference = [](auto const & w, auto const & f, auto const & x, auto const & y) {
    return w * f * (x - y);
};
/// <g, x - y>: twice the value where g is the gradient.
inline constexpr auto product_with_difference = [](auto & sums, auto const & g, auto const & x, auto const & y) {
    sums.add(0, g * (x - y));
};
/// w |a - b|^2.
inline constexpr auto scaled_square = [](auto & sums, auto const & a, auto const & b, auto const & w) {
    auto const d = a - b;
    sums.add(0, w * d * d);
};
/// w <a - b, F (a - b)>.
inline constexpr auto fisher_square = [](auto & sums, auto const & a, auto const & b, auto const & w, auto const & f) {
    auto const d = a - b;
    sums.add(0, w * f * d * d);
};
/// <e_i, e_j> for j <= i, row by row, where e_0 = v_0 - y and e_k = v_k - v_0: as in align, differences come first.
inline constexpr auto gram = [](auto & sums, auto const & vs, auto const & y) {
    std::size_t s = 0;
    for (std::size_t i = 0; i != vs.size(); ++i) {
        auto const a = i == 0 ? vs[0] - y : vs[i] - vs[0];
        sums.add(s++, a * (vs[0] - y));
        for (std::size_t j = 1; j <= i; ++j)
            sums.add(s++, a * (vs[j] - vs[0]));
    }
};
/// The same with the weights f: <e_i, F e_j>.
inline constexpr auto fisher_gram = [](auto & sums, auto const & vs, auto const & y, auto const & f) {
    std::size_t s = 0;
    for (std::size_t i = 0; i != vs.size(); ++i) {
        auto const a = f * (i == 0 ? vs[0] - y : vs[i] - vs[0]);
        sums.add(s++, a * (vs[0] - y));
        for (std::size_t j = 1; j <= i; ++j)
            sums.add(s++, a * (vs[j] - vs[0]));
    }
};
} // namespace kernels

/// f(x) = 1/2 sum over tensors n of w_n sum over elements i of F_i (x_i - y_i)^2, for a target y and a Fisher
/// information F (1 everywhere without one). The second-order model of a loss around y; with F the sum of several
/// models' and y their Fisher average it is, but for a constant, the sum of theirs (Matena and Raffel 2022).
///
/// Differentiable and separable: exact steps are open to it. Streams y and F; one pass over x, y, F and g. Memory: a
/// window of each.
template <class B, real T>
    requires elementwise<B, T>
class quadratic_distance {
    struct source {
        checkpoint * from = nullptr;
        std::vector<std::size_t> index; ///< of the tensors of the layout
        window_reader<B, T> reader;
    };
    parameter_layout layout_;
    std::vector<double> weights_;
    source target_, fisher_;

    [[nodiscard]] std::vector<std::size_t> locate(checkpoint const & in) const {
        std::vector<std::size_t> index;
        for (auto const & t : layout_.tensors()) {
            auto const found = in.find(t.name);
            if (!found || in.tensors()[*found].extents != t.extents)
                throw mismatch_error{std::string{in.label()} + ": tensor '" + t.name + "' "
                                     + (found ? "has shape " + to_string(in.tensors()[*found].extents) + ", expected "
                                                    + to_string(t.extents)
                                              : std::string{"is missing"})};
            index.push_back(*found);
        }
        return index;
    }
    auto read(B & be, source & s, std::size_t tensor, std::size_t first, std::size_t count) {
        return s.reader.read(be, *s.from, s.index[tensor], first, count);
    }

public:
    /// \param weights w_n by name; tensors it does not name have 1
    /// \param fisher F, no element of it negative; null for none. Target and Fisher are referred to, and read at every
    /// call.
    /// \throws mismatch_error if a tensor of the layout is missing or has another shape, or a weight's name is no
    /// tensor;
    ///         option_error if a weight is negative or not finite
    quadratic_distance(parameter_layout layout, checkpoint & target, std::map<std::string, double> const & weights = {},
                       checkpoint * fisher = nullptr)
        : layout_{std::move(layout)}, weights_(layout_.tensors().size(), 1.0), target_{&target, {}, {}},
          fisher_{fisher, {}, {}} {
        target_.index = locate(target);
        if (fisher != nullptr)
            fisher_.index = locate(*fisher);
        for (auto const & [name, w] : weights) {
            expects_option(std::isfinite(w) && w >= 0, "tensor_weights '" + name + "'", std::to_string(w),
                           "a finite number >= 0");
            weights_[layout_.find(name)] = w;
        }
    }
    /// Of the vectors it is a function of.
    [[nodiscard]] parameter_layout const & layout() const noexcept { return layout_; }
    /// w_n
    [[nodiscard]] double weight(std::size_t tensor) const { return weights_.at(tensor); }

    /// f(x), and its gradient in g. One pass over x, y, F and g, tensor by tensor.
    double value_and_gradient(B & be, cvec<B, T> x, vec<B, T> g) {
        double total = 0;
        for (std::size_t i = 0; i != layout_.tensors().size(); ++i) {
            auto const w = static_cast<T>(weights_[i]);
            for_each_window(layout_.tensors()[i].count(), default_window, [&](std::size_t first, std::size_t count) {
                auto const x_here = layout_.slice(x, i).sub(first, count);
                auto const g_here = layout_.slice(g, i).sub(first, count);
                auto const y = read(be, target_, i, first, count);
                if (fisher_.from == nullptr)
                    ops::map<T>(be, kernels::scaled_difference, g_here, w, x_here, y);
                else
                    ops::map<T>(be, kernels::fisher_difference, g_here, w, read(be, fisher_, i, first, count), x_here,
                                y);
                ops::reduce<T>(be, kernels::product_with_difference, std::span{&total, 1}, cvec<B, T>(g_here), x_here,
                               y);
            });
        }
        return total / 2;
    }
    /// total += <d, H d> for d = plus - minus, operands on the elements [first, first + n).
    template <class Plus, class Minus>
    void curvature(B & be, std::size_t first, Plus const & plus, Minus const & minus, double & total) {
        for (std::size_t i = 0; i != layout_.tensors().size(); ++i) {
            auto const begin = layout_.offset(i), end = begin + layout_.tensors()[i].count();
            auto const from = std::max(begin, first), to = std::min(end, first + plus.n);
            if (from >= to)
                continue;
            auto const w = static_cast<T>(weights_[i]);
            auto const a = plus.sub(from - first, to - from);
            auto const b = minus.sub(from - first, to - from);
            if (fisher_.from == nullptr)
                ops::reduce<T>(be, kernels::scaled_square, std::span{&total, 1}, a, b, w);
            else
                for_each_window(to - from, default_window, [&](std::size_t at, std::size_t count) {
                    ops::reduce<T>(be, kernels::fisher_square, std::span{&total, 1}, a.sub(at, count), b.sub(at, count),
                                   w, read(be, fisher_, i, from - begin + at, count));
                });
        }
    }
    /// The Gram sums (kernels::gram) of tensor i on a window of the vertices.
    void add_gram(B & be, std::size_t tensor, std::size_t first, std::size_t count, list<input_operand<B, T>> vertices,
                  std::span<double> sums) {
        auto const y = read(be, target_, tensor, first, count);
        if (fisher_.from == nullptr)
            ops::reduce<T>(be, kernels::gram, sums, vertices, y);
        else
            ops::reduce<T>(be, kernels::fisher_gram, sums, vertices, y, read(be, fisher_, tensor, first, count));
    }
};

/// A quadratic_distance on the hull of N vertices as a function of the weights alone: what one pass over the models
/// leaves of them. O(M N^2) memory; value, slopes and curvature are O(M N^2) operations, in double.
///
/// Stored are the products of e_0 = v_0 - y and e_k = v_k - v_0, so that x - y = e_0 + sum of w_k e_k.
class hull_quadratic {
    std::size_t n_, m_;
    std::vector<double> products_; ///< M x N x N
    std::vector<double> weights_;  ///< of the current point, M x N
    std::vector<double> slopes_;   ///< <g_b, (v_k - v_0)_b>

    [[nodiscard]] double product(std::size_t b, std::size_t i, std::size_t j) const {
        return products_[(b * n_ + i) * n_ + j];
    }
    /// |sum of c_k e_k|^2
    [[nodiscard]] double square(std::size_t b, std::span<double const> c) const {
        double total = 0;
        for (std::size_t i = 0; i != n_; ++i)
            for (std::size_t j = 0; j != n_; ++j)
                total += c[i] * product(b, i, j) * c[j];
        return total;
    }

public:
    static constexpr double eps = std::numeric_limits<double>::epsilon(); ///< of double: all is done there

    /// All products are zero, to be added to.
    hull_quadratic(std::size_t vertices, std::size_t blocks)
        : n_{vertices}, m_{blocks}, products_(n_ * n_ * m_), weights_(n_ * m_), slopes_(n_ * m_) {}

    /// Adds scale times the sums of kernels::gram to a block.
    void add(std::size_t block, double scale, std::span<double const> sums) {
        std::size_t s = 0;
        for (std::size_t i = 0; i != n_; ++i)
            for (std::size_t j = 0; j <= i; ++j, ++s) {
                products_[(block * n_ + i) * n_ + j] += scale * sums[s];
                if (i != j)
                    products_[(block * n_ + j) * n_ + i] += scale * sums[s];
            }
    }
    ///@{
    /// As hull_problem and separable_quadratic_problem have it; lengths are measured by the curvature.
    [[nodiscard]] std::size_t vertices() const noexcept { return n_; }
    [[nodiscard]] std::size_t blocks() const noexcept { return m_; }

    double evaluate() {
        double total = 0;
        std::vector<double> c(n_);
        for (std::size_t b = 0; b != m_; ++b) {
            std::copy_n(weights_.begin() + static_cast<std::ptrdiff_t>(b * n_), n_, c.begin());
            c[0] = 1;
            total += square(b, c);
            for (std::size_t k = 1; k != n_; ++k) {
                double slope = 0;
                for (std::size_t j = 0; j != n_; ++j)
                    slope += product(b, k, j) * c[j];
                slopes_[b * n_ + k] = slope;
            }
        }
        return total / 2;
    }
    void align(std::vector<std::vector<std::size_t>> const & candidates, std::span<double> out) {
        for (std::size_t b = 0; b != m_; ++b) {
            double at = 0;
            for (std::size_t k = 0; k != n_; ++k)
                at += weights_[b * n_ + k] * slopes_[b * n_ + k];
            for (auto const k : candidates[b])
                out[b * n_ + k] = slopes_[b * n_ + k] - at;
        }
    }
    void place(std::span<double const> weights) { weights_.assign(weights.begin(), weights.end()); }
    void advance(std::span<double const> c) {
        for (std::size_t b = 0; b != m_; ++b) {
            double sum = 0;
            for (std::size_t k = 0; k != n_; ++k)
                sum += c[b * n_ + k];
            for (std::size_t k = 0; k != n_; ++k)
                weights_[b * n_ + k] += c[b * n_ + k] - sum * weights_[b * n_ + k];
        }
    }
    void curvatures(std::span<block_direction const> directions, std::span<double> out) {
        std::vector<double> c(n_);
        for (std::size_t b = 0; b != m_; ++b) {
            auto const & d = directions[b];
            if (d.kind == step_kind::none)
                continue;
            std::ranges::fill(c, 0.0);
            double const x = d.kind == step_kind::fw ? -1 : d.kind == step_kind::away ? 1 : 0; // coefficient of x in d
            for (std::size_t k = 0; k != n_; ++k)
                c[k] = x * weights_[b * n_ + k];
            if (d.kind != step_kind::away)
                c[d.vertex] += 1;
            if (d.kind != step_kind::fw)
                c[*d.away] -= 1;
            c[0] = 0; // d has no part along e_0, and v_0 is the origin of the others
            out[b] += square(b, c);
        }
    }
    void squared_lengths(std::span<block_direction const> directions, std::span<double> out) {
        curvatures(directions, out);
    }
    ///@}
};

/// The quadratic on the hull of a pool's models: one pass over the models and what `f` reads, N (N + 1) / 2 sums.
template <class B, real T>
    requires elementwise<B, T>
hull_quadratic make_hull_quadratic(B & be, model_pool const & pool, quadratic_distance<B, T> & f,
                                   merge::granularity granularity = merge::granularity::task) {
    auto const rows = merged_rows(pool);
    auto const n = pool.size();
    bool const by_layer = granularity == merge::granularity::layer;
    hull_quadratic q(n, by_layer ? rows.size() : 1);
    pool_reader<B, T> in(pool);
    for (std::size_t i = 0; i != rows.size(); ++i) {
        std::vector<double> sums(n * (n + 1) / 2);
        for_each_window(rows[i]->info.count(), pool.window(), [&](std::size_t first, std::size_t count) {
            in.seek(be, *rows[i], first, count, false);
            f.add_gram(be, i, first, count, in.models(), sums);
        });
        q.add(by_layer ? i : 0, f.weight(i), sums);
    }
    return q;
}

/// The convex combination of a pool's models with given weights, as a recipe: [block][model], one block or one for each
/// merged row.
template <class B, real T> class convex_combination {
    std::vector<std::vector<double>> weights_;
    std::vector<std::size_t> block_; ///< by row of the pool
    std::vector<input_operand<B, T>> operands_;

public:
    static constexpr bool reads_base = false; ///< windows of the base are not read
    /// \throws option_error if the weights are for another number of models or of merged rows
    convex_combination(model_pool const & pool, std::vector<std::vector<double>> weights)
        : weights_{std::move(weights)} {
        std::size_t merged = 0;
        for (auto const & row : pool.rows()) {
            block_.push_back(weights_.size() == 1 ? 0 : merged);
            merged += row.merged ? 1u : 0u;
        }
        expects_option(weights_.size() == 1 || weights_.size() == merged, "weights",
                       std::to_string(weights_.size()) + " rows", "one, or one for each merged tensor");
        for (auto const & w : weights_)
            expects_option(w.size() == pool.size(), "weights", std::to_string(w.size()) + " numbers",
                           "one for each model");
    }
    /// Makes the window that `in` holds; models of weight 0 take no part.
    template <class Out> void operator()(B & be, pool_reader<B, T> const & in, Out out) {
        auto const & w = weights_[block_[in.row_index()]];
        std::vector<T> values;
        operands_.clear();
        for (std::size_t k = 0; k != w.size(); ++k)
            if (w[k] != 0) {
                values.push_back(static_cast<T>(w[k]));
                operands_.push_back(in.model(k));
            }
        ops::map<T>(be, kernels::convex_combination, out, list(values), list(operands_));
    }
};

/// frank_wolfe() for a quadratic_distance, with the models read twice in all: once for the products of their
/// differences, once to write the combination. An iteration is O(M N^2) operations on the host, whatever the size of
/// the models. Weights, gap and trace are those of the streamed iteration up to rounding; a stopped run writes nothing.
/// `f` is over parameter_layout::of(pool). Memory: a window of each model, M N^2 numbers. \throws as frank_wolfe
template <real T = float, class B, class Obs = no_observer, class Stop = never_stop, class OnStep = ignore_steps>
    requires elementwise<B, T>
frank_wolfe_result frank_wolfe_gram(B & be, model_pool const & pool, quadratic_distance<B, T> & f,
                                    checkpoint_sink & sink, frank_wolfe_options const & options = {},
                                    control<Obs, Stop> ctl = {}, OnStep && on_step = {}) {
    auto q = make_hull_quadratic<B, T>(be, pool, f, options.granularity);
    auto result =
        hull_iteration<hull_quadratic, Obs, Stop, std::remove_reference_t<OnStep>>(q, options, ctl, on_step).run();
    if (result.status == status::stopped)
        return result;
    convex_combination<B, T> combine(pool, result.weights);
    if (write<B, T>(be, pool, combine, sink, control<no_observer, Stop>{{}, ctl.stop}) == status::stopped)
        result.status = status::stopped;
    return result;
}

} // namespace merge
LATHE_NAMESPACE_END
