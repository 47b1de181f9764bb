/// \file  The reference page of the program, from what it takes: the commands of CLI11, and the fields of option
///        structs that their flags were made of.
#include "flags.hpp"

#include <algorithm>
#include <utility>

namespace lathe_cli {

namespace {

/// One flag as the page shows it. Flags that are the same in several commands compare equal.
struct row {
    std::string group, section, flags, type, value, meaning;
    bool operator==(row const &) const = default;
};
using commands = std::vector<CLI::App const *>;

/// For a cell of a table: what Markdown would take for its own is escaped, but not in `code`.
std::string escaped(std::string_view text) {
    std::string s;
    bool code = false;
    for (auto const c : text) {
        code = code != (c == '`');
        if (c == '|' || (!code && (c == '<' || c == '*' || c == '\\')))
            s += '\\';
        s += c;
    }
    return s;
}
std::string code(std::string_view text) { return "`" + escaped("`" + std::string{text} + "`").substr(1); }
std::string listed(std::vector<std::string> const & items, std::string_view between = ", ") {
    std::string s;
    for (auto const & item : items)
        s.append(s.empty() ? "" : between).append(item);
    return s;
}

std::string flags_of(CLI::Option const & option, flag_origin const * origin) {
    std::vector<std::string> names;
    if (option.get_positional())
        names.push_back(code(option.get_name(true)));
    for (auto const & name : option.get_snames())
        names.push_back(code("-" + name));
    for (auto const & name : option.get_lnames())
        names.push_back(code("--" + name));
    auto s = listed(names);
    if (origin == nullptr || origin->section.empty())
        return s;
    auto const & long_names = option.get_lnames();
    auto usual = long_names.empty() ? option.get_name(true) : long_names.front();
    for (auto & c : usual)
        c = c == '-' ? '_' : c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return usual == origin->key ? s : s + " (" + code(origin->key) + ")";
}
std::string type_of(CLI::Option const & option, flag_origin const * origin) {
    using lathe::reflect::field_kind;
    if (origin != nullptr && origin->field.kind == field_kind::boolean)
        return "flag";
    auto type = origin != nullptr ? origin->field.type : option.get_type_name();
    if (origin == nullptr)
        type = type.empty() ? "flag" : type == "TEXT" ? "text" : type.substr(1, type.size() - 2); // "<file>"
    else if (origin->field.kind == field_kind::choice) {
        std::vector<std::string> names;
        for (std::size_t at = 0, end = 0; at <= type.size(); at = end + 1) {
            end = std::min(type.find('|', at), type.size());
            names.push_back(code(type.substr(at, end - at)));
        }
        return listed(names);
    }
    return escaped(type);
}
std::string default_of(flag_origin const * origin) {
    if (origin == nullptr)
        return "";
    auto const & v = origin->field.value;
    if (v.is_null())
        return "unset";
    auto const text = v.is_string() ? v.get<std::string>() : v.dump();
    return text.empty() || (v.is_structured() && v.empty()) ? "none" : code(text);
}

/// Those of one command in the order of its help, but for --help.
std::vector<row> rows_of(CLI::App const & app) {
    auto const & origins = help_formatter::of(app).origins;
    std::vector<row> rows;
    for (auto const & group : app.get_groups())
        for (auto const * const option : app.get_options(
                 [&](CLI::Option const * o) { return o->get_group() == group && o != app.get_help_ptr(); })) {
            auto const at = origins.find(option);
            auto const * const origin = at == origins.end() ? nullptr : &at->second;
            rows.push_back({group, origin == nullptr ? "" : origin->section, flags_of(*option, origin),
                            type_of(*option, origin), default_of(origin),
                            escaped(origin == nullptr ? option->get_description() : origin->field.text)});
        }
    return rows;
}

/// The rows with a title above each run of one group.
std::string tables(std::vector<row> const & rows, std::string const & of = {}) {
    std::string s;
    row const * before = nullptr;
    for (auto const & r : rows) {
        if (before == nullptr || before->group != r.group || before->section != r.section)
            s += "\n**" + (r.group == "Options" ? "Flags" : r.group) + "**" + of
                 + (r.section.empty() ? "" : ", in a configuration under " + code(r.section))
                 + "\n\n| flag | type | default | meaning |\n|---|---|---|---|\n";
        s += "| " + r.flags + " | " + r.type + " | " + r.value + " | " + r.meaning + " |\n";
        before = &r;
    }
    return s;
}

commands below(CLI::App const & app) {
    return app.get_subcommands([](CLI::App const *) { return true; });
}

std::string path_of(CLI::App const & app) {
    return app.get_parent() == nullptr ? app.get_name() : path_of(*app.get_parent()) + " " + app.get_name();
}
/// Where the heading of a command is, as GitHub names it.
std::string link_to(CLI::App const & app, std::string const & text) {
    auto anchor = path_of(app);
    std::ranges::replace(anchor, ' ', '-');
    return "[" + code(text) + "](#" + anchor + ")";
}
std::string names_of(commands const & apps) {
    std::vector<std::string> names;
    for (auto const * const app : apps)
        names.push_back(link_to(*app, app->get_name()));
    return listed(names);
}

/// Flags that all commands below one have, or four of them at least, are shown once, above.
struct shared_rows {
    commands children;
    std::vector<std::pair<row, commands>> rows; ///< each with who has it

