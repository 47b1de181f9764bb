#pragma once
/// \file  Frank-Wolfe over the convex hull of models: the classical algorithm, with away and pairwise steps, a duality
///        gap that certifies the result, and the convex weights. Section 6.3 of docs/merging.md.
///
/// The published merging methods of that name, which choose by cosines and keep no certificate, are other functions.
#include <lathe/merge/vertex_pool.hpp>

LATHE_NAMESPACE_BEGIN
namespace merge {

/// Which directions a step may take. All but fw converge linearly for strongly convex objectives (Lacoste-Julien and
/// Jaggi 2015); fw does not when the optimum lies on a face of the hull.
enum class frank_wolfe_method : unsigned char {
    fw,      ///< towards the vertex with the smallest slope
    away,    ///< that, or away from the active vertex with the largest slope, whichever promises more
    pairwise ///< weight goes from the active vertex with the largest slope to the vertex with the smallest
};

/// How far a step goes.
enum class step_rule : unsigned char {
    open,        ///< 2 / (t + 2), whatever the objective
    exact,       ///< to the minimum along the direction: for objectives that know their curvature
    backtracking ///< to the minimum of a quadratic bound whose curvature is estimated as it goes (Pedregosa et al.
                 ///< 2020)
};

/// Options of frank_wolfe() and frank_wolfe_gram().
struct frank_wolfe_options {
    frank_wolfe_method method = frank_wolfe_method::fw; ///< which directions a step may take
    step_rule step = step_rule::backtracking;           ///< how far it goes
    /// one row of weights for the whole vector (task), or one for each tensor (layer)
    merge::granularity granularity = merge::granularity::task;
    std::size_t iters = 100;             ///< steps at most
    double gap_tolerance = 1e-6;         ///< stop when the duality gap is not above this
    std::size_t start = 0;               ///< the model the iteration starts from
    std::vector<double> start_weights{}; ///< or the combination: [model], or [block][model]; empty for `start`
    double step_scale = 1.0;             ///< multiplies the steps of the open rule; in (0, 1]
    bool lazy = false;                   ///< look at active vertices first, at the whole pool only when they stall
};

/// How one block moved.
struct block_step {
    block_direction direction; ///< d_b
    double gamma = 0;          ///< x_b := x_b + gamma d_b
};
/// One step.
struct frank_wolfe_iteration {
    std::size_t t; ///< number of the step, from 0
    /// The objective before the step.
    double f, gap;                  ///< the duality gap before the step: that of the last look at the whole pool
    bool certified;                 ///< whether that look was at this iteration: always, unless `lazy`
    std::vector<block_step> blocks; ///< one for each block
    std::vector<std::vector<double>> weights; ///< after the step
};

/// What frank_wolfe() found.
struct frank_wolfe_result {
    frank_wolfe_options options; ///< echoed, so that a result can be repeated from itself
    lathe::status status;        ///< converged: the gap is within gap_tolerance; iteration_limit; or stopped
    std::size_t iterations;      ///< steps taken
    std::size_t evaluations;     ///< of the objective and its gradient
    std::size_t passes;          ///< over the whole pool, for the gap
    double objective;            ///< f(x)
    double gap;                  ///< of x: at least f(x) - min f if f is convex; always from the whole pool
    std::vector<std::vector<double>> weights; ///< [block][model], each row >= 0 with sum 1; x is this combination
};

/// Checks the options for N vertices in M blocks. \throws option_error
inline void validate(frank_wolfe_options const & o, std::size_t vertices, std::size_t blocks) {
    expects_option(o.gap_tolerance >= 0, "gap_tolerance", std::to_string(o.gap_tolerance), "at least 0");
    expects_option(o.step_scale > 0 && o.step_scale <= 1, "step_scale", std::to_string(o.step_scale),
                   "a number in (0, 1]");
    expects_option(o.granularity == merge::granularity::layer || blocks == 1, "granularity", "task",
                   "layer: the vertices are in blocks");
    auto const & w = o.start_weights;
    if (w.empty()) {
        expects_option(o.start < vertices, "start", std::to_string(o.start),
                       "less than the number of models, " + std::to_string(vertices));
        return;
    }
    expects_option(w.size() == vertices || w.size() == vertices * blocks, "start_weights",
                   std::to_string(w.size()) + " numbers", "one for each model, or for each block and model");
    for (std::size_t first = 0; first != w.size(); first += vertices) {
        double sum = 0;
        for (std::size_t k = first; k != first + vertices; ++k) {
            expects_option(w[k] >= 0, "start_weights", std::to_string(w[k]), "numbers >= 0");
            sum += w[k];
        }
        expects_option(std::abs(sum - 1) < 1e-6, "start_weights", "a sum of " + std::to_string(sum), "a sum of 1");
    }
}

/// A function f over a product of M simplices of N vertices each, in terms of weights alone: what the iteration runs
/// on. `evaluate` is f at the current point, and everything else is about the gradient there. Matrices are M x N,
/// row-major.
template <class P>
concept hull_problem = requires(P & p, std::vector<std::vector<std::size_t>> const & candidates, std::span<double> out,
                                std::span<double const> in, std::span<block_direction const> directions) {
    { p.vertices() } -> std::same_as<std::size_t>;
    { p.blocks() } -> std::same_as<std::size_t>;
    { p.evaluate() } -> std::same_as<double>;
    p.align(candidates, out);                  // <g_b, (v_k - x)_b> for the candidates of each block
    p.squared_lengths(directions, out);        // of d_b, in a norm the problem likes
    p.place(in);                               // x := the combination
    p.advance(in);                             // x_b := x_b + sum c(b, k) (v_k - x)_b
    { P::eps } -> std::convertible_to<double>; // unit roundoff of f
};
/// f(x + d) = f(x) + <g, d> + the sum of <d_b, H d_b> / 2: blocks do not interact, and the curvature is known.
template <class P>
concept separable_quadratic_problem =
    hull_problem<P> && requires(P & p, std::span<block_direction const> directions, std::span<double> out) {
        p.curvatures(directions, out);
    };

/// The iteration itself. See frank_wolfe().
template <hull_problem Problem, class Obs, class Stop, class OnStep> class hull_iteration {
    using matrix = std::vector<double>;

    Problem & problem_;
    frank_wolfe_options const & options_;
    control<Obs, Stop> & ctl_;
    OnStep & on_step_;
    std::size_t const n_, m_;
    matrix weights_, slopes_;
    std::vector<block_direction> directions_;
    matrix promise_, limit_; ///< by block: -<g_b, d_b>, and the largest step
    double f_ = 0, gap_ = 0;
    /// Of the backtracking rule.
    struct last_step {
        std::vector<block_direction> directions;
        matrix gamma, promise, length;
    };
    last_step last_;
    matrix metric_;
    double lipschitz_ = 0;
    std::size_t evaluations_ = 0, passes_ = 0, t_ = 0;

    [[nodiscard]] std::span<double const> row(matrix const & a, std::size_t b) const {
        return std::span{a}.subspan(b * n_, n_);
    }

    /// Makes a row sum to 1.
    void normalise(matrix & weights, std::size_t b) const {
        std::span<double> const w{weights.data() + b * n_, n_};
        double sum = 0;
        for (auto const v : w)
            sum += v;
        for (auto & v : w)
            v /= sum;
    }
    /// Sum of w_k h_k over the active k: zero but for rounding, because slopes are relative to x.
    [[nodiscard]] double slope_at_x(std::size_t b) const {
        double sum = 0;
        for (std::size_t k = 0; k != n_; ++k)
            if (weights_[b * n_ + k] > 0)
                sum += weights_[b * n_ + k] * slopes_[b * n_ + k];
        return sum;
    }
    void read_slopes(std::vector<std::vector<std::size_t>> const & candidates) {
        problem_.align(candidates, slopes_);
        for (std::size_t b = 0; b != m_; ++b)
            for (auto const k : candidates[b])
                if (!std::isfinite(slopes_[b * n_ + k]))
                    throw non_finite_error{
                        "frank_wolfe: step " + std::to_string(t_) + ": the slope towards model " + std::to_string(k)
                        + (m_ == 1 ? std::string{} : " in block " + std::to_string(b)) + " is not finite"};
    }
    /// The best direction of each block among the candidates. \returns what all promise together
    double choose(std::vector<std::vector<std::size_t>> const & candidates) {
        double total = 0;
        for (std::size_t b = 0; b != m_; ++b) {
            auto const h = row(slopes_, b), w = row(weights_, b);
            auto & d = directions_[b] = {};
            std::size_t best = n_, worst = n_;
            for (auto const k : candidates[b]) {
                if (best == n_ || h[k] < h[best])
                    best = k;
                if (w[k] > 0 && (worst == n_ || h[k] > h[worst]))
                    worst = k;
            }
            double const at = slope_at_x(b), towards = at - h[best], away = h[worst] - at;
            d.vertex = best;
            if (options_.method == frank_wolfe_method::pairwise) {
                d = {step_kind::pairwise, best, worst};
                promise_[b] = h[worst] - h[best];
                limit_[b] = w[worst];
            } else if (options_.method == frank_wolfe_method::away && away > towards && w[worst] < 1) {
                d = {step_kind::away, best, worst};
                promise_[b] = away;
                limit_[b] = w[worst] / (1 - w[worst]);
            } else {
                d.kind = step_kind::fw;
                promise_[b] = towards;
                limit_[b] = 1;
            }
            if (!(promise_[b] > 0)) {
                d.kind = step_kind::none;
                promise_[b] = limit_[b] = 0;
            }
            total += promise_[b];
        }
        return total;
    }
    /// Slopes and directions from all vertices; the gap with them. Active ones may have been read before.
    void look_at_all(bool active_known) {
        std::vector<std::vector<std::size_t>> all(m_), unread(m_);
        for (std::size_t b = 0; b != m_; ++b)
            for (std::size_t k = 0; k != n_; ++k) {
                all[b].push_back(k);
                if (!active_known || !(weights_[b * n_ + k] > 0))
                    unread[b].push_back(k);
            }
        read_slopes(unread);
        ++passes_;
        gap_ = 0;
        for (std::size_t b = 0; b != m_; ++b)
            gap_ += slope_at_x(b) - std::ranges::min(row(slopes_, b));
        choose(all);
    }
    /// Slopes and directions from the active vertices. \returns whether they promise half of the last gap or more
    bool look_at_active() {
        std::vector<std::vector<std::size_t>> active(m_);
        for (std::size_t b = 0; b != m_; ++b)
            for (std::size_t k = 0; k != n_; ++k)
                if (weights_[b * n_ + k] > 0)
                    active[b].push_back(k);
        read_slopes(active);
        return choose(active) >= gap_ / 2;
    }

    void evaluate() {
        f_ = problem_.evaluate();
        ++evaluations_;
    }
    /// The weights after steps of these lengths.
    [[nodiscard]] matrix moved(matrix const & gamma) const {
        auto weights = weights_;
        for (std::size_t b = 0; b != m_; ++b) {
            std::span<double> const w{weights.data() + b * n_, n_};
            auto const & d = directions_[b];
            auto const g = gamma[b];
            if (d.kind == step_kind::none || g == 0)
                continue;
            if (d.kind != step_kind::pairwise)
                for (auto & v : w)
                    v *= d.kind == step_kind::fw ? 1 - g : 1 + g;
            if (d.kind != step_kind::away)
                w[d.vertex] += g;
            if (d.kind != step_kind::fw)
                w[*d.away] = g == limit_[b] ? 0 : std::max(0.0, w[*d.away] - g);
            normalise(weights, b);
        }
        return weights;
    }
    /// Moves x by steps of these lengths. Now and then x is made anew of the weights, so that rounding does not add up.
    void move(matrix const & gamma) {
        constexpr std::size_t refresh = 64;
        if ((t_ + 1) % refresh == 0) {
            problem_.place(moved(gamma));
            return;
        }
        matrix c(n_ * m_);
        for (std::size_t b = 0; b != m_; ++b) {
            auto const & d = directions_[b];
            if (d.kind == step_kind::fw || d.kind == step_kind::pairwise)
                c[b * n_ + d.vertex] += gamma[b];
            if (d.kind == step_kind::away || d.kind == step_kind::pairwise)
                c[b * n_ + *d.away] -= gamma[b];
        }
        problem_.advance(c);
    }

    [[nodiscard]] matrix open_steps() const {
        matrix gamma(m_);
        for (std::size_t b = 0; b != m_; ++b)
            gamma[b] = std::min(options_.step_scale * 2 / (static_cast<double>(t_) + 2), limit_[b]);
        return gamma;
    }
    /// The minimum of promise and curvature along each direction.
    [[nodiscard]] matrix quadratic_steps(matrix const & curvature) const {
        matrix gamma(m_);
        for (std::size_t b = 0; b != m_; ++b)
            if (directions_[b].kind != step_kind::none)
                gamma[b] = curvature[b] > 0 ? std::min(promise_[b] / curvature[b], limit_[b]) : limit_[b];
        return gamma;
    }
    /// What the new slopes say about the curvature that each block met in the last step, block by block where the
    /// Euclidean norm would make all wait for the steepest. Only a guess at the bound: backtrack() sees to its truth.
    void learn_metric(bool all_known) {
        for (std::size_t b = 0; b != m_; ++b) {
            auto const & d = last_.directions[b];
            auto const h = row(slopes_, b);
            auto const known = [&](std::size_t k) { return all_known || weights_[b * n_ + k] > 0; };
            double const gamma = last_.gamma[b];
            double slope; // <g, d> after the step
            if (gamma == 0 || d.kind == step_kind::none)
                continue;
            if (d.kind == step_kind::fw && gamma < 0.99 && known(d.vertex))
                slope = h[d.vertex] / (1 - gamma);
            else if (d.kind == step_kind::away && known(*d.away))
                slope = -h[*d.away] / (1 + gamma);
            else if (d.kind == step_kind::pairwise && known(d.vertex) && known(*d.away))
                slope = h[d.vertex] - h[*d.away];
            else
                continue;
            double const seen = (slope + last_.promise[b]) / (gamma * last_.length[b]);
            metric_[b] = std::clamp(seen, metric_[b] / 4, metric_[b] * 8);
        }
    }
    /// Moves x and evaluates there, with steps for which f stays below a quadratic bound: its curvature along d_b is
    /// L metric_b |d_b|^2. L is kept from step to step: raised to what the parabola through f(x), <g, d> and the trial
    /// says when it was too small, and lowered by half when it was more than twice too large. \throws non_finite_error
    matrix backtrack(bool all_known) {
        auto const f = f_;
        if (!last_.gamma.empty())
            learn_metric(all_known);
        matrix length(m_), bound(m_), curvature(m_);
        problem_.squared_lengths(directions_, length);
        for (std::size_t b = 0; b != m_; ++b) {
            if (length[b] == 0) {
                directions_[b].kind = step_kind::none;
                promise_[b] = limit_[b] = 0;
            }
            bound[b] = metric_[b] * length[b];
        }
        for (std::size_t trial = 0; trial != 64; ++trial) {
            for (std::size_t b = 0; b != m_; ++b)
                curvature[b] = lipschitz_ * bound[b];
            auto const gamma = quadratic_steps(curvature);
            double linear = 0, square = 0;
            for (std::size_t b = 0; b != m_; ++b) {
                linear += gamma[b] * promise_[b];
                square += gamma[b] * gamma[b] * bound[b];
            }
            if (trial == 0)
                move(gamma);
            else
                problem_.place(moved(gamma));
            evaluate();
            if (!std::isfinite(f_)) {
                lipschitz_ = std::max(4 * lipschitz_, 10 * linear / square);
                continue;
            }
            double const rounding = 16 * Problem::eps * std::max(std::abs(f), std::abs(f_));
            bool const too_short = linear <= rounding;          // to learn from: f cannot tell
            double const seen = 2 * (f_ - f + linear) / square; // the parabola's L
            if (too_short || f_ <= f - linear + lipschitz_ * square / 2 + rounding) {
                if (seen < lipschitz_ / 2 && linear > 4 * rounding)
                    lipschitz_ /= 2;
                if (last_.gamma.empty() && lipschitz_ > 0) { // from here on L is relative to the metric
                    metric_.assign(m_, lipschitz_);
                    lipschitz_ = 1;
                }
                last_ = {directions_, gamma, promise_, length};
                return gamma;
            }
            lipschitz_ = std::max(seen, lipschitz_ * 1.25);
        }
        throw non_finite_error{"frank_wolfe: step " + std::to_string(t_) + ": no finite value along the direction"};
    }

    [[nodiscard]] std::vector<std::vector<double>> table(matrix const & a) const {
        std::vector<std::vector<double>> rows;
        for (std::size_t b = 0; b != m_; ++b)
            rows.emplace_back(row(a, b).begin(), row(a, b).end());
        return rows;
    }

public:
    /// Refers to everything it is given. \throws option_error: validate, and for exact steps of a problem without
    /// curvatures
    hull_iteration(Problem & problem, frank_wolfe_options const & options, control<Obs, Stop> & ctl, OnStep & on_step)
        : problem_{problem}, options_{options}, ctl_{ctl}, on_step_{on_step}, n_{problem.vertices()},
          m_{problem.blocks()}, weights_(n_ * m_), slopes_(n_ * m_), directions_(m_), promise_(m_), limit_(m_),
          metric_(m_, 1.0) {
        validate(options, n_, m_);
        expects_option(options.step != step_rule::exact || separable_quadratic_problem<Problem>, "step", "exact",
                       "open or backtracking: the objective does not offer its curvature");
        for (std::size_t i = 0; i != weights_.size(); ++i)
            weights_[i] = options.start_weights.empty() ? (i % n_ == options.start ? 1.0 : 0.0)
                                                        : options.start_weights[i % options.start_weights.size()];
        for (std::size_t b = 0; b != m_; ++b)
            normalise(weights_, b);
    }

    /// Steps until the gap is within the tolerance, `iters` steps are done or the token asks to stop. To be called
    /// once.
    /// \throws non_finite_error if f or a slope is not finite; what the problem throws
    frank_wolfe_result run() {
        auto result = status::iteration_limit;
        problem_.place(weights_);
        evaluate();
        for (;; ++t_) {
            if (!std::isfinite(f_))
                throw non_finite_error{"frank_wolfe: step " + std::to_string(t_) + ": the objective is not finite"};
            bool const stop = ctl_.stop.stop_requested(), last = stop || t_ == options_.iters;
            bool const lazy =
                options_.lazy && passes_ != 0 && !last && std::ranges::find(weights_, 0.0) != weights_.end();
            bool const among_active = lazy && look_at_active();
            if (!among_active)
                look_at_all(lazy);
            ctl_.observe(progress{t_, options_.iters, f_, gap_});
            if (!among_active && gap_ <= options_.gap_tolerance) {
                result = status::converged;
                break;
            }
            if (last) {
                result = stop ? status::stopped : status::iteration_limit;
                break;
            }
            auto const f = f_;
            matrix gamma;
            if (options_.step == step_rule::backtracking)
                gamma = backtrack(!among_active);
            else {
                if (options_.step == step_rule::open)
                    gamma = open_steps();
                else if constexpr (separable_quadratic_problem<Problem>) {
                    matrix curvature(m_);
                    problem_.curvatures(directions_, curvature);
                    gamma = quadratic_steps(curvature);
                }
                move(gamma);
                evaluate();
            }
            weights_ = moved(gamma);
            frank_wolfe_iteration told{t_, f, gap_, !among_active, {}, table(weights_)};
            for (std::size_t b = 0; b != m_; ++b)
                told.blocks.push_back({directions_[b], gamma[b]});
            on_step_(told);
        }
        return {options_, result, t_, evaluations_, passes_, f_, gap_, table(weights_)};
    }
};

/// An objective that is quadratic with a Hessian that couples no two elements in different windows (a diagonal one):
/// curvature(be, first, plus, minus, total) adds <d, H d> for d = plus - minus on the elements [first, first + n) of
/// the vector, where plus and minus are operands of kernels.
template <class F, class B, class T>
concept separable_quadratic = storage<B, T> && requires(F & f, B & be, cvec<B, T> x, double & total) {
    f.curvature(be, std::size_t{}, x, x, total);
};

/// An objective on the hull of vertices, as a problem. Memory: x, its gradient.
template <class B, real T, class Vertices, class Objective> class vertex_problem {
    B & be_;
    Vertices & vertices_;
    Objective & objective_;
    vec<B, T> x_;
    buffer_t<B, T> g_;

public:
    static constexpr double eps = std::numeric_limits<T>::epsilon(); ///< of T, in which x and g are kept

    /// Refers to everything it is given; x holds the point. \throws shape_error if x is not as long as the vertices
    vertex_problem(B & be, Vertices & vertices, Objective & objective, vec<B, T> x)
        : be_{be}, vertices_{vertices}, objective_{objective}, x_{x}, g_(be.template allocate<T>(x.n)) {
        expects_shape(x.n == vertices.dimension(), "frank_wolfe: x is not as long as the vertices");
    }
    ///@{
    /// As hull_problem has it: of the vertices, and of the gradient at the last evaluate().
    [[nodiscard]] std::size_t vertices() const { return vertices_.size(); }
    [[nodiscard]] std::size_t blocks() const { return vertices_.blocks(); }
    double evaluate() { return static_cast<double>(objective_.value_and_gradient(be_, cvec<B, T>(x_), g_.view())); }
    void align(std::vector<std::vector<std::size_t>> const & candidates, std::span<double> out) {
        vertices_.align(be_, g_.view(), x_, candidates, out);
    }
    void place(std::span<double const> weights) { vertices_.combine(be_, weights, x_); }
    void advance(std::span<double const> c) { vertices_.advance(be_, c, x_); }
    void squared_lengths(std::span<block_direction const> directions, std::span<double> out) {
        vertices_.measure(be_, directions, x_,
                          [&](B & be, std::size_t, auto const & plus, auto const & minus, double & total) {
            vertices_.add_squared_length(be, plus, minus, total);
        }, out);
    }
    void curvatures(std::span<block_direction const> directions, std::span<double> out)
        requires separable_quadratic<Objective, B, T>
    {
        vertices_.measure(be_, directions, x_,
                          [&](B & be, std::size_t first, auto const & plus, auto const & minus, double & total) {
            objective_.curvature(be, first, plus, minus, total);
        }, out);
    }
    ///@}
};

/// Minimises `objective` over the convex hull of the vertices and leaves the minimiser in x.
///
/// At every iterate the slopes <g, v_k - x> are taken for all k at once. Their smallest is the linear minimisation
/// oracle; minus it is the gap, which bounds f(x) - min f for convex f and is a measure of stationarity for others.
/// With granularity layer every block has weights, gap and direction of its own, and the gap is the sum; steps are
/// block by block, each within its own limit. An away or pairwise step at its limit drops the vertex: its weight is
/// exactly 0 from then on. Ties go to the lowest index.
///
/// Lazy: a step reads active vertices (those with weight > 0) alone as long as they promise, in their smallest and
/// largest slopes, half of the last gap or more; else the rest of the pool is read, and the gap renewed (after Braun,
/// Pokutta and Zink 2017). The gap of the result is always from the whole pool, at x.
///
/// The token is asked, and the observer told f and gap, once for each iterate; `on_step` is told frank_wolfe_iteration
/// after each step. A stopped run has done its certificate, too.
///
/// Needs an inner product space, whatever the vertices need, and no more. Memory: x, its gradient, a window of each
/// vertex. Time: a step is an evaluation, a pass over g, x and the vertices, and a pass over x and one vertex or two.
/// Backtracking and the exact rule pass over the direction once more; a failed trial is an evaluation and a pass over
/// the active vertices.
/// \throws option_error; shape_error if x is not as long as the vertices; non_finite_error if the objective or a slope
/// is not finite; what the objective and the vertices throw
template <class B, class Vertices, class Objective, class P, class Obs = no_observer, class Stop = never_stop,
          class OnStep = ignore_steps, class T = ops::value_of<vec_view<P>>>
    requires inner_product_space<B, T> && vertex_pool<Vertices, B, T>
             && differentiable<std::remove_reference_t<Objective>, B, T>
frank_wolfe_result frank_wolfe(B & be, Vertices & vertices, Objective && objective, vec_view<P> x,
                               frank_wolfe_options const & options = {}, control<Obs, Stop> ctl = {},
                               OnStep && on_step = {}) {
    vertex_problem<B, T, Vertices, std::remove_reference_t<Objective>> problem(be, vertices, objective, x);
    return hull_iteration<decltype(problem), Obs, Stop, std::remove_reference_t<OnStep>>(problem, options, ctl, on_step)
        .run();
}

/// The same over the models of a pool, streamed; the result is written to `sink`, unless the run was stopped. The
/// objective is over parameter_layout::of(pool); the base of the pool, if it has one, is no vertex. Memory: x, its
/// gradient, a window of each model, whatever their number.
template <real T = float, class B, class Objective, class Obs = no_observer, class Stop = never_stop,
          class OnStep = ignore_steps>
    requires elementwise<B, T> && differentiable<std::remove_reference_t<Objective>, B, T>
frank_wolfe_result frank_wolfe(B & be, model_pool const & pool, Objective && objective, checkpoint_sink & sink,
                               frank_wolfe_options const & options = {}, control<Obs, Stop> ctl = {},
                               OnStep && on_step = {}) {
    streamed_vertices<B, T> vertices(pool, options.granularity);
    auto x = be.template allocate<T>(vertices.dimension());
    auto result = frank_wolfe(be, vertices, objective, x.view(), options, ctl, on_step);
    if (result.status != status::stopped)
        write_merged<B, T>(be, pool, x.view(), sink);
    return result;
}

} // namespace merge
LATHE_NAMESPACE_END
