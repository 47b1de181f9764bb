#include "fine_tuning.hpp"

#include <lathe/adapt/kasa.hpp>
#include <lathe/adapt/spectral.hpp>
#include <lathe/core/softmax.hpp>
#include <lathe/optimize/adam.hpp>
#include <lathe/optimize/schedule.hpp>

#include <numeric>

namespace adapt_digits {
namespace {

using namespace lathe;
using quickstart::backend;
using quickstart::rows;
using quickstart::vector;
using matrix = mat_view<float *>;
using adapter = adapt::adapter<backend, float>;
using optimiser = optimize::adam<backend, float>;

auto flat(vector & x) { return view_of(std::span{x}); }

/// A dense layer, and what is trained of it: its weight and bias, or the adapter.
class layer {
    std::size_t outputs_, inputs_;
    vector weight_, bias_, weight_gradient_, bias_gradient_;
    vector a_gradient_, b_gradient_, sigma_gradient_;
    std::optional<adapter> adapter_;
    std::vector<optimiser> optimisers_;

    [[nodiscard]] matrix weight() { return as_matrix(flat(weight_), outputs_, inputs_); }
    adapt::layer<backend, float> base() { return {weight(), flat(bias_)}; }
    adapt::factors<backend, float> factors() {
        static vector nothing(1); // an adapter of rank 0
        auto const at = flat(nothing).sub(0, 0);
        return adapter_ ? adapter_->factors()
                        : adapt::factors<backend, float>{as_matrix(at, 0, inputs_), as_matrix(at, outputs_, 0)};
    }
    adapt::gradients<backend, float> gradients() {
        adapt::gradients<backend, float> g;
        if (adapter_) {
            g.a = as_matrix(flat(a_gradient_), adapter_->rank, inputs_);
            g.b = as_matrix(flat(b_gradient_), outputs_, adapter_->rank);
            if (adapter_->sigma_elements)
                g.sigma = flat(sigma_gradient_);
        } else
            g.bias = flat(bias_gradient_);
        return g;
    }

public:
    layer(backend & be, vector const & parameters, std::size_t at, std::size_t outputs, std::size_t inputs,
          options const & o)
        : outputs_{outputs}, inputs_{inputs} {
        auto const first = parameters.begin() + static_cast<std::ptrdiff_t>(at);
        auto const end = first + static_cast<std::ptrdiff_t>(outputs * inputs);
        weight_.assign(first, end);
        bias_.assign(end, end + static_cast<std::ptrdiff_t>(outputs));
        auto const r = o.rank, seed = o.seed ^ at;
        auto const alpha = static_cast<double>(r);
        switch (o.method) {
        case method::full: break;
        case method::lora:
            adapter_ = adapt::lora<float>(be, outputs, inputs, r, {.alpha = 2 * alpha, .seed = seed});
            break;
        case method::pissa: adapter_ = adapt::pissa(be, weight(), r, {.alpha = alpha}); break;
        case method::milora: adapter_ = adapt::milora(be, weight(), r, {.alpha = alpha}); break;
        case method::kasa:
            adapt::kasa_truncate(be, weight(), r);
            adapter_ = adapt::kasa<float>(be, outputs, inputs, r, {.alpha = 2 * alpha, .seed = seed});
        }
        auto const train = [&](vector & gradient, std::size_t n, double lr) {
            gradient.resize(n);
            optimisers_.emplace_back(be, n, optimize::adam_options{.lr = lr});
        };
        if (adapter_) {
            train(a_gradient_, r * inputs, 6e-3);
            train(b_gradient_, r * outputs, 6e-3);
            if (adapter_->sigma_elements)
                train(sigma_gradient_, r, 6e-3);
        } else {
            train(weight_gradient_, outputs * inputs, 2e-3);
            train(bias_gradient_, outputs, 2e-3);
        }
    }
    [[nodiscard]] std::size_t outputs() const { return outputs_; }
    [[nodiscard]] std::size_t parameters() const {
        return weight_gradient_.size() + bias_gradient_.size() + a_gradient_.size() + b_gradient_.size()
               + sigma_gradient_.size();
    }
    void forward(backend & be, matrix x, matrix y) { adapt::forward(be, base(), factors(), x, y); }
    void backward(backend & be, matrix x, matrix g, std::optional<matrix> of_x) {
        auto out = gradients();
        out.x = of_x;
        adapt::backward(be, base(), factors(), x, g, out);
        if (!adapter_)
            ops::gemm(be, op::transpose, op::none, 1, g, x, 0, as_matrix(flat(weight_gradient_), outputs_, inputs_));
    }
    /// Adds KaSA's gradients. \returns its losses
    adapt::kasa_layer_loss auxiliary(backend & be, options const & o) {
        std::array const f{factors()};
        std::array const g{gradients()};
        return adapt::kasa_loss<backend, float>(be, f, {.beta = o.beta, .gamma = o.gamma}, g).layers[0];
    }
    void step(backend & be, double factor) {
        if (!adapter_) {
            optimisers_[0].step(be, flat(weight_), flat(weight_gradient_), factor);
            optimisers_[1].step(be, flat(bias_), flat(bias_gradient_), factor);
            return;
        }
        optimisers_[0].step(be, adapter_->a_elements.view(), flat(a_gradient_), factor);
        optimisers_[1].step(be, adapter_->b_elements.view(), flat(b_gradient_), factor);
        if (adapter_->sigma_elements)
            optimisers_[2].step(be, adapter_->sigma(), flat(sigma_gradient_), factor);
    }
    void merge(backend & be) {
        if (adapter_)
            adapt::add_delta(be, adapter_->factors(), 1, weight());
        adapter_.reset();
    }
};

inline constexpr auto positive_part = [](auto const & z, auto const & zero) { return math::max(z, zero); };
inline constexpr auto where_positive = [](auto const & a, auto const & d, auto const & zero) {
    return math::select(a > zero, d, zero);
};

struct network {
    std::vector<layer> layers;
    vector hidden, logits, of_hidden;

