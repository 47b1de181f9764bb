#include "documents.hpp"

#include <lathe/core/convert.hpp>
#include <lathe/io/npy.hpp>

#include <charconv>
#include <cmath>

#ifdef LATHE_CLI_SENTENCES
#    include <lathe/io/sentences.hpp>
#endif

namespace lathe_cli {

namespace {

bool has_extension(std::string const & path, std::string_view extension) {
    return fs::path{path}.extension() == extension;
}
std::string at_line(std::string const & path, std::size_t line) { return path + ": line " + std::to_string(line); }

std::string id_of(json const & record, std::size_t number) {
    auto const at = record.find("id");
    if (at == record.end())
        return std::to_string(number);
    return at->is_string() ? at->get<std::string>() : at->dump();
}

/// \throws usage_error where texts cannot be embedded as they are asked to be
void expect_texts(document_settings const & s) {
    if (s.embedder == embedder_choice::file)
        throw usage_error{"--embedder: found file with texts, expected hashing or minilm"};
    expect_model_of_minilm(s.embedder, s.model);
}

document document_of_text(std::string id, std::string text) {
    document d{std::move(id), std::move(text), {}, 0};
    d.sentences = sentences_of(d.text);
    d.count = d.sentences.size();
    return d;
}

/// The lines of a file with their numbers, from 1 on, without those of white space alone. One is in memory at a time.
class line_reader {
    static constexpr std::size_t step = std::size_t{1} << 20, longest = std::size_t{1} << 30;
    lathe::io::file in_;
    std::uint64_t size_, read_ = 0;
    std::string buffer_;
    std::size_t begin_ = 0, searched_ = 0, number_ = 0;

    void read_more() {
        buffer_.erase(0, begin_);
        begin_ = 0;
        searched_ = buffer_.size();
        if (searched_ > longest)
            lathe::io::reject(in_.path().string(), "line " + std::to_string(number_ + 1), "more than 1 GiB", "less");
        auto const part = static_cast<std::size_t>(std::min<std::uint64_t>(step, size_ - read_));
        buffer_.resize(searched_ + part);
        in_.read(std::as_writable_bytes(std::span{buffer_}.last(part)), read_);
        read_ += part;
    }

public:
    explicit line_reader(std::string const & path) : in_{lathe::io::file::open(path)}, size_{in_.size()} {}

