#pragma once
/// \file  Objectives that ship: softmax classifiers, linear or with hidden layers, on labelled or unlabelled rows.
#include <lathe/core/softmax.hpp>
#include <lathe/merge/parameters.hpp>

LATHE_NAMESPACE_BEGIN
namespace merge {

/// The mean of what over the rows. p are the probabilities of the classes.
enum class classifier_loss : unsigned char {
    cross_entropy, ///< mean of -log p[label]
    entropy        ///< mean of -sum_c p_c log(p_c + entropy_eps): needs no labels (AdaMerging)
};

/// z = a W^T + b. Every layer but the last is followed by max(z, 0).
struct dense_layer {
    std::string weight; ///< name of a tensor of shape [outputs, inputs]
    std::string bias;   ///< name of a tensor of shape [outputs]; empty for none
};

/// Options of classifier_objective.
struct classifier_options {
    classifier_loss loss = classifier_loss::cross_entropy; ///< what is minimised
    double entropy_eps = 1e-8;                             ///< entropy: added to p in the logarithm
};

/// A multi-layer perceptron (with one layer: a linear softmax classifier) as a function of its parameters, on the rows
/// given last. Tensors of the layout that no layer names have gradient zero.
///
/// Memory: the rows, one activation for each layer, rows x classes on the host. Two host synchronisations a
/// call, more where ops::softmax_rows is the host's.
template <class B, real T>
    requires matrix_space<B, T>
class classifier_objective {
    struct layer {
        std::size_t weight;
        std::optional<std::size_t> bias;
        std::size_t inputs, outputs;
    };
    parameter_layout layout_;
    std::vector<layer> layers_;
    classifier_options options_;
    std::size_t rows_ = 0;
    std::vector<std::size_t> labels_;
    std::vector<buffer_t<B, T>> activations_; // of the input and of every layer
    std::vector<T> probabilities_;            // rows x classes

    static constexpr auto positive_part = [](auto const & z, auto const & zero) { return math::max(z, zero); };
    static constexpr auto where_positive = [](auto const & a, auto const & d, auto const & zero) {
        return math::select(a > zero, d, zero);
    };

    mat<B, T> activation(std::size_t l) {
        return as_matrix(activations_[l].view(), rows_, l == 0 ? layers_[0].inputs : layers_[l - 1].outputs);
    }
    template <class P> mat_view<P> weight(vec_view<P> x, layer const & l) const {
        return as_matrix(layout_.slice(x, l.weight), l.outputs, l.inputs);
    }
    buffer_t<B, T> ones(B & be) const {
        auto b = be.template allocate<T>(rows_);
        ops::fill(be, T(1), b.view());
        return b;
    }
    void forward(B & be, cvec<B, T> x) {
        auto one = ones(be);
        for (std::size_t l = 0; l != layers_.size(); ++l) {
            auto const & d = layers_[l];
            auto z = activation(l + 1);
            if (d.bias) // every row starts as the bias: the product of a column of ones and the bias as a row
                ops::gemm(be, op::none, op::none, T(1), as_matrix(one.view(), rows_, 1),
                          as_matrix(layout_.slice(x, *d.bias), 1, d.outputs), T(0), z);
            ops::gemm(be, op::none, op::transpose, T(1), activation(l), weight(x, d), d.bias ? T(1) : T(0), z);
            if (l + 1 != layers_.size())
                ops::map<T>(be, positive_part, activations_[l + 1].view(), activations_[l + 1].view(), T(0));
        }
    }
    /// Brings the rows of the last activation to the host.
    void fetch(B & be) {
        probabilities_.resize(rows_ * layers_.back().outputs);
        be.download(cvec<B, T>(activations_.back().view()), std::span<T>{probabilities_});
    }
    /// From probabilities to the loss; leaves its gradient by the logits in their place.
    double loss_and_logit_gradient() {
        auto const classes = layers_.back().outputs;
        double total = 0;
        auto const scale = 1.0 / static_cast<double>(rows_);
        std::vector<double> slope(classes);
        for (std::size_t r = 0; r != rows_; ++r) {
            std::span<T> const p{probabilities_.data() + r * classes, classes};
            if (options_.loss == classifier_loss::cross_entropy) {
                auto const label = labels_[r];
                total -= std::log(std::max(static_cast<double>(p[label]), std::numeric_limits<double>::min()));
                for (std::size_t c = 0; c != classes; ++c)
                    p[c] = static_cast<T>((static_cast<double>(p[c]) - (c == label ? 1.0 : 0.0)) * scale);
                continue;
            }
            double mean = 0;
            for (std::size_t c = 0; c != classes; ++c) {
                double const q = static_cast<double>(p[c]), with_eps = q + options_.entropy_eps;
                total -= q * std::log(with_eps);
                slope[c] = -std::log(with_eps) - q / with_eps;
                mean += q * slope[c];
            }
            for (std::size_t c = 0; c != classes; ++c)
                p[c] = static_cast<T>(static_cast<double>(p[c]) * (slope[c] - mean) * scale);
        }
        return total * scale;
    }

public:
    /// \throws mismatch_error if a layer names no tensor; shape_error if the shapes do not chain
    classifier_objective(parameter_layout layout, std::vector<dense_layer> const & layers,
                         classifier_options const & options = {})
        : layout_{std::move(layout)}, options_{options} {
        expects_option(!layers.empty(), "layers", "none", "at least one");
        for (auto const & d : layers) {
            auto const w = layout_.find(d.weight);
            auto const & extents = layout_.tensors()[w].extents;
            if (extents.size() != 2 || (!layers_.empty() && layers_.back().outputs != extents[1]))
                throw shape_error{"tensor '" + d.weight + "': shape " + to_string(extents) + ", expected [outputs, "
                                  + (layers_.empty() ? std::string{"inputs"} : std::to_string(layers_.back().outputs))
                                  + "]"};
            std::optional<std::size_t> bias;
            if (!d.bias.empty()) {
                bias = layout_.find(d.bias);
                if (auto const & b = layout_.tensors()[*bias].extents; b != shape{extents[0]})
                    throw shape_error{"tensor '" + d.bias + "': shape " + to_string(b) + ", expected "
                                      + to_string(shape{extents[0]})};
            }
            layers_.push_back({w, bias, extents[1], extents[0]});
        }
    }

