/* A watermark of whole sentences in the loop of generation, SemStamp: candidates are asked of the model until one falls
   where the key wants it, and the words of the model stay as they are. Then its detection.

   g++ -std=c++20 -O1 -pthread -Iinclude -Ibackends/eigen/include -I/usr/include/eigen3 \
       examples/short/watermark_sentences.cpp -o watermark_sentences
   ./watermark_sentences text.txt
*/
#include <lathe/backend/eigen.hpp>
#include <lathe/evaluate/hashing_embedder.hpp>
#include <lathe/watermark/detector.hpp>
#include <lathe/watermark/sampler.hpp>
#include <lathe/watermark/semstamp.hpp>

#include <cstdio>
#include <fstream>
#include <map>

namespace w = lathe::watermark;

namespace {

/// A language model for the example: words that followed each other in a text; "" begins a sentence.
struct bigrams {
    std::map<std::string, std::vector<std::string>> behind;
    lathe::random::uniform_stream u{7};
    std::uint64_t drawn = 0;

    /// Sentences to go on with. The sampler calls it; yours asks its model, with the prompt and the sentences so far.
    std::vector<w::proposal> operator()(w::sampling_context const &, std::size_t count) {
        std::vector<w::proposal> all(count);
        for (auto & [sentence, tokens] : all)
            for (std::string last; !w::ends_as_sentence(sentence) && behind.contains(last) && tokens != 30; ++tokens) {
                auto const & next = behind[last];
                last = next[static_cast<std::size_t>(u[drawn++] * static_cast<float>(next.size()))];
                sentence += (sentence.empty() ? "" : " ") + last;
            }
        return all;
    }
};

} // namespace

int main(int argc, char ** argv) try {
    std::ifstream file(argc == 2 ? argv[1] : "");
    bigrams model;
    for (std::string word, last; file >> word; last = w::ends_as_sentence(word) ? "" : word)
        model.behind[last].push_back(word);
    lathe::expects_option(!model.behind.empty(), "text", "no words", "a file of sentences");
    constexpr std::size_t dimension = 64, bits = 4; // your encoder's, and 2^bits regions
    auto const embed = [](std::span<std::string const> texts) {
        return lathe::evaluate::hashed_embeddings(texts, {.dimension = dimension});
    };
    w::semstamp const partition(w::semstamp_normals(bits, dimension), bits,
                                {.rate = 0.25, .prime = 1'000'003}); // the key
    lathe::eigen_backend backend;
    auto how = w::semstamp_sampling(0.01); // margin
    how.max_sentences = 30;
    auto const text = w::sample(backend, partition, "It was a quiet evening.", model, embed, how);
    std::printf("%zu sentences of %zu candidates\n", text.sentences.size(), text.trace.size());

    // Two documents to judge: the marked one, and as many sentences as the model says them.
    std::vector<std::string> sentences{"It was a quiet evening."};
    for (auto const & s : text.sentences)
        sentences.push_back(s.text);
    auto const first = sentences.size();
    for (auto & p : model({}, first))
        sentences.push_back(std::move(p.text));
    auto const table = embed(sentences);
    auto const found =
        w::detect(backend, partition, lathe::mat_view<float const *>(table.values.data(), sentences.size(), dimension),
                  std::vector<std::size_t>{0, first, sentences.size()},
                  {.decide_by = w::decision::p, .threshold = 0.001}, w::binomial_null(0.25));
    for (auto const & d : found.documents)
        std::printf("%.0f of %zu sentences where the key wants them, p %.2g, %s\n", d.score, d.scored, d.null.p,
                    d.watermarked ? "marked" : "not marked");
} catch (lathe::error const & e) {
    std::fprintf(stderr, "watermark_sentences: %s\n", e.what());
    return 1;
}
