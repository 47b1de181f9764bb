#pragma once
/// \file  Flags of the program made from option structs, and what was given back as JSON.
#include <lathe/reflect/options.hpp>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <deque>

namespace lathe_cli {

using lathe::reflect::field_description;
using lathe::reflect::json;

/// A command line that says something impossible; exit status 2, as for lathe::option_error.
struct usage_error : lathe::error {
    using lathe::error::error;
};

/// How a field is spelled where that is not "--" and its name with dashes.
struct spelling {
    std::string_view field;
    std::string_view flags; ///< as CLI11 takes them: "-o,--output"; a name without dashes is positional
};

/// How a set of fields becomes flags.
struct flag_rules {
    std::span<spelling const> spellings = {};
    std::span<std::string_view const> without = {}; ///< fields that get no flag
    std::string under = {}; ///< the field, itself without a flag, that holds these in the object
};

/// The flags of one subcommand. A field becomes --its-name; a field of a group --group.its-name; a choice between true
/// and false --its-name and --no-its-name. Flags of lists may be repeated. Must outlive the parse.
class option_flags {
    struct flag {
        std::vector<std::string> path; ///< of the value in the object
        field_description field;
        CLI::Option * option = nullptr;
        std::vector<std::string> texts;
        bool yes = false;
    };
    std::deque<flag> flags_; // CLI11 keeps pointers to the elements

    void add_field(CLI::App & to, std::string const & group, std::vector<std::string> const & path,
                   field_description const & field, flag_rules const & rules);

public:
    void add(CLI::App & to, std::string const & group, std::span<field_description const> fields,
             flag_rules const & rules = {});
    /// What the command line gives, as an object for lathe::reflect::from_json.
    [[nodiscard]] json given() const;
};

/// For App::formatter of the program; subcommands inherit it.
std::shared_ptr<CLI::FormatterBase> help_formatter();

/// The arguments with the underscores of long flags as dashes, so that --mask_rate is --mask-rate.
std::vector<std::string> normalised_arguments(int argc, char const * const * argv);

/// \throws usage_error for what the parse left over, with the flag that was probably meant
void expect_nothing_left(CLI::App const & app);

} // namespace lathe_cli
