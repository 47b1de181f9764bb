#pragma once
/// \file  What each sentence of a document says about a watermark, for people: on a terminal, and as a page.
#include "documents.hpp"

namespace lathe_cli {

enum class sentence_kind : unsigned char {
    hit,
    miss,
    apart ///< of the prompt, or not scored
};
struct shown_sentence {
    std::string text;
    sentence_kind kind = sentence_kind::apart;
    std::string note; ///< why, in a few words
};
struct shown_document {
    std::string id;
    bool marked = false;
    std::string verdict; ///< a line
    std::vector<shown_sentence> sentences;
};

/// Four digits.
std::string short_number(double v);
/// What is not finite is null.
json number_or_null(double v);

/// Whether standard output is a terminal and NO_COLOR (no-color.org) does not forbid colours.
bool colours_wanted();

/// The documents as text: a line for each sentence, '+' before a hit, '-' before a miss; both in colours if wanted.
std::string evidence_text(std::vector<shown_document> const & documents, bool colours);

/// The same of tokens: a line for each document, and with colours its text in them.
std::string token_text(std::vector<shown_document> const & documents, bool colours);

/// One page of HTML that needs nothing else; sentences are coloured in their text. Documents are written as they come.
class evidence_page {
    lathe::io::staged_file out_;
    std::uint64_t size_ = 0;

    void write(std::string const & html);

public:
    /// \throws io_error
    evidence_page(std::string const & path, std::string_view title, std::string_view about);
    void add(std::vector<shown_document> const & documents);
    /// The page appears under its name.
    void finish();
};

/// Prints a JSON object of which one member is a list, an element at a time: as print_json does it.
class printed_list {
    std::string waiting_, rest_; ///< what is to be printed, and what comes after the list
    bool some_ = false;

    void add_text(std::string const & text);

public:
    /// \param object with an empty list under that name
    printed_list(json const & object, std::string_view name);
    void add(json const & element);
    void finish();
};

} // namespace lathe_cli
