// Diversity, BLEU and ROUGE against numbers recorded from MarkLLM's formula, sacrebleu 2.6.0 and rouge-score 0.1.2
// (with NLTK 3.10.4).
#include <catch.hpp>

#include <lathe/evaluate/text_quality.hpp>

#include <numeric>

using namespace lathe;
using namespace lathe::evaluate;

namespace {

struct recorded_scores {
    double precision, recall, f1;
};
struct recorded_text {
    std::string text, reference;
    double diversity, published_diversity;
    double bleu[5]; // as it is, floor, add_k, none, effective order in small letters
    recorded_scores stemmed[3], plain[3];
};
recorded_text const recorded[] = {
    {
        "The cat sat on the mat, and the cat sat on the mat again.",
        "A cat was sitting on the mat; it sat there again and again.",
        0.874071113087262,
        5.323431262504478,
        {12.874330508144842, 8.609583710384033, 18.575057999133595, 0.0, 12.874330508144842},
        {{0.5, 0.5384615384615384, 0.5185185185185186},
         {0.15384615384615385, 0.16666666666666666, 0.16},
         {0.42857142857142855, 0.46153846153846156, 0.4444444444444445}},
        {{0.5, 0.5384615384615384, 0.5185185185185186},
         {0.15384615384615385, 0.16666666666666666, 0.16},
         {0.42857142857142855, 0.46153846153846156, 0.4444444444444445}},
    },
    {
        "Preseeding an installation often straightforward as one would wish. It sometimes requires to how process the "
        "given values in their scripts.",
        "Preseeding an installation is often not as straightforward as one would wish. It sometimes requires to "
        "understand how packages process the given values in their scripts.",
        20.0,
        20.0,
        {61.916502448291844, 61.916502448291844, 62.834756611447325, 61.916502448291844, 61.916502448291844},
        {{1.0, 0.8076923076923077, 0.8936170212765957},
         {0.8, 0.64, 0.7111111111111111},
         {1.0, 0.8076923076923077, 0.8936170212765957}},
        {{1.0, 0.8076923076923077, 0.8936170212765957},
         {0.8, 0.64, 0.7111111111111111},
         {1.0, 0.8076923076923077, 0.8936170212765957}},
    },
    {
        "The quick-\nbrown &quot;fox&quot; costs $3,000.50, 5-6... wait...  \n",
        "the quick brown fox costs 3,000.50 dollars, 5 - 6 \xe2\x84\xaa\xc4\xb0x",
        20.0,
        20.0,
        {14.576846149722611, 14.576846149722611, 19.747865622643186, 14.576846149722611, 15.071676257541073},
        {{0.7692307692307693, 0.7692307692307693, 0.7692307692307693},
         {0.5, 0.5, 0.5},
         {0.7692307692307693, 0.7692307692307693, 0.7692307692307693}},
        {{0.7692307692307693, 0.7692307692307693, 0.7692307692307693},
         {0.5, 0.5, 0.5},
         {0.7692307692307693, 0.7692307692307693, 0.7692307692307693}},
    },
    {
        "a b c d e",
        "A b x d f",
        20.0,
        20.0,
        {12.703318703865365, 6.389431042462726, 28.574404296987996, 0.0, 23.643540225079384},
        {{0.6, 0.6, 0.6}, {0.25, 0.25, 0.25}, {0.6, 0.6, 0.6}},
        {{0.6, 0.6, 0.6}, {0.25, 0.25, 0.25}, {0.6, 0.6, 0.6}},
    },
    {
        "one two three",
        "one two three",
        20.0,
        20.0,
        {0.0, 0.0, 100.00000000000004, 0.0, 100.00000000000004},
        {{1.0, 1.0, 1.0}, {1.0, 1.0, 1.0}, {1.0, 1.0, 1.0}},
        {{1.0, 1.0, 1.0}, {1.0, 1.0, 1.0}, {1.0, 1.0, 1.0}},
    },
    {
        "x",
        "y",
        20.0,
        20.0,
        {0.0, 0.0, 0.0, 0.0, 0.0},
        {{0.0, 0.0, 0.0}, {0.0, 0.0, 0.0}, {0.0, 0.0, 0.0}},
        {{0.0, 0.0, 0.0}, {0.0, 0.0, 0.0}, {0.0, 0.0, 0.0}},
    },
    {
        "",
        "text",
        20.0,
        20.0,
        {0.0, 0.0, 0.0, 0.0, 0.0},
        {{0.0, 0.0, 0.0}, {0.0, 0.0, 0.0}, {0.0, 0.0, 0.0}},
        {{0.0, 0.0, 0.0}, {0.0, 0.0, 0.0}, {0.0, 0.0, 0.0}},
    },
    {
        "text",
        "",
        20.0,
        20.0,
        {0.0, 0.0, 0.0, 0.0, 0.0},
        {{0.0, 0.0, 0.0}, {0.0, 0.0, 0.0}, {0.0, 0.0, 0.0}},
        {{0.0, 0.0, 0.0}, {0.0, 0.0, 0.0}, {0.0, 0.0, 0.0}},
    },
};

bool close(double a, double b) { return std::abs(a - b) <= 1e-12 * std::max(1.0, std::abs(b)); }

} // namespace

