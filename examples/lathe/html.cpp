#include "html.hpp"

#include <lathe/io/file.hpp>

namespace lathe_cli {

std::string html_escaped(std::string_view text) {
    std::string out;
    for (auto const c : text)
        if (c == '&')
            out += "&amp;";
        else if (c == '<')
            out += "&lt;";
        else if (c == '>')
            out += "&gt;";
        else if (c == '"')
            out += "&quot;";
        else if (c == '\'')
            out += "&#39;";
        else if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t')
            out += "\xef\xbf\xbd"; // U+FFFD
        else
            out += c;
    return out;
}

std::string html_beginning(std::string_view title) {
    return "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
           "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
           "'unsafe-inline'\"><title>"
           + html_escaped(title) + "</title>";
}

void write_page(std::string const & path, std::string const & html) {
    lathe::io::staged_file out(path, false);
    out.write(std::as_bytes(std::span{html}), 0);
    out.close();
    out.publish();
}

} // namespace lathe_cli
