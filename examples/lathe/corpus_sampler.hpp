#pragma once
/// \file  A stand-in for a language model: sentences to go on with, drawn from what follows similar sentences in a
/// corpus.
#include "documents.hpp"

#include <lathe/core/words.hpp>
#include <lathe/random/philox.hpp>
#include <lathe/watermark/sampler.hpp>

#include <cmath>
#include <numeric>
#include <optional>

namespace lathe_cli {

struct corpus_settings {
    double temperature = 0.05; ///< of cosines; higher draws from further away
};

/// Nearest-passage continuation: sentences of the corpus are drawn one after the other, without repetition, with
/// weights of exp(cosine to the last sentence of the text / temperature), and what follows each in its document is
/// proposed. A sentence that the text has already is not. The draws are a function of corpus, text, settings, seed and
/// stream.
class corpus_sampler {
    embedded_documents const & corpus_;
    corpus_settings settings_;
    std::vector<std::string_view> sentences_;
    std::vector<std::size_t> followed_; ///< sentences that another follows in the same document

public:
    /// Refers to the corpus. \throws option_error for a temperature that is not above 0; mismatch_error if no sentence
    /// of the corpus is followed by another
    corpus_sampler(embedded_documents const & corpus, corpus_settings const & settings)
        : corpus_{corpus}, settings_{settings} {
        lathe::expects_option(settings.temperature > 0 && std::isfinite(settings.temperature), "temperature",
                              std::to_string(settings.temperature), "a number above 0");
        for (auto const & d : corpus.documents)
            for (std::size_t i = 0; i != d.count; ++i) {
                if (i + 1 != d.count)
                    followed_.push_back(sentences_.size());
                sentences_.push_back(d.sentence(i));
            }
        if (followed_.empty())
            throw lathe::mismatch_error{"corpus: no sentence is followed by another, expected documents of several"};
    }
    /// Proposals for one text. \param row_of the embedding of a text \param stream separates texts
    template <class RowOf> [[nodiscard]] auto source(RowOf row_of, std::uint64_t seed, std::uint32_t stream) const {
        return [this, row_of, u = lathe::random::uniform_stream{seed, stream}, last = std::optional<std::string>{},
                order = std::vector<std::size_t>{},
                at = std::size_t{0}](lathe::watermark::sampling_context const & context, std::size_t count) mutable {
            auto const now = context.sentences.empty() ? std::string{context.prompt} : context.sentences.back();
            if (!last || now != *last) {
                last = now;
                std::vector<float> const row = row_of(now);
                // Perturbed by Gumbel numbers, logarithms of weights come in the order of draws without repetition.
                std::vector<double> keys(followed_.size());
                for (std::size_t i = 0; i != followed_.size(); ++i) {
                    double cosine = 0;
                    auto const * const other = corpus_.rows.data() + followed_[i] * corpus_.dimension;
                    for (std::size_t k = 0; k != corpus_.dimension; ++k)
                        cosine += static_cast<double>(row[k]) * static_cast<double>(other[k]);
                    keys[i] = cosine / settings_.temperature - std::log(-std::log(static_cast<double>(u[i]) + 0x1p-25));
                }
                u = u.skip(followed_.size());
                order.resize(followed_.size());
                std::iota(order.begin(), order.end(), std::size_t{0});
                std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
                    return keys[a] != keys[b] ? keys[a] > keys[b] : a < b;
                });
                at = 0;
            }
            std::vector<lathe::watermark::proposal> all;
            for (; all.size() != count && at != order.size(); ++at) {
                auto const next = sentences_[followed_[order[at]] + 1];
                if (next != context.prompt && std::ranges::find(context.sentences, next) == context.sentences.end())
                    all.push_back({std::string{next}, lathe::words_of(next).size()});
            }
            return all;
        };
    }
};

} // namespace lathe_cli
