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

/// Opens the weights. \throws lathe::io_error naming the script where the folder does not hold the model
inline std::unique_ptr<lathe::checkpoint> open_weights(std::filesystem::path const & folder) {
    std::error_code code;
    for (auto const * const file : {"model.safetensors", "vocab.txt"})
        if (!std::filesystem::exists(folder / file, code))
            throw lathe::io_error{folder.string() + ": no " + file
                                  + "; examples/fetch_minilm.sh [FOLDER] installs all-MiniLM-L6-v2"};
    return lathe::io::open_checkpoint(folder / "model.safetensors", {.resident_bytes = 0}); // rows come in any order
}

/// The sentence embedder: 384 numbers a text, of length 1, so that products are cosines.
template <class B> class embedder {
    std::unique_ptr<lathe::checkpoint> weights_;
    wordpiece tokens_;
    encoder<B, float> encoder_;

public:
    static constexpr std::size_t most_tokens = 256; ///< of a text; what comes after is left out

    /// \throws lathe::io_error, lathe::format_error, lathe::mismatch_error
    explicit embedder(B & be, std::filesystem::path const & folder = default_folder())
        : weights_{open_weights(folder)}, tokens_{(folder / "vocab.txt").string()}, encoder_{be, *weights_} {}

    [[nodiscard]] std::vector<token> tokens(std::string_view text) const { return tokens_(text, most_tokens); }
    /// \see encoder
    lathe::evaluate::embedding_table operator()(B & be, std::span<std::string const> texts,
                                                std::function<void(std::size_t)> const & done = {}) {
        std::vector<std::vector<token>> sentences;
        for (auto const & text : texts)
            sentences.push_back(tokens(text));
        return encoder_(be, sentences, done);
    }
};

} // namespace minilm
