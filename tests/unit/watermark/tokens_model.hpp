#pragma once
// A toy language model and loops of generation, for any processor or sampler.
#include <lathe/testing/archetype.hpp>
#include <lathe/watermark/tokens.hpp>

#include "catch.hpp"

#include <numeric>

namespace lathe_test {
using namespace lathe;
namespace wm = lathe::watermark;
using tokens = std::vector<wm::token>;

/// Logits by a hash of the last token and the position: `spread` standard deviations or so wide.
struct toy_model {
    std::uint32_t vocabulary = 97;
    double spread = 1.5;
    std::uint64_t seed = 1;

    void operator()(std::span<wm::token const> before, std::span<double> row) const {
        random::uniform_stream const u{
            seed, static_cast<std::uint32_t>(before.size() * 1009 + (before.empty() ? 0u : before.back()))};
        for (std::size_t t = 0; t != row.size(); ++t)
            row[t] = spread * 3.46 * (static_cast<double>(u[t]) - 0.5);
    }
};

inline double uniform(std::uint64_t seed, std::uint64_t i) { return random::uniform_stream{seed, 77}[i]; }
/// A token drawn from logits with a number of [0, 1).
inline wm::token draw(std::vector<double> row, double u) {
    host::softmax(std::span{row});
    double sum = 0;
    for (std::size_t t = 0; t != row.size(); ++t)
        if ((sum += row[t]) > u)
            return static_cast<wm::token>(t);
    return static_cast<wm::token>(row.size() - 1);
}

/// A text of n tokens without a watermark.
inline tokens plain_text(toy_model const & model, std::size_t n, std::uint64_t seed) {
    tokens text;
    std::vector<double> row(model.vocabulary);
    while (text.size() < n) {
        model(text, row);
        text.push_back(draw(row, uniform(seed, text.size())));
    }
    return text;
}

/// A text of `prompt` plain tokens and n with a watermark, by a processor of logits or a sampler on a backend.
template <class T, class B, class Mark>
tokens marked_text(B & be, Mark & mark, toy_model const & model, std::size_t n, std::uint64_t seed,
                   std::size_t prompt = 0) {
    auto text = plain_text(model, prompt, seed + 1000);
    std::vector<double> row(model.vocabulary);
    auto buffer = be.template allocate<T>(model.vocabulary);
    auto const logits = as_matrix(buffer.view(), 1, model.vocabulary);
    while (text.size() < n + prompt) {
        model(text, row);
        wm::upload_row<T>(be, row, logits, 0);
        wm::token_context const context{text, prompt};
        std::span<wm::token_context const> const contexts{&context, 1};
        std::optional<wm::token> next;
        if constexpr (requires { next = mark(be, contexts, logits)[0]; })
            next = mark(be, contexts, logits)[0];
        else {
            mark(be, contexts, logits);
            wm::download_row<T>(be, logits, 0, row);
        }
        text.push_back(next ? *next : draw(row, uniform(seed, text.size())));
    }
    return text;
}
inline tokens continuation(tokens const & text, std::size_t prompt) {
    return {text.begin() + static_cast<std::ptrdiff_t>(prompt), text.end()};
}

/// The largest distance between the p-values' distribution and a uniform one from above: what p-values may not do is be
/// too small too often.
inline double excess(std::vector<double> p) {
    std::ranges::sort(p);
    double worst = 0;
    for (std::size_t i = 0; i != p.size(); ++i)
        worst = std::max(worst, static_cast<double>(i + 1) / static_cast<double>(p.size()) - p[i]);
    return worst;
}
inline bool same(wm::token_detection const & a, wm::token_detection const & b) {
    auto const equal = [](double x, double y) { return x == y || (std::isnan(x) && std::isnan(y)); };
    return equal(a.score, b.score) && equal(a.log_p_value, b.log_p_value) && a.watermarked == b.watermarked
           && a.scored == b.scored && std::ranges::equal(a.evidence, b.evidence, equal);
}
/// What holds for every detector: empty and short texts, tokens outside the vocabulary, batches on any number of
/// threads.
template <class D>
void check_detector(D const & detector, std::uint32_t vocabulary, std::vector<wm::token_text> const & texts) {
    STATIC_REQUIRE(wm::token_detector<D>);
    auto const none = detector({});
    CHECK((std::isnan(none.score) && none.p_value == 1 && none.scored == 0 && !none.watermarked
           && none.evidence.empty()));
    tokens const outside{0, vocabulary};
    std::vector<double> const entropies{1, 1};
    CHECK_THROWS_AS(detector({outside, entropies, [](std::size_t, std::span<double>) {}}), option_error);
    CHECK_THROWS_WITH(detector({outside, entropies, [](std::size_t, std::span<double>) {}}),
                      contains("token 1: found"));
    serial_executor one;
    thread_pool three(3);
    auto const a = wm::detect_all(one, detector, texts), b = wm::detect_all(three, detector, texts);
    for (std::size_t i = 0; i != texts.size(); ++i) {
        CHECK(same(a[i], detector(texts[i])));
        CHECK(same(a[i], b[i]));
        CHECK(a[i].evidence.size() == texts[i].tokens.size());
        CHECK(static_cast<std::size_t>(std::ranges::count_if(a[i].evidence, [](double e) { return !std::isnan(e); }))
              == a[i].scored);
    }
}

} // namespace lathe_test
