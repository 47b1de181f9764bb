#include "watermark_report.hpp"

#include "commands.hpp"
#include "html.hpp"

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include <unistd.h>

namespace lathe_cli {

std::string short_number(double v) {
    std::array<char, 32> text{};
    return {text.data(), static_cast<std::size_t>(std::snprintf(text.data(), text.size(), "%.4g", v))};
}
json number_or_null(double v) { return std::isfinite(v) ? json(v) : json(nullptr); }

bool colours_wanted() {
    auto const * const none = std::getenv("NO_COLOR");
    return ::isatty(STDOUT_FILENO) == 1 && (none == nullptr || *none == '\0');
}

namespace {
std::string painted(bool colours, std::string_view code, std::string const & text) {
    return colours ? "\x1b[" + std::string{code} + "m" + text + "\x1b[0m" : text;
}
std::string heading(shown_document const & d, bool colours) {
    return painted(colours, "1", lathe::io::printable(d.id)) + ": "
           + painted(colours, d.marked ? "1;32" : "1", d.marked ? "marked" : "not marked") + "; " + d.verdict + "\n";
}
std::string_view colour_of(sentence_kind kind) {
    return kind == sentence_kind::hit ? "32" : kind == sentence_kind::miss ? "31" : "2";
}
} // namespace

std::string evidence_text(std::vector<shown_document> const & documents, bool colours) {
    constexpr std::size_t longest = 2000; // bytes of a sentence
    std::string out;
    for (auto const & d : documents) {
        out += heading(d, colours);
        for (auto const & s : d.sentences) {
            auto const line = std::string{s.kind == sentence_kind::hit    ? "  + "
                                          : s.kind == sentence_kind::miss ? "  - "
                                                                          : "    "}
                              + lathe::io::printable(s.text, longest);
            out += painted(colours, colour_of(s.kind), line);
            if (!s.note.empty())
                out += painted(colours, "2", "  [" + s.note + "]");
            out += "\n";
        }
    }
    return out;
}

std::string token_text(std::vector<shown_document> const & documents, bool colours) {
    std::string out;
    for (auto const & d : documents) {
        out += heading(d, colours);
        if (!colours)
            continue;
        for (auto const & s : d.sentences)
            out += painted(colours, colour_of(s.kind), lathe::io::printable(s.text)) + " ";
        out += "\n";
    }
    return out;
}

evidence_page::evidence_page(std::string const & path, std::string_view title, std::string_view about)
    : out_{path, false} {
    write(html_beginning(title)
          + "<style>body{font:16px/1.7 serif;margin:2em auto;max-width:52em;padding:0 1em}h1,h2,.note{font-family:"
            "sans-serif}h2{font-size:1em;margin-top:2em}.verdict{font:14px sans-serif;color:#57606a}.hit{background:"
            "#c6f0cf}.miss{background:#ffd8d3}.apart{color:#6b7178}.marked{color:#1a7f37}span[title]{cursor:help}"
            "</style></head><body><h1>"
          + html_escaped(title) + "</h1><p class=\"verdict\">" + html_escaped(about)
          + "</p><p class=\"verdict\"><span class=\"hit\">speaks for a watermark</span> <span class=\"miss\">speaks "
            "against it</span> <span class=\"apart\">is not judged</span>. Point at one for the reason.</p>\n");
}

void evidence_page::write(std::string const & html) {
    out_.write(std::as_bytes(std::span{html}), size_);
    size_ += html.size();
}

void evidence_page::add(std::vector<shown_document> const & documents) {
    std::string html;
    for (auto const & d : documents) {
        html += "<h2>" + html_escaped(d.id) + ": " + (d.marked ? "<span class=\"marked\">marked</span>" : "not marked")
                + "</h2><p class=\"verdict\">" + html_escaped(d.verdict) + "</p><p>";
        for (auto const & s : d.sentences) {
            html += std::string{"<span class=\""}
                    + (s.kind == sentence_kind::hit    ? "hit"
                       : s.kind == sentence_kind::miss ? "miss"
                                                       : "apart")
                    + "\"" + (s.note.empty() ? "" : " title=\"" + html_escaped(s.note) + "\"") + ">"
                    + html_escaped(s.text) + "</span> ";
        }
        html += "</p>\n";
    }
    write(html);
}

void evidence_page::finish() {
    write("</body></html>\n");
    out_.close();
    out_.publish();
}

namespace {
std::string dumped(json const & value) { return value.dump(2, ' ', false, json::error_handler_t::replace); }
} // namespace

printed_list::printed_list(json const & object, std::string_view name) {
    auto text = dumped(object);
    auto const empty = "\n  " + json(name).dump() + ": []"; // in strings there are neither line breaks nor such quotes
    auto const at = text.find(empty) + empty.size() - 1;
    rest_ = text.substr(at) + "\n";
    text.resize(at);
    print(text);
}

void printed_list::add(json const & element) {
    auto text = "\n" + dumped(element);
    for (auto at = text.find('\n'); at != text.npos; at = text.find('\n', at + 1))
        text.insert(at + 1, 4, ' ');
    add_text((some_ ? "," : "") + text);
    some_ = true;
}

void printed_list::add_text(std::string const & text) {
    waiting_ += text;
    if (waiting_.size() > (std::size_t{1} << 20))
        print(std::exchange(waiting_, {}));
}

void printed_list::finish() { print(waiting_ + (some_ ? "\n  " : "") + rest_); }

} // namespace lathe_cli
