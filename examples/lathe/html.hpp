#pragma once
/// \file  Pages of HTML that need nothing else.
#include <string>
#include <string_view>

namespace lathe_cli {

/// A text as the content of an element or of an attribute in quotes; control characters that HTML cannot write become
/// U+FFFD.
std::string html_escaped(std::string_view text);
/// What a page begins with up to its <style>, which forbids it to ask for anything else.
std::string html_beginning(std::string_view title);
/// The file appears whole or not at all. \throws io_error
void write_page(std::string const & path, std::string const & html);

} // namespace lathe_cli