TEST_CASE("diversity, BLEU and ROUGE are those of the packages", "[text_quality]") {
    for (auto const & r : recorded) {
        INFO(r.text);
        CHECK(close(log_diversity(r.text), r.diversity));
        CHECK(close(log_diversity(r.text, {.shares_as_percentages = true}), r.published_diversity));
        bleu_options const how[] = {{},
                                    {.smoothing = bleu_smoothing::floor},
                                    {.smoothing = bleu_smoothing::add_k},
                                    {.smoothing = bleu_smoothing::none},
                                    {.effective_order = true, .lowercase = true}};
        for (std::size_t i = 0; i != std::size(how); ++i)
            CHECK(close(bleu(r.text, r.reference, how[i]).score, r.bleu[i]));
        for (bool const stem : {true, false}) {
            auto const all = rouge(r.text, r.reference, {.stem = stem});
            rouge_score const scores[] = {all.rouge_1, all.rouge_2, all.rouge_l};
            for (std::size_t i = 0; i != 3; ++i) {
                auto const & expected = stem ? r.stemmed[i] : r.plain[i];
                CHECK(close(scores[i].precision, expected.precision));
                CHECK(close(scores[i].recall, expected.recall));
                CHECK(close(scores[i].f1, expected.f1));
            }
        }
    }
}

TEST_CASE("BLEU of a corpus is that of the sums", "[text_quality]") {
    bleu_counts all;
    for (auto const & r : std::span{recorded}.first(4))
        all += count_bleu(r.text, r.reference);
    CHECK(all == bleu_counts{{40, 24, 18, 13}, {63, 59, 55, 51}, 63, 60});
    CHECK(close(bleu_of(all).score, 38.31249330232598));
    auto const shorter = bleu("the cat", "the cat sat on it");
    CHECK(close(shorter.brevity_penalty, std::exp(1 - 2.5)));
    CHECK_THROWS_AS(bleu("a", "a", {.smoothing = bleu_smoothing::floor, .smoothing_value = 0.0}), option_error);
}

TEST_CASE("tokens of mteval-v13a", "[text_quality]") {
    using tokens = std::vector<std::string>;
    CHECK(bleu_tokens("Wait... 3.5-4, (a/b) \"x\" it's <skipped>ok.")
          == tokens{"Wait", ".", ".", ".", "3.5", "-", "4", ",", "(", "a", "/", "b", ")", "\"", "x", "\"", "it's", "ok",
                    "."});
    CHECK(bleu_tokens(" \n\t").empty());
}

TEST_CASE("stems are those of NLTK", "[text_quality]") {
    std::pair<std::string, std::string> const words[] = {{"yyy", "yyy"},
                                                         {"yay", "yay"},
                                                         {"skies", "sky"},
                                                         {"sky", "sky"},
                                                         {"dying", "die"},
                                                         {"tied", "tie"},
                                                         {"ties", "tie"},
                                                         {"died", "die"},
                                                         {"flies", "fli"},
                                                         {"relational", "relat"},
                                                         {"conditional", "condit"},
                                                         {"rationally", "ration"},
                                                         {"generally", "gener"},
                                                         {"fulli", "fulli"},
                                                         {"hopefully", "hope"},
                                                         {"analogi", "analog"},
                                                         {"geology", "geolog"},
                                                         {"psychological", "psycholog"},
                                                         {"falling", "fall"},
                                                         {"hissing", "hiss"},
                                                         {"fizzed", "fizz"},
                                                         {"failing", "fail"},
                                                         {"filing", "file"},
                                                         {"sized", "size"},
                                                         {"agreed", "agre"},
                                                         {"feed", "feed"},
                                                         {"bled", "bled"},
                                                         {"motoring", "motor"},
                                                         {"happy", "happi"},
                                                         {"enjoy", "enjoy"},
                                                         {"say", "say"},
                                                         {"controlling", "control"},
                                                         {"rate", "rate"},
                                                         {"cease", "ceas"},
                                                         {"probate", "probat"},
                                                         {"caresses", "caress"},
                                                         {"ponies", "poni"},
                                                         {"cats", "cat"},
                                                         {"plastered", "plaster"},
                                                         {"hopping", "hop"},
                                                         {"conflated", "conflat"},
                                                         {"triplicate", "triplic"},
                                                         {"formative", "form"},
                                                         {"electrical", "electr"},
                                                         {"goodness", "good"},
                                                         {"revival", "reviv"},
                                                         {"allowance", "allow"},
                                                         {"replacement", "replac"},
                                                         {"adjustment", "adjust"},
                                                         {"dependent", "depend"},
                                                         {"adoption", "adopt"},
                                                         {"communism", "commun"},
                                                         {"news", "news"},
                                                         {"innings", "inning"},
                                                         {"proceed", "proceed"},
                                                         {"vietnamization", "vietnam"},
                                                         {"callousness", "callous"},
                                                         {"sensibiliti", "sensibl"},
                                                         {"y8y", "y8i"},
                                                         {"2021", "2021"},
                                                         {"be", "be"}};
    for (auto const & [word, stem] : words)
        CHECK(porter_stemmer::stem(word) == stem);
}

TEST_CASE("the longest common subsequence of lists longer than a word of the machine", "[text_quality]") {
    // Against the table, on lists of a linear congruence.
    for (std::size_t const n : {1u, 63u, 64u, 65u, 200u}) {
        std::vector<std::uint32_t> a(n), b(n + 17);
        std::uint32_t state = static_cast<std::uint32_t>(n);
        for (auto * const list : {&a, &b})
            for (auto & x : *list)
                x = (state = state * 1664525u + 1013904223u) >> 29;
        std::vector<std::size_t> row(b.size() + 1), next(b.size() + 1);
        for (auto const x : a) {
            for (std::size_t j = 0; j != b.size(); ++j)
                next[j + 1] = x == b[j] ? row[j] + 1 : std::max(row[j + 1], next[j]);
            row = next;
        }
        CHECK(longest_common_subsequence(a, b) == row.back());
        CHECK(longest_common_subsequence(b, a) == row.back());
    }
    CHECK(longest_common_subsequence({}, {}) == 0);
}
