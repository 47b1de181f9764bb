#pragma once
/// \file  How a text reads, and how close it is to another, without a model: log diversity, BLEU and ROUGE, with the
///        numbers that MarkLLM's analysers give (112fa74: its own diversity, sacrebleu 2, rouge-score 0.1).
#include <lathe/core/error.hpp>
#include <lathe/core/words.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>

LATHE_NAMESPACE_BEGIN
namespace evaluate {

/// Numbers for words and for runs of words, equal exactly where these are.
class ngram_numbers {
    std::unordered_map<std::string, std::uint32_t> words_;
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> longer_; // (all but the last word, the last)
    std::uint32_t next_ = 0;

public:
    /// The numbers of words, in order.
    template <class Words> std::vector<std::uint32_t> of_words(Words const & words) {
        std::vector<std::uint32_t> ids;
        for (auto const & w : words) {
            auto const [at, fresh] = words_.try_emplace(std::string{w}, next_);
            next_ += fresh ? 1u : 0u;
            ids.push_back(at->second);
        }
        return ids;
    }
    /// Runs one word longer than those of `runs`, which are of the same text as `words`.
    std::vector<std::uint32_t> longer(std::span<std::uint32_t const> runs, std::span<std::uint32_t const> words) {
        std::vector<std::uint32_t> ids;
        for (std::size_t i = 0; i + 1 < runs.size(); ++i) {
            auto const [at, fresh] = longer_.try_emplace({runs[i], words[i + words.size() - runs.size() + 1]}, next_);
            next_ += fresh ? 1u : 0u;
            ids.push_back(at->second);
        }
        return ids;
    }
};

/// Elements that both lists have, each as often as both have it.
inline std::size_t common_elements(std::vector<std::uint32_t> a, std::vector<std::uint32_t> b) {
    std::ranges::sort(a);
    std::ranges::sort(b);
    std::size_t count = 0;
    for (auto i = a.begin(), j = b.begin(); i != a.end() && j != b.end();)
        if (*i < *j)
            ++i;
        else if (*j < *i)
            ++j;
        else
            ++i, ++j, ++count;
    return count;
}

// ---- log diversity --------------------------------------------------------------------------------------------------

/// Options of log_diversity.
struct log_diversity_options {
    /// Conformance: shares of repeated runs are divided by 100 though they are no percentages, as MarkLLM does; its
    /// values lie near 4.6 - ln(share) for every text.
    bool shares_as_percentages = false;
};

/// -ln(1 - D), D the product for n = 2, 3, 4 of the share of different n-grams of words among all; at most 20. Higher
/// is less repetitive. A text of less than n words repeats no n-gram. O(words log words). (Su et al., A contrastive
/// framework for neural text generation, 2022; MarkLLM's LogDiversityAnalyzer, which divides by zero below four words.)
inline double log_diversity(std::string_view text, log_diversity_options const & options = {}) {
    ngram_numbers numbers;
    auto const words = numbers.of_words(words_of(text));
    auto runs = words;
    double diversity = 1;
    for (int n = 2; n <= 4; ++n) {
        runs = numbers.longer(runs, words);
        auto different = runs;
        std::ranges::sort(different);
        auto const rest = std::ranges::unique(different);
        auto const unique = different.size() - rest.size();
        auto const repeated = runs.empty() ? 0.0 : 1 - static_cast<double>(unique) / static_cast<double>(runs.size());
        diversity *= 1 - (options.shares_as_percentages ? repeated / 100 : repeated);
    }
    return -std::log(std::max(1 - diversity, std::exp(-20.0)));
}

// ---- BLEU -----------------------------------------------------------------------------------------------------------

/// What stands for a precision of 0 (Chen and Cherry, A systematic comparison of smoothing techniques, 2014).
enum class bleu_smoothing : unsigned char {
    exponential, ///< 1/2, 1/4, ... match for each order in turn without one, as mteval-v13a and sacrebleu
    floor,       ///< `smoothing_value` matches
    add_k,       ///< `smoothing_value` is added to matches and n-grams of all orders but words
    none,        ///< it stays 0, and the score is 0
};

/// Options of bleu, named as in sacrebleu.
struct bleu_options {
    bleu_smoothing smoothing = bleu_smoothing::exponential; ///< of precisions without a match
    std::optional<double> smoothing_value{}; ///< of floor and add_k, above 0; unset: 0.1 and 1, as sacrebleu
    bool effective_order = false;            ///< only orders that the text has n-grams of count
    bool lowercase = false;                  ///< ASCII capitals count as small letters
};

/// The counts that BLEU is made of; those of a corpus are sums.
struct bleu_counts {
    static constexpr std::size_t orders = 4;   ///< n-grams of 1 to 4 words
    std::array<std::size_t, orders> correct{}, ///< n-grams that the reference has too
        total{};                               ///< n-grams
    std::size_t length = 0,                    ///< of the text, in tokens
        reference_length = 0;                  ///< of the reference, in tokens