    /// Valid until the next call. \throws io_error, format_error
    std::optional<numbered_line> next() {
        for (;;) {
            auto const stop = buffer_.find('\n', searched_);
            if (stop == buffer_.npos && read_ != size_) {
                read_more();
                continue;
            }
            if (begin_ == buffer_.size())
                return std::nullopt;
            auto const end = std::min(stop, buffer_.size());
            auto const line = std::string_view{buffer_}.substr(begin_, end - begin_);
            begin_ = searched_ = std::min(end + 1, buffer_.size());
            ++number_;
            if (line.find_first_not_of(" \t\r") != line.npos)
                return numbered_line{number_, line};
        }
    }
    /// The first line again.
    void rewind() {
        buffer_.clear();
        read_ = 0;
        begin_ = searched_ = number_ = 0;
    }
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
};

/// A line of a .txt file. \throws format_error
document document_of_line(std::string const & path, numbered_line const & line) {
    try {
        return document_of_text(std::to_string(line.number), std::string{line.text});
    } catch (lathe::format_error const & e) {
        throw lathe::format_error{at_line(path, line.number) + ": " + e.what()};
    }
}

/// A line of a .jsonl file. \throws format_error
document document_of_record(std::string const & path, std::string const & field, numbered_line const & line) {
    auto const label = at_line(path, line.number);
    auto const record = parse_json_text(std::string{line.text}, label);
    if (!record.is_object())
        lathe::io::reject(label, "JSON", record.type_name(), "an object");
    auto const at = record.find(field);
    if (at == record.end())
        lathe::io::reject(label, "record", "no field '" + lathe::io::printable(field) + "'",
                          "a text there; --text-field names another");
    auto id = id_of(record, line.number);
    if (at->is_string())
        return document_of_text(std::move(id), at->get<std::string>());
    if (!at->is_array() || !std::ranges::all_of(*at, [](json const & s) { return s.is_string(); }))
        lathe::io::reject(label, lathe::io::printable(field), lathe::reflect::shown(*at),
                          "a text or a list of sentences");
    return document_of(std::move(id), at->get<std::vector<std::string>>());
}

/// The documents of read_texts, one at a time.
class text_reader {
    std::string path_, field_;
    bool records_;
    std::optional<line_reader> lines_;

public:
    explicit text_reader(document_settings const & s)
        : path_{s.documents}, field_{s.text_field}, records_{has_extension(s.documents, ".jsonl")} {
        if (path_.empty())
            throw usage_error{"DOCUMENTS: found nothing, expected a .txt, .jsonl, .npy or .safetensors file"};
        for (auto const & [given, flag] :
             {std::pair{s.tensor.has_value(), "--tensor"}, {s.lengths.has_value(), "--lengths"}})
            if (given)
                throw usage_error{std::string{flag} + ": found with texts, expected embeddings (.npy, .safetensors)"};
        if (!records_ && !has_extension(path_, ".txt"))
            throw usage_error{"DOCUMENTS: found '" + path_
                              + "', expected a name that ends in .txt, .jsonl, .npy or .safetensors"};
        lines_.emplace(path_);
    }
    std::optional<document> next() {
        auto const line = lines_->next();
        if (!line)
            return std::nullopt;
        return records_ ? document_of_record(path_, field_, *line) : document_of_line(path_, *line);
    }
    void rewind() { lines_->rewind(); }
    [[nodiscard]] std::uint64_t bytes() const noexcept { return lines_->size(); }
};

std::vector<std::uint64_t> integers_of(lathe::checkpoint & file, std::size_t tensor) {
    auto const & info = file.tensors()[tensor];
    auto const reject = [&](std::string const & found) {
        lathe::io::reject(file.label(), "'" + lathe::io::printable(info.name) + "'", found,
                          "one extent and integers not below 0, the sentences of each document");
    };
    if (info.extents.size() != 1)
        reject("shape " + lathe::to_string(info.extents));
    lathe::window_buffer buffer;
    auto const bytes = file.read(tensor, 0, info.bytes(), buffer);
    std::vector<std::uint64_t> values(info.count());
    auto const load = [&]<class I>(I) {
        for (std::size_t i = 0; i != values.size(); ++i) {
            I v{};
            std::memcpy(&v, bytes.data() + i * sizeof(I), sizeof(I));
            if constexpr (std::signed_integral<I>)
                if (v < 0)
                    reject(std::to_string(v));
            values[i] = static_cast<std::uint64_t>(v);
        }
    };
    switch (info.type) {
    case lathe::dtype::i64: load(std::int64_t{}); break;
    case lathe::dtype::i32: load(std::int32_t{}); break;
    case lathe::dtype::u64: load(std::uint64_t{}); break;
    case lathe::dtype::u32: load(std::uint32_t{}); break;
    default: reject("type " + std::string{name_of(info.type)});
    }
    return values;
}
std::vector<std::uint64_t> read_lengths(std::string const & path) {
    if (has_extension(path, ".npy")) {
        lathe::io::npy_file file(path);
        return integers_of(file, 0);
    }
    auto const text = read_large_text(path);
    std::vector<std::uint64_t> values;
    for (std::size_t at = 0; (at = text.find_first_not_of(" \t\r\n,", at)) != text.npos;) {
        auto const end = std::min(text.find_first_of(" \t\r\n,", at), text.size());
        std::uint64_t value = 0;
        auto const [stop, problem] = std::from_chars(text.data() + at, text.data() + end, value);
        if (problem != std::errc{} || stop != text.data() + end)
            lathe::io::reject(path, "number " + std::to_string(values.size()),
                              "'" + lathe::io::printable(text.substr(at, end - at), 40) + "'",
                              "an integer not below 0");
        values.push_back(value);
        at = end;
    }
    return values;
}

/// Embeddings in a file, open, and how many of its rows each document has.
class embedding_reader {
    std::unique_ptr<lathe::checkpoint> file_;
    std::size_t matrix_ = 0;
    std::string path_;
    std::vector<std::size_t> first_row_{0};
    lathe::window_buffer buffer_;

public:
    explicit embedding_reader(document_settings const & s);

