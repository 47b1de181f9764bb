#pragma once
/// \file  Documents as the watermark commands take them: texts cut into sentences and embedded, embeddings of
///        sentences, or numbers of tokens.
#include "embedders.hpp"
#include "files.hpp"

namespace lathe_cli {

/// Bytes of a text.
struct text_part {
    std::size_t first = 0, length = 0;
    bool operator==(text_part const &) const = default;
};

/// A text and where its sentences are in it; both empty for a document that is known by its embeddings alone.
struct document {
    std::string id, text;
    std::vector<text_part> sentences;
    std::size_t count = 0; ///< sentences

    [[nodiscard]] std::string_view sentence(std::size_t i) const {
        return text.empty() ? std::string_view{}
                            : std::string_view{text}.substr(sentences[i].first, sentences[i].length);
    }
};

/// What says where documents are and how their sentences are embedded.
struct document_settings {
    std::string documents;
    std::string text_field = "text";
    std::optional<std::string> tensor, lengths;
    embedder_choice embedder = embedder_choice::hashing;
    std::string model;
};

/// Embeddings of the sentences of all documents, one after the other. Those of texts are scaled to length 1.
struct embedded_documents {
    std::vector<document> documents;
    std::vector<std::size_t> first_row; ///< of each document, and the number of rows
    std::size_t dimension = 0;
    std::vector<float> rows;
    bool texts = false; ///< whether the documents came as texts

    [[nodiscard]] std::span<float const> of(std::size_t document) const {
        return std::span{rows}.subspan(first_row[document] * dimension,
                                       (first_row[document + 1] - first_row[document]) * dimension);
    }
};

/// Whether a path is that of embeddings rather than of texts.
bool names_embeddings(std::string const & path);

/// Sentences of a text of English prose. \throws format_error; unsupported_error in a program built without ICU
std::vector<text_part> sentences_of(std::string_view text);

/// A document of sentences, a space between them.
document document_of(std::string id, std::span<std::string const> sentences);

/// The documents of
/// - a .txt file: one a line;
/// - a .jsonl file: objects whose text field is a text, or a list of sentences, and that may have an `id`.
/// \throws usage_error, io_error, format_error naming file and line, unsupported_error
std::vector<document> read_texts(document_settings const & s);

/// The sentences of the documents, embedded. \throws as embed_texts
embedded_documents embed_documents(std::vector<document> documents, document_settings const & s,
                                   run_settings const & how);

/// Texts as read_texts, embedded; or the embeddings of
/// - a .npy file and --lengths, a .npy file of integers or a text file of numbers: sentences of each document in turn;
/// - a .safetensors file with a matrix `embeddings` and integers `lengths`, or another name by --tensor.
/// \throws usage_error, io_error, format_error, mismatch_error, non_finite_error
embedded_documents read_documents(document_settings const & s, run_settings const & how);

/// The documents of read_documents a few at a time, in their order: what is in memory does not grow with their number.
class document_stream {
    struct source;
    std::unique_ptr<source> from_;
    std::size_t documents_ = 0;
    std::uint64_t bytes_ = 0;

public:
    /// Reads all of them once, so that what is wrong with one is known before there are results of others.
    /// \param where, how which must outlive it \throws as read_documents
    document_stream(document_settings const & where, run_settings const & how);
    document_stream(document_stream const &) = delete;
    document_stream & operator=(document_stream const &) = delete;
    ~document_stream();

    /// How many there are, and the bytes that are read for them.
    [[nodiscard]] std::size_t documents() const noexcept { return documents_; }
    [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
    /// The next ones; none at the end. \throws as read_documents
    embedded_documents next();
};

/// A text as numbers of tokens.
struct token_document {
    std::string id;
    std::vector<std::uint32_t> tokens;
    std::vector<double> entropies;   ///< one for each token, or none
    std::vector<std::string> pieces; ///< the texts of the tokens, or none
};
/// A .jsonl file of objects with `tokens`, a list of integers, and perhaps `id`, `entropies` (numbers, null where there
/// is none), `pieces` (texts), and `prompt`, how many tokens at the beginning were not generated: they are left out.
/// \throws usage_error, io_error, format_error
std::vector<token_document> read_token_documents(std::string const & path);

} // namespace lathe_cli

BOOST_HANA_ADAPT_STRUCT(lathe_cli::document_settings, documents, text_field, tensor, lengths, embedder, model);
template <>
inline constexpr auto lathe::reflect::help<lathe_cli::document_settings> = lathe::reflect::help_table({
    {"documents", "texts: a .txt file, one document a line, or .jsonl; or embeddings of their sentences: a .npy or "
                  ".safetensors file"},
    {"text_field", "of a .jsonl file: the field with the text, or with a list of sentences"},
    {"tensor", "of a .safetensors file: the matrix with the embeddings; may be left out if it is called embeddings"},
    {"lengths", "of embeddings: how many sentences each document has, a .npy file of integers or a text file of "
                "numbers; of a .safetensors file its tensor `lengths`, unless given"},
    {"embedder", "of texts: hashed from the words, or all-MiniLM-L6-v2"},
    {"model", "minilm: the folder of the model, unless it is where examples/fetch_minilm.sh puts it"},
});