    /// Adds the counts of another text.
    bleu_counts & operator+=(bleu_counts const & o) noexcept {
        for (std::size_t n = 0; n != orders; ++n) {
            correct[n] += o.correct[n];
            total[n] += o.total[n];
        }
        length += o.length;
        reference_length += o.reference_length;
        return *this;
    }
    /// Whether all counts agree.
    bool operator==(bleu_counts const &) const = default;
};

/// What bleu and bleu_of give.
struct bleu_result {
    double score = 0;                                     ///< 0 to 100
    std::array<double, bleu_counts::orders> precisions{}; ///< in percent, smoothed
    double brevity_penalty = 1; ///< of a shorter text exp(1 - reference_length / length), else 1
};

/// The tokens of mteval-v13a, sacrebleu's default: entities of mark-up decoded, hyphens at line ends dropped,
/// punctuation apart but for stops and commas between digits. O(bytes).
inline std::vector<std::string> bleu_tokens(std::string_view text, bool lowercase = false) {
    std::string line(text);
    while (!line.empty()) { // as Python's rstrip
        auto const c = last_character(line);
        if (!is_white_space(c.code))
            break;
        line.resize(line.size() - c.length);
    }
    auto const replace = [&](std::string_view what, std::string_view with) {
        for (auto at = line.find(what); at != line.npos; at = line.find(what, at + with.size()))
            line.replace(at, what.size(), with);
    };
    if (lowercase)
        for (auto & c : line)
            c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    replace("<skipped>", "");
    replace("-\n", "");
    replace("\n", " ");
    replace("&quot;", "\"");
    replace("&amp;", "&");
    replace("&lt;", "<");
    replace("&gt;", ">");
    auto const digit = [](char c) { return c >= '0' && c <= '9'; };
    auto const point = [](char c) { return c == '.' || c == ','; };
    auto const other = [](char c) {
        return (c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= ' ' && c <= '&') || (c >= '(' && c <= '+')
               || (c >= ':' && c <= '@') || c == '/';
    };
    std::string spaced = " ";
    for (auto const c : line)
        other(c) ? spaced.append({' ', c, ' '}) : spaced.append(1, c);
    spaced += ' ';
    // Pairs of characters, from left to right without overlap.
    auto const separate = [&](auto const & fits, std::string_view before, std::string_view between,
                              std::string_view after) {
        std::string out;
        for (std::size_t i = 0; i < spaced.size(); ++i)
            if (i + 1 < spaced.size() && fits(spaced[i], spaced[i + 1])) {
                out.append(before).append(1, spaced[i]).append(between).append(1, spaced[i + 1]).append(after);
                ++i;
            } else
                out += spaced[i];
        spaced = std::move(out);
    };
    separate([&](char a, char b) { return !digit(a) && point(b); }, "", " ", " ");
    separate([&](char a, char b) { return point(a) && !digit(b); }, " ", " ", "");
    separate([&](char a, char b) { return digit(a) && b == '-'; }, "", " ", " ");
    auto const words = words_of(spaced);
    return {words.begin(), words.end()};
}

/// O(tokens log tokens).
inline bleu_counts count_bleu(std::string_view text, std::string_view reference, bool lowercase = false) {
    ngram_numbers numbers;
    auto const words = numbers.of_words(bleu_tokens(text, lowercase)),
               others = numbers.of_words(bleu_tokens(reference, lowercase));
    bleu_counts counts;
    counts.length = words.size();
    counts.reference_length = others.size();
    auto runs = words, other_runs = others;
    for (std::size_t n = 0; n != bleu_counts::orders; ++n) {
        if (n != 0) {
            runs = numbers.longer(runs, words);
            other_runs = numbers.longer(other_runs, others);
        }
        counts.total[n] = runs.size();
        counts.correct[n] = common_elements(runs, other_runs);
    }
    return counts;
}
/// BLEU from its counts. 0 if no n-gram is correct. \throws option_error
inline bleu_result bleu_of(bleu_counts const & counts, bleu_options const & options = {}) {
    auto const value = options.smoothing_value.value_or(options.smoothing == bleu_smoothing::floor ? 0.1 : 1);
    expects_option(value > 0 && std::isfinite(value), "smoothing_value", std::to_string(value),
                   "a finite number above 0");
    bleu_result result;
    if (counts.length < counts.reference_length)
        result.brevity_penalty =
            counts.length == 0
                ? 0
                : std::exp(1 - static_cast<double>(counts.reference_length) / static_cast<double>(counts.length));
    if (std::ranges::all_of(counts.correct, [](auto n) { return n == 0; }))
        return result;
    double sum = 0, halved = 1;
    std::size_t order = bleu_counts::orders, counted = 0;
    for (std::size_t n = 0; n != bleu_counts::orders; ++n, ++counted) {
        auto correct = static_cast<double>(counts.correct[n]), total = static_cast<double>(counts.total[n]);
        if (options.smoothing == bleu_smoothing::add_k && n != 0) {
            correct += value;
            total += value;
        }
        if (total == 0)
            break;
        if (options.effective_order)
            order = n + 1;
        auto & p = result.precisions[n];
        if (correct > 0)
            p = 100 * correct / total;
        else if (options.smoothing == bleu_smoothing::exponential)
            p = 100 / ((halved *= 2) * total);
        else if (options.smoothing == bleu_smoothing::floor)
            p = 100 * value / total;
    }
    for (std::size_t n = 0; n != order; ++n) {
        if (result.precisions[n] == 0)
            return result; // the logarithm of 0
        sum += std::log(result.precisions[n]);
    }
    result.score = result.brevity_penalty * std::exp(sum / static_cast<double>(order));
    return result;
}
/// BLEU of one text against one reference. For a corpus add up count_bleu and call bleu_of.
inline bleu_result bleu(std::string_view text, std::string_view reference, bleu_options const & options = {}) {
    return bleu_of(count_bleu(text, reference, options.lowercase), options);
}

// ---- ROUGE ----------------------------------------------------------------------------------------------------------

/// A word of small ASCII letters and digits without its endings: Porter's algorithm (An algorithm for suffix stripping,
/// 1980) with the departures of NLTK's PorterStemmer, which rouge-score uses.
class porter_stemmer {
    static bool consonant(std::string_view w, std::size_t i) {
        switch (w[i]) {
        case 'a':
        case 'e':
        case 'i':
        case 'o':
        case 'u': return false;
        case 'y': break;
        default: return true;
        }
        bool answer = true; // of the first y of a row of them at the beginning; they alternate
        std::size_t first = i;
        while (first != 0 && w[first - 1] == 'y')
            --first;
        if (first != 0)
            answer = !consonant(w, first - 1);
        return (i - first) % 2 == 0 ? answer : !answer;
    }
    /// Porter's m: how often a consonant follows a vowel.
    static std::size_t measure(std::string_view w) {
        std::size_t m = 0;
        for (std::size_t i = 1; i < w.size(); ++i)
            m += consonant(w, i) && !consonant(w, i - 1) ? 1u : 0u;
        return m;
    }
    static bool has_vowel(std::string_view w) {
        for (std::size_t i = 0; i != w.size(); ++i)
            if (!consonant(w, i))
                return true;
        return false;
    }
    static bool double_consonant(std::string_view w) {
        return w.size() >= 2 && w[w.size() - 1] == w[w.size() - 2] && consonant(w, w.size() - 1);
    }
    static bool ends_cvc(std::string_view w) {
        auto const n = w.size();
        if (n == 2)
            return !consonant(w, 0) && consonant(w, 1);
        return n >= 3 && consonant(w, n - 3) && !consonant(w, n - 2) && consonant(w, n - 1) && w[n - 1] != 'w'
               && w[n - 1] != 'x' && w[n - 1] != 'y';
    }
    struct ending {
        std::string_view suffix, replacement;
    };
    /// Replaces the first of the endings that the word has if its stem allows it. \returns whether it has one
    template <class Allows>
    static bool replace(std::string & w, std::span<ending const> endings, Allows const & allows) {
        for (auto const & e : endings)
            if (w.ends_with(e.suffix)) {
                auto const stem = std::string_view{w}.substr(0, w.size() - e.suffix.size());
                if (allows(stem, e.suffix))
                    w.replace(stem.size(), e.suffix.size(), e.replacement);
                return true;
            }
        return false;
    }
    static bool measured(std::string_view stem, std::string_view) { return measure(stem) > 0; }