    [[nodiscard]] std::size_t documents() const noexcept { return first_row_.size() - 1; }
    [[nodiscard]] std::size_t first_row(std::size_t document) const { return first_row_[document]; }
    [[nodiscard]] std::size_t dimension() const { return file_->tensors()[matrix_].extents[1]; }
    [[nodiscard]] std::uint64_t bytes() const { return file_->tensors()[matrix_].bytes(); }
    /// Some of the documents. \throws io_error, non_finite_error
    embedded_documents read(std::size_t first, std::size_t count);
};

embedding_reader::embedding_reader(document_settings const & s) : path_{s.documents} {
    if (s.embedder == embedder_choice::minilm)
        throw usage_error{"--embedder: found minilm, expected texts to embed: " + s.documents + " has embeddings"};
    std::optional<std::vector<std::uint64_t>> lengths;
    if (s.lengths)
        lengths = read_lengths(*s.lengths);
    if (has_extension(s.documents, ".npy")) {
        if (s.tensor)
            throw usage_error{"--tensor: found '" + *s.tensor + "', expected nothing: a .npy file has one array"};
        file_ = std::make_unique<lathe::io::npy_file>(s.documents);
    } else {
        file_ = open_input(s.documents).file;
        std::vector<std::string_view> names;
        for (auto const & t : file_->tensors())
            names.push_back(t.name);
        auto const name = s.tensor.value_or("embeddings");
        auto const at = file_->find(name);
        if (!at)
            throw usage_error{"--tensor: '" + name + "' is not in " + s.documents + "; "
                              + lathe::reflect::suggestion(name, names)};
        matrix_ = *at;
        if (auto const own = file_->find("lengths"); own && !lengths)
            lengths = integers_of(*file_, *own);
    }
    if (!lengths)
        throw usage_error{"--lengths: found nothing, expected how many sentences each document of " + s.documents
                          + " has"};
    auto const & info = file_->tensors()[matrix_];
    if (info.extents.size() != 2 || info.extents[1] == 0 || !is_floating(info.type))
        throw lathe::mismatch_error{s.documents + ": '" + lathe::io::printable(info.name) + "' of type "
                                    + std::string{name_of(info.type)} + " and shape " + lathe::to_string(info.extents)
                                    + ": expected floating elements and two extents, sentences x dimensions"};
    for (auto const n : *lengths) {
        if (n > info.extents[0] - first_row_.back())
            throw lathe::mismatch_error{s.documents + ": found " + std::to_string(info.extents[0])
                                        + " rows, expected more: the lengths say so up to document "
                                        + std::to_string(documents())};
        first_row_.push_back(first_row_.back() + static_cast<std::size_t>(n));
    }
    if (first_row_.back() != info.extents[0])
        throw lathe::mismatch_error{s.documents + ": found " + std::to_string(info.extents[0]) + " rows, expected "
                                    + std::to_string(first_row_.back()) + ", the sum of the lengths"};
}

embedded_documents embedding_reader::read(std::size_t first, std::size_t count) {
    embedded_documents all;
    auto const begin = first_row_[first], rows = first_row_[first + count] - begin;
    for (std::size_t d = first; d != first + count; ++d) {
        all.documents.push_back({std::to_string(d), {}, {}, first_row_[d + 1] - first_row_[d]});
        all.first_row.push_back(first_row_[d] - begin);
    }
    all.first_row.push_back(rows);
    all.dimension = dimension();
    auto const type = file_->tensors()[matrix_].type;
    auto const row_bytes = all.dimension * lathe::size_of(type);
    all.rows.resize(rows * all.dimension);
    auto const bytes = file_->read(matrix_, begin * row_bytes, rows * row_bytes, buffer_);
    lathe::host::load<float>(type, bytes.data(), all.rows.size(), all.rows.data());
    for (std::size_t i = 0; i != all.rows.size(); ++i)
        if (!std::isfinite(all.rows[i]))
            throw lathe::non_finite_error{path_ + ": row " + std::to_string(begin + i / all.dimension)
                                          + " has an element that is not finite"};
    return all;
}

/// At most so many sentences, and so many documents, are in memory where they are taken a few at a time.
constexpr std::size_t sentences_at_once = 16384, documents_at_once = 16384;

} // namespace

bool names_embeddings(std::string const & path) {
    return has_extension(path, ".npy") || has_extension(path, ".safetensors");
}

std::vector<text_part> sentences_of(std::string_view text) {
#ifdef LATHE_CLI_SENTENCES
    static lathe::io::sentence_splitter split; // the program is on one thread here
    std::vector<text_part> all;
    for (auto const & s : split(text))
        all.push_back({s.first, s.length});
    return all;
#else
    static_cast<void>(text);
    throw lathe::unsupported_error{
        "texts: this program was built without ICU, which cuts them into sentences; expected lists of sentences "
        "in .jsonl, or embeddings"};
#endif
}

document document_of(std::string id, std::span<std::string const> sentences) {
    document d{std::move(id), {}, {}, sentences.size()};
    for (auto const & s : sentences) {
        if (!d.text.empty())
            d.text += ' ';
        d.sentences.push_back({d.text.size(), s.size()});
        d.text += s;
    }
    return d;
}

std::vector<document> read_texts(document_settings const & s) {
    text_reader in(s);
    std::vector<document> all;
    while (auto d = in.next())
        all.push_back(std::move(*d));
    return all;
}

embedded_documents embed_documents(std::vector<document> documents, document_settings const & s,
                                   run_settings const & how) {
    expect_texts(s);
    embedded_documents all;
    all.texts = true;
    all.documents = std::move(documents);
    std::vector<std::string> sentences;
    all.first_row.push_back(0);
    for (auto const & d : all.documents) {
        for (std::size_t i = 0; i != d.count; ++i)
            sentences.emplace_back(d.sentence(i));
        all.first_row.push_back(sentences.size());
    }
    auto table = embed_texts(sentences, s.embedder, s.model, how);
    all.dimension = table.dimension;
    all.rows = std::move(table.values);
    for (std::size_t i = 0; i != sentences.size(); ++i) {
        auto const row = std::span{all.rows}.subspan(i * all.dimension, all.dimension);
        double square = 0;
        for (auto const x : row)
            square += static_cast<double>(x) * static_cast<double>(x);
        if (square == 0) // a sentence without words: the same direction for all
            row[0] = 1;
        else
            for (auto & x : row)
                x = static_cast<float>(static_cast<double>(x) / std::sqrt(square));
    }
    return all;
}

embedded_documents read_documents(document_settings const & s, run_settings const & how) {
    if (!names_embeddings(s.documents))
        return embed_documents(read_texts(s), s, how);
    embedding_reader in(s);
    return in.read(0, in.documents());
}

struct document_stream::source {
    document_settings const & where;
    run_settings const & how;
    std::optional<text_reader> texts;
    std::optional<embedding_reader> rows;
    std::optional<document> waiting; ///< a text that did not fit
    std::size_t taken = 0;

