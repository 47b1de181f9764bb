#pragma once
// The forward pass of BERT over any backend of lathe, and the mean of a sentence's tokens as its embedding.
#include "wordpiece.hpp"

#include <lathe/core/checkpoint.hpp>
#include <lathe/core/softmax.hpp>
#include <lathe/evaluate/similarity.hpp>

#include <functional>

namespace minilm {

struct encoder_options {
    std::size_t heads = 12; ///< of all-MiniLM-L6-v2; the other extents are those of the tensors
    double layer_norm_eps = 1e-12;
    std::size_t batch_tokens = 2048; ///< sentences are encoded together up to so many tokens
};

/// x Phi(x) = max(x, 0) - |x| Phi(-|x|); with erfc as Abramowitz and Stegun, 7.1.26, to 1.5e-7, so that packets and
/// devices can do it.
inline constexpr auto gelu = [](auto const & x) {
    using value = std::remove_cvref_t<decltype(x)>;
    auto const a = lathe::math::abs(x);
    auto const t = 1 / (1 + 0.3275911f * 0.70710678f * a);
    auto const series =
        t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    return lathe::math::max(x, value(0)) - a * series * lathe::math::exp(-0.5f * a * a) / 2;
};

/// A sentence encoder with the weights of a BertModel. Sentences lie one after the other in one matrix of tokens: the
/// dense layers see it whole, attention sentence by sentence. So there is nothing to pad, to mask or to sort.
template <class B, lathe::real T = float>
    requires lathe::matrix_space<B, T>
class encoder {
    using buffer = lathe::buffer_t<B, T>;
    using matrix = lathe::mat<B, T>;
    using constant_matrix = lathe::cmat<B, T>;

    struct dense {
        std::size_t outputs, inputs;
        buffer weight, bias;
    };
    struct norm {
        std::vector<T> scale, shift;
    };
    struct layer {
        dense attend, project, widen, narrow; ///< attend: queries, keys and values
        norm after_attention, after_dense;
    };
    struct sentence {
        std::size_t first, tokens;
    };

    lathe::checkpoint & weights_;
    encoder_options options_;
    std::size_t width_ = 0;
    std::vector<T> positions_; // embeddings of them, with that of the first token type added
    norm norm_;
    std::vector<layer> layers_;
    lathe::window_buffer bytes_;

    // ---- weights ------------------------------------------------------------------------------------------------