    /// Length of a row of inputs.
    [[nodiscard]] std::size_t inputs() const noexcept { return layers_.front().inputs; }
    /// Outputs of the last layer.
    [[nodiscard]] std::size_t classes() const noexcept { return layers_.back().outputs; }

    /// The rows that the next calls are about. \param inputs rows x inputs(), row-major
    /// \param labels one for each row, below classes(); may be empty for the entropy. \throws shape_error
    void set_rows(B & be, std::span<T const> inputs, std::span<std::size_t const> labels = {}) {
        expects_shape(inputs.size() % this->inputs() == 0, "classifier: the inputs are no whole number of rows");
        auto const rows = inputs.size() / this->inputs();
        expects_shape(labels.size() == rows || (labels.empty() && options_.loss == classifier_loss::entropy),
                      "classifier: one label for each row");
        for (auto const l : labels)
            expects_shape(l < classes(), "classifier: a label is not below the number of classes");
        if (rows != rows_ || activations_.empty()) {
            rows_ = rows;
            activations_.clear();
            activations_.push_back(be.template allocate<T>(rows * this->inputs()));
            for (auto const & l : layers_)
                activations_.push_back(be.template allocate<T>(rows * l.outputs));
        }
        be.upload(inputs, activations_.front().view());
        labels_.assign(labels.begin(), labels.end());
    }

    /// The mean loss over the rows and its gradient. \throws shape_error without rows
    double value_and_gradient(B & be, cvec<B, T> x, vec<B, T> g) {
        expects_shape(rows_ != 0, "classifier: no rows");
        forward(be, x);
        ops::softmax_rows(be, activation(layers_.size()));
        fetch(be);
        auto const loss = loss_and_logit_gradient();

        ops::fill(be, T(0), g);
        auto one = ones(be);
        auto delta = be.template allocate<T>(probabilities_.size());
        be.upload(std::span<T const>{probabilities_}, delta.view());
        for (std::size_t l = layers_.size(); l-- != 0;) {
            auto const & d = layers_[l];
            auto const dz = as_matrix(delta.view(), rows_, d.outputs);
            ops::gemm(be, op::transpose, op::none, T(1), dz, activation(l), T(0), weight(g, d));
            if (d.bias)
                ops::gemm(be, op::none, op::none, T(1), as_matrix(one.view(), 1, rows_), dz, T(0),
                          as_matrix(layout_.slice(g, *d.bias), 1, d.outputs));
            if (l == 0)
                break;
            auto below = be.template allocate<T>(rows_ * d.inputs);
            ops::gemm(be, op::none, op::none, T(1), dz, weight(x, d), T(0), as_matrix(below.view(), rows_, d.inputs));
            ops::map<T>(be, where_positive, below.view(), cvec<B, T>(activations_[l].view()), cvec<B, T>(below.view()),
                        T(0));
            delta = std::move(below);
        }
        return loss;
    }

    /// The most probable class of every row; the lowest among equals.
    [[nodiscard]] std::vector<std::size_t> predict(B & be, cvec<B, T> x) {
        forward(be, x);
        fetch(be);
        std::vector<std::size_t> best(rows_);
        for (std::size_t r = 0; r != rows_; ++r) {
            auto const first = probabilities_.begin() + static_cast<std::ptrdiff_t>(r * classes());
            best[r] = static_cast<std::size_t>(std::max_element(first, first + static_cast<std::ptrdiff_t>(classes()))
                                               - first);
        }
        return best;
    }
    /// The share of rows whose prediction is their label.
    [[nodiscard]] double accuracy(B & be, cvec<B, T> x) {
        auto const best = predict(be, x);
        std::size_t right = 0;
        for (std::size_t r = 0; r != rows_; ++r)
            right += best[r] == labels_[r] ? 1u : 0u;
        return rows_ == 0 ? 0 : static_cast<double>(right) / static_cast<double>(rows_);
    }
};

} // namespace merge
LATHE_NAMESPACE_END
