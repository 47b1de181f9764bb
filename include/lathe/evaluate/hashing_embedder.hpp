#pragma once
/// \file  An embedder without a model: texts as sums of hashed words, for tests, smoke runs and texts that share words.
#include <lathe/evaluate/similarity.hpp>
#include <lathe/random/philox.hpp>

#include <cstdint>
#include <string>
#include <string_view>

LATHE_NAMESPACE_BEGIN
namespace evaluate {

/// Options of hashed_embeddings.
struct hashing_options {
    std::size_t dimension = 512; ///< columns of the table; at least 1
    float pair_weight = 0.5f;    ///< of two words in a row, against 1 for a word
};

/// FNV-1a of 64 bits with the finaliser of splitmix64, which spreads it over all bits.
constexpr std::uint64_t text_hash(std::string_view text, std::uint64_t state = 0xcbf29ce484222325u) noexcept {
    state = random::fnv1a(text, state);
    state = (state ^ state >> 30) * 0xbf58476d1ce4e5b9u;
    state = (state ^ state >> 27) * 0x94d049bb133111ebu;
    return state ^ state >> 31;
}

/// A row for each text: for every word, and every two words in a row, a weight is added to the column that its hash
/// names, with the sign its top bit names (Weinberger et al., Feature hashing, 2009). A word is a run of ASCII letters,
/// digits and bytes beyond ASCII; capitals count as small letters. The same table everywhere; rows are not normalised.
/// Knows nothing of meaning: "fridge" is as far from "refrigerator" as from "comet". A text without words is a row of
/// zeros. O(bytes + texts * dimension). \throws option_error for a dimension of 0
inline embedding_table hashed_embeddings(std::span<std::string const> texts, hashing_options const & options = {}) {
    expects_option(options.dimension != 0, "dimension", "0", "at least 1");
    embedding_table table{options.dimension, std::vector<float>(texts.size() * options.dimension)};
    std::string word;
    for (std::size_t row = 0; row != texts.size(); ++row) {
        auto const add = [&](std::uint64_t hash, float weight) {
            auto const column = static_cast<std::size_t>((hash & 0x7fffffffffffffffu) % options.dimension);
            table.values[row * options.dimension + column] += hash >> 63 ? -weight : weight;
        };
        std::uint64_t before = 0; // the hash of the last word
        bool first = true;
        word.clear();
        for (std::size_t i = 0; i <= texts[row].size(); ++i) {
            auto const c = i == texts[row].size() ? ' ' : texts[row][i];
            bool const capital = c >= 'A' && c <= 'Z';
            if (capital || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || static_cast<unsigned char>(c) >= 0x80) {
                word.push_back(capital ? static_cast<char>(c + ('a' - 'A')) : c);
            } else if (!word.empty()) {
                auto const hash = text_hash(word);
                add(hash, 1);
                if (!first)
                    add(text_hash(word, before), options.pair_weight);
                before = hash;
                first = false;
                word.clear();
            }
        }
    }
    return table;
}

} // namespace evaluate
LATHE_NAMESPACE_END