    [[nodiscard]] lathe::tensor_info const & find(std::string const & name, std::size_t extents) const {
        auto const at = weights_.find(name);
        if (!at || weights_.tensors()[*at].extents.size() != extents
            || !lathe::is_floating(weights_.tensors()[*at].type))
            throw lathe::mismatch_error{std::string{weights_.label()} + ": tensor '" + name + "': found "
                                        + (at ? "shape " + lathe::to_string(weights_.tensors()[*at].extents) : "none")
                                        + ", expected floating elements with " + std::to_string(extents)
                                        + " extents, as in a BertModel"};
        return weights_.tensors()[*at];
    }
    /// Rows [first, first + rows) of a tensor, widened.
    void load(lathe::tensor_info const & info, std::size_t first, std::size_t rows, T * to) {
        auto const row = info.count() / info.extents[0] * size_of(info.type);
        auto const bytes = weights_.read(*weights_.find(info.name), first * row, rows * row, bytes_);
        lathe::host::load(info.type, bytes.data(), bytes.size() / size_of(info.type), to);
    }
    std::vector<T> load(std::string const & name, lathe::shape const & expected) {
        auto const & info = find(name, expected.size());
        if (info.extents != expected)
            throw lathe::mismatch_error{std::string{weights_.label()} + ": tensor '" + name + "': found shape "
                                        + lathe::to_string(info.extents) + ", expected " + lathe::to_string(expected)};
        std::vector<T> values(info.count());
        if (!values.empty())
            load(info, 0, static_cast<std::size_t>(info.extents[0]), values.data());
        return values;
    }
    /// Dense layers of as many outputs and the same input, as one.
    dense load_dense(B & be, std::initializer_list<std::string> names, std::size_t outputs, std::size_t inputs) {
        auto const all = names.size() * outputs;
        dense d{all, inputs, be.template allocate<T>(all * inputs), be.template allocate<T>(all)};
        std::size_t at = 0;
        for (auto const & name : names) {
            auto const weight = load(name + ".weight", {outputs, inputs}), bias = load(name + ".bias", {outputs});
            be.upload(std::span<T const>{weight}, d.weight.view().sub(at * inputs, outputs * inputs));
            be.upload(std::span<T const>{bias}, d.bias.view().sub(at, outputs));
            at += outputs;
        }
        return d;
    }
    norm load_norm(std::string const & name) {
        return {load(name + ".weight", {width_}), load(name + ".bias", {width_})};
    }
    layer load_layer(B & be, std::string const & name) {
        auto const self = name + ".attention.self.", out = name + ".attention.output.";
        auto const wide = static_cast<std::size_t>(find(name + ".intermediate.dense.weight", 2).extents[0]);
        return {load_dense(be, {self + "query", self + "key", self + "value"}, width_, width_),
                load_dense(be, {out + "dense"}, width_, width_),
                load_dense(be, {name + ".intermediate.dense"}, wide, width_),
                load_dense(be, {name + ".output.dense"}, width_, wide),
                load_norm(out + "LayerNorm"),
                load_norm(name + ".output.LayerNorm")};
    }

    // ---- pieces of the forward pass -----------------------------------------------------------------------------