    source(document_settings const & w, run_settings const & h) : where{w}, how{h} {
        if (names_embeddings(where.documents))
            rows.emplace(where);
        else {
            expect_texts(where);
            texts.emplace(where);
        }
    }
    embedded_documents next_texts() {
        std::vector<document> some;
        std::size_t sentences = 0;
        for (;;) {
            if (!waiting)
                waiting = texts->next();
            if (!waiting || some.size() == documents_at_once
                || (!some.empty() && sentences + waiting->count > sentences_at_once))
                break;
            sentences += waiting->count;
            some.push_back(std::move(*waiting));
            waiting.reset();
        }
        taken += some.size();
        return some.empty() ? embedded_documents{} : embed_documents(std::move(some), where, how);
    }
    embedded_documents next_rows() {
        auto const first = taken, all = rows->documents();
        while (taken != all && taken - first != documents_at_once
               && (taken == first || rows->first_row(taken + 1) - rows->first_row(first) <= sentences_at_once))
            ++taken;
        return first == taken ? embedded_documents{} : rows->read(first, taken - first);
    }
};

document_stream::document_stream(document_settings const & where, run_settings const & how)
    : from_{std::make_unique<source>(where, how)} {
    if (from_->texts) {
        while (from_->texts->next())
            ++documents_;
        from_->texts->rewind();
        bytes_ = from_->texts->bytes();
        return;
    }
    while (!from_->next_rows().documents.empty()) {}
    documents_ = std::exchange(from_->taken, 0);
    bytes_ = from_->rows->bytes();
}
document_stream::~document_stream() = default;
embedded_documents document_stream::next() { return from_->texts ? from_->next_texts() : from_->next_rows(); }

std::vector<token_document> read_token_documents(std::string const & path) {
    if (!has_extension(path, ".jsonl"))
        throw usage_error{"DOCUMENTS: found '" + path + "', expected a .jsonl file with lists of tokens"};
    std::vector<token_document> all;
    auto const text = read_large_text(path);
    for (auto const & line : lines_of(text)) {
        auto const label = at_line(path, line.number);
        auto const record = parse_json_text(std::string{line.text}, label);
        if (!record.is_object())
            lathe::io::reject(label, "JSON", record.type_name(), "an object");
        token_document d{id_of(record, line.number), {}, {}, {}};
        auto const list = [&](char const * name, bool needed, auto const & take) {
            auto const at = record.find(name);
            if (at == record.end() && !needed)
                return;
            if (at == record.end() || !at->is_array())
                lathe::io::reject(label, name, at == record.end() ? "nothing" : lathe::reflect::shown(*at), "a list");
            if (!needed && at->size() != d.tokens.size())
                lathe::io::reject(label, name, std::to_string(at->size()) + " elements",
                                  std::to_string(d.tokens.size()) + ", one for each token");
            for (auto const & value : *at)
                if (!take(value))
                    lathe::io::reject(label, name, lathe::reflect::shown(value),
                                      needed ? "integers from 0 to 2147483647"
                                             : "a text, or of entropies a number or null");
        };
        list("tokens", true, [&](json const & v) {
            if (!v.is_number_unsigned() || v.get<std::uint64_t>() > 0x7fffffffu)
                return false;
            d.tokens.push_back(v.get<std::uint32_t>());
            return true;
        });
        list("entropies", false, [&](json const & v) {
            if (!v.is_number() && !v.is_null())
                return false;
            d.entropies.push_back(v.is_null() ? std::nan("") : v.get<double>());
            return true;
        });
        list("pieces", false, [&](json const & v) {
            if (!v.is_string())
                return false;
            d.pieces.push_back(v.get<std::string>());
            return true;
        });
        if (auto const prompt = record.find("prompt"); prompt != record.end()) {
            if (!prompt->is_number_unsigned() || prompt->get<std::uint64_t>() > d.tokens.size())
                lathe::io::reject(label, "prompt", lathe::reflect::shown(*prompt),
                                  "how many of the " + std::to_string(d.tokens.size()) + " tokens are the prompt");
            auto const n = prompt->get<std::ptrdiff_t>();
            d.tokens.erase(d.tokens.begin(), d.tokens.begin() + n);
            if (!d.entropies.empty())
                d.entropies.erase(d.entropies.begin(), d.entropies.begin() + n);
            if (!d.pieces.empty())
                d.pieces.erase(d.pieces.begin(), d.pieces.begin() + n);
        }
        all.push_back(std::move(d));
    }
    return all;
}

} // namespace lathe_cli
