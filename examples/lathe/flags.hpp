#pragma once
/// \file  Flags of the program made from option structs, and what was given back as JSON.
#include <lathe/reflect/options.hpp>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <deque>
#include <map>

namespace lathe_cli {

using lathe::reflect::field_description;
using lathe::reflect::json;

/// A command line that says something impossible; exit status 2, as for lathe::option_error.
struct usage_error : lathe::error {
    using lathe::error::error;
};

/// What a flag was made of.
struct flag_origin {
    field_description field;
    std::string section; ///< of a configuration: settings, options or run; empty where there is none
    std::string key;     ///< in that section, parts of groups between dots
};

/// CLI11's help, without what it adds to the names of flags that can be negated and of options that may be repeated. It
/// is the formatter of the program, which all commands inherit, and so knows what their flags were made of.
class help_formatter final : public CLI::Formatter {
    std::string make_option_name(CLI::Option const * option, bool positional) const override;
    std::string make_option_opts(CLI::Option const * option) const override;

public:
    std::map<CLI::Option const *, flag_origin> origins;

    help_formatter() { column_width(36); }
    /// That of a command.
    static help_formatter & of(CLI::App const & app);
};

/// Every command, method and flag below `app`, as the page of the documentation is.
std::string reference_of(CLI::App const & app);

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
        flag_origin * origin = nullptr;
    };
    std::deque<flag> flags_; // CLI11 keeps pointers to the elements
    std::vector<field_description> fields_;
    json configured_ = json::object();

    void add_field(CLI::App & to, std::string const & group, std::vector<std::string> const & path,
                   field_description const & field, flag_rules const & rules);

public:
    void add(CLI::App & to, std::string const & group, std::span<field_description const> fields,
             flag_rules const & rules = {});
    /// What the configuration and, before it, the command line give, as an object for lathe::reflect::from_json.
    [[nodiscard]] json given() const;
    /// The value of a configuration for a field, unless the command line has one. \returns whether there is that field
    /// \throws option_error that begins with the path, for a value that the field cannot have
    bool configure(std::string const & field, json const & value, std::string const & path);
    /// The section of a configuration that holds these, for the reference.
    void belong_to(std::string_view section);
    /// Of the fields, in order.
    [[nodiscard]] std::vector<std::string_view> names() const;
    /// All fields with their values, those not given at their defaults. \throws option_error
    [[nodiscard]] json complete() const;
};

/// What a command's flags are in a configuration. They must outlive the parse, and no two of one list may share a name.
struct flag_sections {
    std::vector<option_flags *> settings; ///< what is read and written, and how
    std::vector<option_flags *> options;  ///< of the method
    option_flags * run;
};
/// Gives a command --print-config and --config. A configuration is an object: "lathe" (the version), "command" (the
/// names of the commands), "method" where the last of them is one, and the objects "settings", "options" and "run".
void add_configuration(CLI::App & command, flag_sections const & flags, bool method = false);

/// A configuration that was read.
struct configuration {
    std::string version, command, method;
    json settings, options, run; ///< objects, empty if they are not there
};
/// \throws format_error if it is none; option_error naming an unknown key, or what is no object
configuration configuration_of(json const & all, std::string const & label);
/// Says on standard error if it is of another version, which may compute other bits.
void note_version(configuration const & found, std::string const & label);

/// Arguments that begin with --config FILE and name no command: with the command and the method of the file before
/// them.
/// \throws io_error, format_error
std::vector<std::string> with_configured_command(std::vector<std::string> arguments);

/// The arguments with the underscores of long flags as dashes, so that --mask_rate is --mask-rate.
std::vector<std::string> normalised_arguments(int argc, char const * const * argv);

/// \throws usage_error for what the parse left over, with the flag that was probably meant
void expect_nothing_left(CLI::App const & app);

} // namespace lathe_cli