    /// f(row) for every row of a matrix without gaps: where it lies on a host; on a device's behalf otherwise.
    template <class F> static void on_rows(B & be, matrix m, F const & f) {
        auto const run = [&](auto & executor, T * data) {
            constexpr std::size_t block = 64;
            executor.parallel_for((m.rows + block - 1) / block, [&](std::size_t b) {
                for (std::size_t i = b * block; i != std::min(m.rows, (b + 1) * block); ++i)
                    f(std::span<T>{data + i * m.cols, m.cols});
            });
        };
        if constexpr (lathe::host_addressable<B, T>) {
            auto && executor = lathe::host::executor_of(be);
            run(executor, m.data);
        } else {
            std::vector<T> values(m.rows * m.cols);
            lathe::vec<B, T> const all(m.data, values.size());
            be.download(lathe::cvec<B, T>(all), std::span<T>{values});
            lathe::serial_executor executor;
            run(executor, values.data());
            be.upload(std::span<T const>{values}, all);
        }
    }
    void normalise(std::span<T> row, norm const & by) const {
        double sum = 0, squares = 0;
        for (double const x : row)
            sum += x;
        auto const n = static_cast<double>(row.size()), mean = sum / n;
        for (double const x : row)
            squares += (x - mean) * (x - mean);
        auto const scale = 1 / std::sqrt(squares / n + options_.layer_norm_eps);
        for (std::size_t k = 0; k != row.size(); ++k)
            row[k] = static_cast<T>((static_cast<double>(row[k]) - mean) * scale) * by.scale[k] + by.shift[k];
    }
    /// y := x W^T + bias + keep y. Every row gets the bias by the product of a column of ones with it as a row.
    static void apply(B & be, dense & d, lathe::vec<B, T> ones, constant_matrix x, T keep, matrix y) {
        using lathe::op;
        lathe::ops::gemm(be, op::none, op::none, T(1), as_matrix(ones.sub(0, x.rows), x.rows, 1),
                         as_matrix(d.bias.view(), 1, d.outputs), keep, y);
        lathe::ops::gemm(be, op::none, op::transpose, T(1), x, as_matrix(d.weight.view(), d.outputs, d.inputs), T(1),
                         y);
    }
    /// Memory of a batch.
    struct space {
        buffer x, attend, scores, context, wide, ones;
    };
    /// context := softmax(Q K^T / sqrt(d)) V, head by head.
    void attention(B & be, space & s, sentence const & at) const {
        using lathe::op;
        auto const heads = options_.heads, n = at.tokens, d = width_ / heads;
        auto const part = [&](auto & of, std::size_t row, std::size_t column) {
            return matrix(of.view().data + static_cast<std::ptrdiff_t>(at.first * row + column), n, d, row);
        };
        auto const scores = as_matrix(s.scores.view().sub(0, heads * n * n), heads * n, n);
        auto const of_head = [&](std::size_t h) {
            return matrix(scores.data + static_cast<std::ptrdiff_t>(h * n * n), n, n);
        };
        for (std::size_t h = 0; h != heads; ++h)
            lathe::ops::gemm(be, op::none, op::transpose, T(1) / std::sqrt(static_cast<T>(d)),
                             part(s.attend, 3 * width_, h * d), part(s.attend, 3 * width_, width_ + h * d), T(0),
                             of_head(h));
        lathe::ops::softmax_rows(be, scores);
        for (std::size_t h = 0; h != heads; ++h)
            lathe::ops::gemm(be, op::none, op::none, T(1), of_head(h), part(s.attend, 3 * width_, 2 * width_ + h * d),
                             T(0), part(s.context, width_, h * d));
    }
    std::vector<T> embed_tokens(std::span<std::vector<token> const> batch) {
        auto const & words = find("embeddings.word_embeddings.weight", 2);
        std::vector<T> x;
        for (auto const & tokens : batch) {
            lathe::expects_shape(tokens.size() * width_ <= positions_.size(), "encoder: more tokens than positions");
            for (std::size_t i = 0; i != tokens.size(); ++i) {
                lathe::expects_shape(tokens[i] < words.extents[0], "encoder: a token that the weights lack");
                x.resize(x.size() + width_);
                std::span<T> const row{x.data() + x.size() - width_, width_};
                load(words, tokens[i], 1, row.data());
                for (std::size_t k = 0; k != width_; ++k)
                    row[k] += positions_[i * width_ + k];
                normalise(row, norm_);
            }
        }
        return x;
    }
    /// Means of the tokens' rows, of length 1.
    void pool(std::span<T const> x, std::span<sentence const> sentences, std::vector<float> & to) const {
        std::vector<double> sum(width_);
        for (auto const & s : sentences) {
            std::ranges::fill(sum, 0.0);
            for (std::size_t i = s.first * width_; i != (s.first + s.tokens) * width_; ++i)
                sum[i % width_] += static_cast<double>(x[i]);
            double squares = 0;
            for (auto & v : sum) {
                v /= static_cast<double>(s.tokens);
                squares += v * v;
            }
            auto const length = std::max(std::sqrt(squares), lathe::evaluate::smallest_norm);
            for (auto const v : sum)
                to.push_back(static_cast<float>(v / length));
        }
    }
    void encode(B & be, std::span<std::vector<token> const> batch, std::vector<float> & to) {
        std::vector<sentence> sentences;
        std::size_t n = 0, longest = 0, wide = 0;
        for (auto const & tokens : batch) {
            sentences.push_back({n, tokens.size()});
            n += tokens.size();
            longest = std::max(longest, tokens.size());
        }
        for (auto const & l : layers_)
            wide = std::max(wide, l.widen.outputs);
        auto const allocate = [&](std::size_t count) { return be.template allocate<T>(count); };
        space s{allocate(n * width_), allocate(n * 3 * width_), allocate(options_.heads * longest * longest),
                allocate(n * width_), allocate(n * wide),       allocate(n)};
        lathe::ops::fill(be, T(1), s.ones.view());
        be.upload(std::span<T const>{embed_tokens(batch)}, s.x.view());
        auto const x = as_matrix(s.x.view(), n, width_);
        auto const context = as_matrix(s.context.view(), n, width_);
        for (auto & l : layers_) {
            apply(be, l.attend, s.ones.view(), x, T(0), as_matrix(s.attend.view(), n, 3 * width_));
            for (auto const & one : sentences)
                attention(be, s, one);
            apply(be, l.project, s.ones.view(), context, T(1), x);
            on_rows(be, x, [&](std::span<T> row) { normalise(row, l.after_attention); });

            auto const hidden = s.wide.view().sub(0, n * l.widen.outputs);
            apply(be, l.widen, s.ones.view(), x, T(0), as_matrix(hidden, n, l.widen.outputs));
            lathe::ops::map<T>(be, gelu, hidden, lathe::cvec<B, T>(hidden));
            apply(be, l.narrow, s.ones.view(), as_matrix(hidden, n, l.widen.outputs), T(1), x);
            on_rows(be, x, [&](std::span<T> row) { normalise(row, l.after_dense); });
        }
        std::vector<T> out(n * width_);
        be.download(lathe::cvec<B, T>(s.x.view()), std::span<T>{out});
        pool(out, sentences, to);
    }

public:
    /// Takes the dense layers to the backend; embeddings of words are read when they are needed, so the checkpoint has
    /// to outlive the encoder. \throws lathe::mismatch_error, lathe::option_error, lathe::io_error
    encoder(B & be, lathe::checkpoint & weights, encoder_options const & options = {})
        : weights_{weights}, options_{options} {
        width_ = static_cast<std::size_t>(find("embeddings.word_embeddings.weight", 2).extents[1]);
        lathe::expects_option(options.heads != 0 && width_ != 0 && width_ % options.heads == 0, "heads",
                              std::to_string(options.heads), "a divisor of the width, " + std::to_string(width_));
        auto const & places = find("embeddings.position_embeddings.weight", 2);
        positions_ = load(places.name, {places.extents[0], width_});
        auto const types = load("embeddings.token_type_embeddings.weight",
                                {find("embeddings.token_type_embeddings.weight", 2).extents[0], width_});
        lathe::expects_shape(types.size() >= width_, "encoder: no token type");
        for (std::size_t i = 0; i != positions_.size(); ++i)
            positions_[i] += types[i % width_];
        norm_ = load_norm("embeddings.LayerNorm");
        for (std::size_t l = 0;; ++l) {
            auto const name = "encoder.layer." + std::to_string(l);
            if (l != 0 && !weights_.find(name + ".output.dense.weight"))
                break;
            layers_.push_back(load_layer(be, name));
        }
    }