    void forward(backend & be, matrix x) {
        hidden.resize(x.rows * layers[0].outputs());
        logits.resize(x.rows * layers[1].outputs());
        layers[0].forward(be, x, as_matrix(flat(hidden), x.rows, layers[0].outputs()));
        ops::map<float>(be, positive_part, flat(hidden), flat(hidden), 0.0f);
        layers[1].forward(be, as_matrix(flat(hidden), x.rows, layers[0].outputs()),
                          as_matrix(flat(logits), x.rows, layers[1].outputs()));
    }
    /// Cross-entropy of the rows, averaged: its gradients by all that is trained.
    void backward(backend & be, matrix x, std::span<std::size_t const> labels) {
        auto const z = as_matrix(flat(logits), x.rows, layers[1].outputs()),
                   h = as_matrix(flat(hidden), x.rows, layers[0].outputs());
        ops::softmax_rows(be, z);
        for (std::size_t i = 0; i != labels.size(); ++i)
            logits[i * z.cols + labels[i]] -= 1;
        ops::scale(be, 1 / static_cast<float>(x.rows), flat(logits));
        of_hidden.resize(hidden.size());
        layers[1].backward(be, h, z, as_matrix(flat(of_hidden), h.rows, h.cols));
        ops::map<float>(be, where_positive, flat(of_hidden), flat(hidden), flat(of_hidden), 0.0f);
        layers[0].backward(be, x, as_matrix(flat(of_hidden), h.rows, h.cols), std::nullopt);
    }
    double accuracy(backend & be, rows const & data) {
        auto inputs = data.inputs;
        forward(be, as_matrix(flat(inputs), data.size(), quickstart::pixels));
        std::size_t right = 0;
        for (std::size_t i = 0; i != data.size(); ++i) {
            auto const row = std::span{logits}.subspan(i * quickstart::classes, quickstart::classes);
            right += static_cast<std::size_t>(std::ranges::max_element(row) - row.begin()) == data.labels[i];
        }
        return static_cast<double>(right) / static_cast<double>(data.size());
    }
};

} // namespace

char const * name_of(method m) {
    constexpr std::array names{"full", "LoRA", "PiSSA", "MiLoRA", "KaSA"};
    return names[static_cast<std::size_t>(m)];
}

outcome fine_tune(backend & be, vector const & parameters, rows const & train, rows const & test, options const & o) {
    constexpr std::size_t batch = 50;
    auto const layout = quickstart::layout(); // weight and bias of the hidden layer, weight and bias of the output
    network net;
    net.layers.emplace_back(be, parameters, layout.offset(0), quickstart::hidden, quickstart::pixels, o);
    net.layers.emplace_back(be, parameters, layout.offset(2), quickstart::classes, quickstart::hidden, o);

    auto const steps = o.epochs * (train.size() / batch);
    auto const schedule = optimize::linear_schedule::with_ratio(0.06, steps);
    std::vector<std::size_t> order(train.size()), labels(batch);
    std::iota(order.begin(), order.end(), std::size_t{0});
    vector inputs(batch * quickstart::pixels);
    for (std::size_t step = 0; step != steps; ++step) {
        auto const in_epoch = step % (train.size() / batch), epoch = step / (train.size() / batch);
        if (in_epoch == 0) {
            random::uniform_stream const u{o.seed, static_cast<std::uint32_t>(100 + epoch)};
            std::ranges::sort(order, {}, [&](std::size_t i) { return std::pair{u[i], i}; });
        }
        for (std::size_t i = 0; i != batch; ++i) {
            auto const from = order[in_epoch * batch + i];
            std::copy_n(train.inputs.data() + from * quickstart::pixels, quickstart::pixels,
                        inputs.data() + i * quickstart::pixels);
            labels[i] = train.labels[from];
        }
        auto const x = as_matrix(flat(inputs), batch, quickstart::pixels);
        net.forward(be, x);
        net.backward(be, x, labels);
        for (auto & l : net.layers) {
            if (o.method == method::kasa)
                l.auxiliary(be, o);
            l.step(be, schedule(step));
        }
    }

    outcome out;
    for (auto & l : net.layers) {
        out.parameters += l.parameters();
        if (o.method == method::kasa) {
            auto const loss = l.auxiliary(be, o);
            out.sigma += loss.sigma_square;
            out.defect += loss.small_a + loss.small_b;
        }
    }
    out.accuracy = net.accuracy(be, test);
    for (auto & l : net.layers)
        l.merge(be);
    out.merged_accuracy = net.accuracy(be, test);
    return out;
}

} // namespace adapt_digits