    explicit shared_rows(CLI::App const & parent) : children{below(parent)} {
        commands all; // but those with commands of their own
        for (auto const * const app : children)
            if (below(*app).empty())
                all.push_back(app);
        for (auto const * const app : all)
            for (auto const & r : rows_of(*app)) {
                auto const at = std::ranges::find(rows, r, &std::pair<row, commands>::first);
                (at == rows.end() ? rows.emplace_back(r, commands{}) : *at).second.push_back(app);
            }
        std::erase_if(rows, [&](auto const & entry) {
            auto const n = entry.second.size();
            return n < 2 || (n < all.size() && n < 4);
        });
        for (auto & entry : std::exchange(rows, {})) { // those of one group and the same users together
            auto const last = std::find_if(rows.rbegin(), rows.rend(), [&](auto const & other) {
                return other.first.group == entry.first.group && other.second == entry.second;
            });
            rows.insert(last == rows.rend() ? rows.end() : last.base(), std::move(entry));
        }
    }
    [[nodiscard]] std::vector<row> without(std::vector<row> own) const {
        std::erase_if(own, [&](row const & r) {
            return std::ranges::find(rows, r, &std::pair<row, commands>::first) != rows.end();
        });
        return own;
    }
    [[nodiscard]] std::string text() const {
        std::string s;
        for (std::size_t i = 0; i != rows.size();) {
            auto const & [first, users] = rows[i];
            std::vector<row> table;
            for (; i != rows.size() && rows[i].first.group == first.group && rows[i].second == users; ++i)
                table.push_back(rows[i].first);
            commands others;
            for (auto const * const app : children)
                if (std::ranges::find(users, app) == users.end())
                    others.push_back(app);
            s += tables(table, others.empty()                 ? " of all"
                               : others.size() < users.size() ? " of all but " + names_of(others)
                                                              : " of " + names_of(users));
        }
        return s;
    }
};

std::string usage(CLI::App const & app) {
    auto s = path_of(app) + " [FLAGS]";
    for (auto const * const option : app.get_options([](CLI::Option const * o) { return o->get_positional(); }))
        s += " " + option->get_name(true) + (option->get_expected_max() > 1 ? "..." : "");
    return s;
}

std::string section_of(CLI::App const & app, std::size_t level, shared_rows const * above) {
    auto const inner = below(app);
    std::string aliases;
    for (auto const & alias : app.get_aliases())
        aliases += ", or " + code(alias);
    auto s = "\n" + std::string(level, '#') + " " + path_of(app) + "\n\n"
             + (inner.empty() ? code(usage(app)) + aliases + ": " : "") + escaped(app.get_description())
             + (inner.empty() ? "" : "\n\nOne of " + names_of(inner) + ".") + "\n";
    auto own = rows_of(app);
    if (above != nullptr)
        own = above->without(std::move(own));
    if (inner.empty())
        return s + tables(own);
    shared_rows const shared(app);
    s += shared.text() + tables(shared.without(std::move(own)), " where none of these is named");
    for (auto const * const child : inner)
        s += section_of(*child, level + 1, &shared);
    return s;
}

constexpr std::string_view beginning = R"(# Every command and flag

This page is what `lathe --reference` prints, made of the option structs that the flags are made of; the tests compare the two.
`lathe COMMAND --help` says the same of one command. What the commands are for, and how they are used, is in [command-line.md](command-line.md).

* `--flag value` and `--flag=value` are the same, and so are `-` and `_` inside of a flag and in the name of a method.
* A flag that is given twice counts the last time, one of a list is longer for it. `null` leaves unset what may be unset.
* The key of a flag in a [configuration](command-line.md#configurations) is its name with `_`, in the section that stands above the table, or what stands in
  brackets beside it. A dot is one of groups: `svd.tolerance` is `{"svd": {"tolerance": ...}}`.
* A value of another type, or outside of the option's range, is refused with exit status 2 and the range that was expected.

| type | what is typed |
|---|---|
| number | a decimal, finite number |
| integer | from 0 on, to the largest of 64 bits; `1e6` is one |
| flag | `--it` for yes and, where it is listed, `--no-it` for no |
| `this`, `that` | one of these names |
| text, file | as it stands; a file is a path |
| list of numbers, of integers, of schedules | values between commas, a JSON list, or the flag again and again |
| list of text | the flag again and again, or a JSON list; for arguments without a flag, several |
| schedule | a number for all tensors; numbers between commas, a gradient over the depth; JSON for names and filters: see [merging](command-line.md#merging) |
| JSON object | `{"name": value}` |
)";

} // namespace

std::string reference_of(CLI::App const & app) {
    std::string s{beginning};
    s += tables(rows_of(app), " of " + code(app.get_name()) + " itself");
    s += "\n| command | |\n|---|---|\n";
    for (auto const * const command : below(app))
        s += "| " + link_to(*command, path_of(*command)) + " | " + escaped(command->get_description()) + " |\n";
    for (auto const * const command : below(app))
        s += section_of(*command, 2, nullptr);
    return s;
}

} // namespace lathe_cli