    static void plurals(std::string & w) {
        static constexpr ending all[] = {{"sses", "ss"}, {"ies", "i"}, {"ss", "ss"}, {"s", ""}};
        if (w.size() == 4 && w.ends_with("ies"))
            w.resize(3);
        else
            replace(w, all, [](auto, auto) { return true; });
    }
    static void past_and_ing(std::string & w) {
        if (w.ends_with("ied")) {
            w.resize(w.size() - (w.size() == 4 ? 1 : 2));
            return;
        }
        if (w.ends_with("eed")) {
            if (measure(std::string_view{w}.substr(0, w.size() - 3)) > 0)
                w.pop_back();
            return;
        }
        auto const cut = w.ends_with("ed") ? 2u : w.ends_with("ing") ? 3u : 0u;
        if (cut == 0 || !has_vowel(std::string_view{w}.substr(0, w.size() - cut)))
            return;
        w.resize(w.size() - cut);
        if (w.ends_with("at") || w.ends_with("bl") || w.ends_with("iz"))
            w += 'e';
        else if (double_consonant(w)) {
            if (w.back() != 'l' && w.back() != 's' && w.back() != 'z')
                w.pop_back();
        } else if (measure(w) == 1 && ends_cvc(w))
            w += 'e';
    }
    static void double_suffixes(std::string & w) {
        static constexpr ending all[] = {{"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"},   {"anci", "ance"},
                                         {"izer", "ize"},    {"bli", "ble"},     {"alli", "al"},     {"entli", "ent"},
                                         {"eli", "e"},       {"ousli", "ous"},   {"ization", "ize"}, {"ation", "ate"},
                                         {"ator", "ate"},    {"alism", "al"},    {"iveness", "ive"}, {"fulness", "ful"},
                                         {"ousness", "ous"}, {"aliti", "al"},    {"iviti", "ive"},   {"biliti", "ble"},
                                         {"fulli", "ful"},   {"logi", "log"}};
        while (w.ends_with("alli") && measure(std::string_view{w}.substr(0, w.size() - 4)) > 0)
            w.resize(w.size() - 2);
        replace(w, all, [&](std::string_view stem, std::string_view suffix) {
            return measure(suffix == "logi" ? std::string_view{w}.substr(0, w.size() - 3) : stem) > 0;
        });
    }
    static void more_suffixes(std::string & w) {
        static constexpr ending all[] = {{"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"},
                                         {"ical", "ic"},  {"ful", ""},   {"ness", ""}};
        replace(w, all, measured);
    }
    static void last_suffixes(std::string & w) {
        static constexpr ending all[] = {{"al", ""},   {"ance", ""}, {"ence", ""}, {"er", ""},    {"ic", ""},
                                         {"able", ""}, {"ible", ""}, {"ant", ""},  {"ement", ""}, {"ment", ""},
                                         {"ent", ""},  {"ion", ""},  {"ou", ""},   {"ism", ""},   {"ate", ""},
                                         {"iti", ""},  {"ous", ""},  {"ive", ""},  {"ize", ""}};
        replace(w, all, [](std::string_view stem, std::string_view suffix) {
            return measure(stem) > 1 && (suffix != "ion" || stem.ends_with('s') || stem.ends_with('t'));
        });
    }

public:
    /// \pre small ASCII letters and digits
    static std::string stem(std::string_view word) {
        static constexpr ending irregular[] = {
            {"sky", "sky"},        {"skies", "sky"},       {"dying", "die"},        {"lying", "lie"},
            {"tying", "tie"},      {"news", "news"},       {"innings", "inning"},   {"inning", "inning"},
            {"outings", "outing"}, {"outing", "outing"},   {"cannings", "canning"}, {"canning", "canning"},
            {"howe", "howe"},      {"proceed", "proceed"}, {"exceed", "exceed"},    {"succeed", "succeed"}};
        if (auto const at = std::ranges::find(irregular, word, &ending::suffix); at != std::end(irregular))
            return std::string{at->replacement};
        std::string w(word);
        if (w.size() <= 2)
            return w;
        plurals(w);
        past_and_ing(w);
        if (w.size() > 2 && w.back() == 'y' && consonant(w, w.size() - 2))
            w.back() = 'i';
        double_suffixes(w);
        more_suffixes(w);
        last_suffixes(w);
        if (w.ends_with('e')) {
            auto const rest = std::string_view{w}.substr(0, w.size() - 1);
            auto const m = measure(rest);
            if (m > 1 || (m == 1 && !ends_cvc(rest)))
                w.pop_back();
        }
        if (w.ends_with("ll") && measure(std::string_view{w}.substr(0, w.size() - 1)) > 1)
            w.pop_back();
        return w;
    }
};

/// Options of rouge.
struct rouge_options {
    bool stem = true; ///< words of more than three characters are compared by their stems, as MarkLLM has it
};
/// Agreement in one kind of unit.
struct rouge_score {
    double precision = 0, ///< share of the text's units that the reference has
        recall = 0,       ///< share of the reference's units that the text has
        f1 = 0;           ///< harmonic mean; 0 of zeros
};
/// What rouge gives.
struct rouge_result {
    rouge_score rouge_1, ///< by words
        rouge_2,         ///< by pairs of neighbouring words
        rouge_l;         ///< by a longest common subsequence of words
};

/// The tokens of rouge-score: runs of ASCII letters and digits, in small letters.
inline std::vector<std::string> rouge_tokens(std::string_view text, rouge_options const & options = {}) {
    std::vector<std::string> tokens;
    std::string token;
    auto const flush = [&] {
        if (!token.empty())
            tokens.push_back(options.stem && token.size() > 3 ? porter_stemmer::stem(token) : token);
        token.clear();
    };
    while (!text.empty()) {
        auto const c = first_character(text);
        text.remove_prefix(c.length);
        if ((c.code >= U'a' && c.code <= U'z') || (c.code >= U'0' && c.code <= U'9'))
            token += static_cast<char>(c.code);
        else if (c.code >= U'A' && c.code <= U'Z')
            token += static_cast<char>(c.code - U'A' + U'a');
        else if (c.code == U'\u212a') // the two other characters whose small form has an ASCII letter: Kelvin,
            token += 'k';
        else if (c.code == U'\u0130') { // and I with a dot, whose dot comes apart
            token += 'i';
            flush();
        } else
            flush();
    }
    flush();
    return tokens;
}

/// Length of a longest common subsequence, by bits of one list for each element of the other (Hyyrö, Bit-parallel
/// LCS-length computation revisited, 2004). O(n m / 64).
inline std::size_t longest_common_subsequence(std::span<std::uint32_t const> a, std::span<std::uint32_t const> b) {
    std::unordered_map<std::uint32_t, std::vector<std::size_t>> places;
    for (std::size_t i = 0; i != a.size(); ++i)
        places[a[i]].push_back(i);
    auto const blocks = (a.size() + 63) / 64;
    std::vector<std::uint64_t> row(blocks, ~std::uint64_t{0}), match(blocks);
    for (auto const x : b) {
        auto const at = places.find(x);
        if (at == places.end())
            continue;
        for (auto const i : at->second)
            match[i / 64] |= std::uint64_t{1} << (i % 64);
        std::uint64_t carry = 0;
        for (std::size_t k = 0; k != blocks; ++k) {
            auto const v = row[k], hit = v & match[k], sum = v + hit, whole = sum + carry;
            carry = (sum < v ? 1u : 0u) | (whole < sum ? 1u : 0u);
            row[k] = whole | (v & ~match[k]);
        }
        for (auto const i : at->second)
            match[i / 64] = 0;
    }
    std::size_t length = 0;
    for (std::size_t k = 0; k != blocks; ++k) {
        auto const used =
            k + 1 == blocks && a.size() % 64 != 0 ? (std::uint64_t{1} << (a.size() % 64)) - 1 : ~std::uint64_t{0};
        length += static_cast<std::size_t>(std::popcount(~row[k] & used));
    }
    return length;
}

/// ROUGE-1, ROUGE-2 and ROUGE-L of a text against a reference (Lin, 2004, as rouge-score computes them). Without tokens
/// on a side all are 0. O(tokens^2 / 64). (MarkLLM hands text and reference over the other way round and takes f1,
/// which does not tell.)
inline rouge_result rouge(std::string_view text, std::string_view reference, rouge_options const & options = {}) {
    ngram_numbers numbers;
    auto const words = numbers.of_words(rouge_tokens(text, options)),
               others = numbers.of_words(rouge_tokens(reference, options));
    auto const score = [](std::size_t common, std::size_t own, std::size_t wanted) {
        rouge_score s;
        s.precision = static_cast<double>(common) / static_cast<double>(std::max<std::size_t>(own, 1));
        s.recall = static_cast<double>(common) / static_cast<double>(std::max<std::size_t>(wanted, 1));
        s.f1 = s.precision + s.recall > 0 ? 2 * s.precision * s.recall / (s.precision + s.recall) : 0;
        return s;
    };
    auto const pairs = numbers.longer(words, words), other_pairs = numbers.longer(others, others);
    return {score(common_elements(words, others), words.size(), others.size()),
            score(common_elements(pairs, other_pairs), pairs.size(), other_pairs.size()),
            score(longest_common_subsequence(others, words), words.size(), others.size())};
}

} // namespace evaluate
LATHE_NAMESPACE_END