    /// Numbers of an embedding.
    [[nodiscard]] std::size_t dimension() const noexcept { return width_; }
    [[nodiscard]] std::size_t layers() const noexcept { return layers_.size(); }
    [[nodiscard]] std::size_t positions() const noexcept { return positions_.size() / width_; }

    /// A row of length 1 for each sentence. `done`, if given, is told how many there are after each batch; what it
    /// throws comes out. Memory: of the batch, layers' inputs and one sentence's scores.
    /// \throws lathe::shape_error for a sentence without tokens or with more than positions(), or an unknown token
    lathe::evaluate::embedding_table operator()(B & be, std::span<std::vector<token> const> sentences,
                                                std::function<void(std::size_t)> const & done = {}) {
        lathe::evaluate::embedding_table table{width_, {}};
        table.values.reserve(sentences.size() * width_);
        for (std::size_t first = 0, last = 0; first != sentences.size(); first = last) {
            for (std::size_t tokens = 0; last != sentences.size(); ++last) {
                lathe::expects_shape(!sentences[last].empty(), "encoder: a sentence without tokens");
                tokens += sentences[last].size();
                if (last != first && tokens > options_.batch_tokens)
                    break;
            }
            encode(be, sentences.subspan(first, last - first), table.values);
            if (done)
                done(last);
        }
        return table;
    }
};

} // namespace minilm
