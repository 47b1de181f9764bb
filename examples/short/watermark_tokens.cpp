/* A watermark in the loop of generation, KGW: between the model's logits and the draw of the next token; and then its
   detection. The model is made of the words of a text; yours takes the place of `bigrams`.

   g++ -std=c++20 -O1 -pthread -Iinclude -Ibackends/eigen/include -I/usr/include/eigen3 \
       examples/short/watermark_tokens.cpp -o watermark_tokens
   ./watermark_tokens text.txt
*/
#include <lathe/backend/eigen.hpp>
#include <lathe/watermark/greenlist.hpp>

#include <cstdio>
#include <fstream>
#include <map>

namespace w = lathe::watermark;

namespace {

/// How often a word follows another in a text, a hundred times over how often it is there at all.
struct bigrams {
    std::vector<std::string> words; // by token
    std::vector<w::token> text;

    explicit bigrams(std::ifstream file) {
        std::map<std::string, w::token> ids;
        for (std::string word; file >> word; text.push_back(ids[word]))
            if (ids.try_emplace(word, static_cast<w::token>(words.size())).second)
                words.push_back(word);
    }
    /// Logits of every word after `last`.
    void operator()(w::token last, std::span<float> logits) const {
        std::ranges::fill(logits, 0.0f);
        for (std::size_t i = 0; i != text.size(); ++i)
            logits[text[i]] += i != 0 && text[i - 1] == last ? 100.0f : 1.0f;
        std::ranges::transform(logits, logits.begin(), [](float count) { return std::log(count); });
    }
};
/// A token, drawn from the softmax of its logits by a number between 0 and 1.
w::token draw(std::span<float const> logits, float u) {
    std::vector<double> sums; // of exponentials up to each token
    for (auto const l : logits)
        sums.push_back((sums.empty() ? 0 : sums.back()) + std::exp(static_cast<double>(l)));
    return static_cast<w::token>(std::ranges::upper_bound(sums, u * sums.back()) - sums.begin());
}

} // namespace

int main(int argc, char ** argv) try {
    bigrams const model(std::ifstream(argc == 2 ? argv[1] : ""));
    w::kgw_options options{.gamma = 0.25, .delta = 3, .key = 20'011, .hash = w::context_hash::additive};
    options.vocabulary = static_cast<std::uint32_t>(model.words.size());
    w::kgw_processor mark(options);
    w::kgw_detector const detect(options); // needs the key and the tokens, not the model

    lathe::eigen_backend backend;
    std::vector<float> logits(model.words.size());
    for (bool const marked : {false, true}) {
        std::vector<w::token> tokens(1); // the prompt: token 0, the first word of the text
        for (lathe::random::uniform_stream const u{7}; tokens.size() != 200;) {
            model(tokens.back(), logits);
            if (w::token_context const context{tokens, 1}; marked)
                mark(backend, {&context, 1}, lathe::mat_view<float *>(logits.data(), 1, logits.size()));
            tokens.push_back(draw(logits, u[tokens.size()]));
        }
        auto const found = detect({tokens});
        std::printf("%s: z %.2f, p %.2g, %s\n", marked ? "with" : "without", found.score, found.p_value,
                    found.watermarked ? "marked" : "not marked");
        for (std::size_t i = 1; i != 13; ++i) // a plus behind what is green
            std::printf("%s%s%s", model.words[tokens[i]].c_str(), found.evidence[i] == 1 ? "+" : "",
                        i == 12 ? "\n" : " ");
    }
} catch (lathe::error const & e) { // a text without words has no vocabulary, for one
    std::fprintf(stderr, "watermark_tokens: %s\n", e.what());
    return 1;
}
