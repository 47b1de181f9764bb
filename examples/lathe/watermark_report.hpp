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

/// One page of HTML that needs nothing else; sentences are coloured in their text.
std::string evidence_page(std::string_view title, std::string_view about,
                          std::vector<shown_document> const & documents);

} // namespace lathe_cli
