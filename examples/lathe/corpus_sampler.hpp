#pragma once
/// \file  A stand-in for a language model: sentences to go on with, drawn from what follows similar sentences in a
/// corpus.
#include "documents.hpp"

#include <lathe/core/words.hpp>
#include <lathe/random/philox.hpp>
#include <lathe/watermark/sampler.hpp>

#include <cmath>
#include <map>

namespace lathe_cli {

struct corpus_settings {
    double temperature = 0.05; ///< of cosines; higher draws from further away
};

/// Nearest-passage continuation: a sentence of the corpus is drawn with a weight of exp(cosine to the last sentence of
/// the text / temperature), and what follows it in its document is proposed. A sentence that the text has already is
/// not. The draws are a function of corpus, text, settings, seed and stream.
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
    template <class RowOf> auto source(RowOf row_of, std::uint64_t seed, std::uint32_t stream) const {
        return [this, row_of, u = lathe::random::uniform_stream{seed, stream}, last = std::string{},
                cumulated = std::vector<double>{}](lathe::watermark::sampling_context const & context,
                                                   std::size_t count) mutable {
            auto const now = context.sentences.empty() ? std::string{context.prompt} : context.sentences.back();
            if (cumulated.empty() || now != last) {
                last = now;
                std::vector<float> const row = row_of(now);
                cumulated.resize(followed_.size());
                double sum = 0;
                for (std::size_t i = 0; i != followed_.size(); ++i) {
                    auto const next = sentences_[followed_[i] + 1];
                    double cosine = 0;
                    auto const * const other = corpus_.rows.data() + followed_[i] * corpus_.dimension;
                    for (std::size_t k = 0; k != corpus_.dimension; ++k)
                        cosine += static_cast<double>(row[k]) * static_cast<double>(other[k]);
                    bool const used =
                        next == context.prompt || std::ranges::find(context.sentences, next) != context.sentences.end();
                    cumulated[i] = sum += used ? 0 : std::exp((cosine - 1) / settings_.temperature);
                }
            }
            std::vector<lathe::watermark::proposal> all;
            if (!(cumulated.back() > 0)) // everything was used
                return all;
            for (std::size_t n = 0; n != count; ++n) {
                // 48 bits: weights span many powers of ten.
                auto const x = (static_cast<double>(u[0]) + static_cast<double>(u[1]) * 0x1p-24) * cumulated.back();
                u = u.skip(2);
                auto const at = std::min<std::size_t>(
                    static_cast<std::size_t>(std::ranges::upper_bound(cumulated, x) - cumulated.begin()),
                    cumulated.size() - 1);
                std::string text(sentences_[followed_[at] + 1]);
                auto const words = lathe::words_of(text).size();
                all.push_back({std::move(text), words});
            }
            return all;
        };
    }
};

} // namespace lathe_cli
