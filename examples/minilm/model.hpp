#pragma once
// all-MiniLM-L6-v2 as ../fetch_minilm.sh installs it: from texts to embeddings.
#include "encoder.hpp"

#include <lathe/io/safetensors.hpp>

#include <cstdlib>

namespace minilm {

/// Where fetch_minilm.sh puts the model: $XDG_CACHE_HOME/lathe/minilm, or ~/.cache/lathe/minilm.
inline std::filesystem::path default_folder() {
    auto const variable = [](char const * name) {
        auto const * const value = std::getenv(name);
        return std::string{value == nullptr ? "" : value};
    };
    if (auto const cache = variable("XDG_CACHE_HOME"); cache.starts_with('/'))
        return cache + "/lathe/minilm";
    return variable("HOME") + "/.cache/lathe/minilm";
}

/// \throws lathe::io_error naming the script where the folder does not hold the model
inline void expect_installed(std::filesystem::path const & folder) {
    std::error_code code;
    for (auto const * const file : {"model.safetensors", "vocab.txt"})
        if (!std::filesystem::exists(folder / file, code))
            throw lathe::io_error{folder.string() + ": no " + file
                                  + "; examples/fetch_minilm.sh [FOLDER] installs all-MiniLM-L6-v2"};
}
inline wordpiece open_vocabulary(std::filesystem::path const & folder) {
    return wordpiece{(folder / "vocab.txt").string()};
}

/// Of a text, as sentence-transformers has it for this model; what comes after is left out.
inline constexpr std::size_t most_tokens = 256;

inline std::vector<std::vector<token>> tokens_of(std::span<std::string const> texts, wordpiece const & vocabulary) {
    std::vector<std::vector<token>> sentences;
    for (auto const & text : texts)
        sentences.push_back(vocabulary(text, most_tokens));
    return sentences;
}

/// Embeddings of texts: 384 numbers each, of length 1, so that products are cosines.
///
///     lathe::eigen_backend be;
///     auto const table = minilm::embed(be, texts);
///
/// Whoever embeds often keeps weights, vocabulary and encoder. \throws lathe::io_error, lathe::format_error
template <class B>
lathe::evaluate::embedding_table embed(B & be, std::span<std::string const> texts,
                                       std::filesystem::path const & folder = default_folder()) {
    expect_installed(folder);
    auto const weights = lathe::io::open_checkpoint(folder / "model.safetensors");
    return encoder<B>(be, *weights)(be, tokens_of(texts, open_vocabulary(folder)));
}

} // namespace minilm
