#include "flags.hpp"

#include <algorithm>

namespace lathe_cli {

namespace {
/// CLI11's help, without what it adds to the names of flags that can be negated and of options that may be repeated.
class plain_formatter final : public CLI::Formatter {
    std::string make_option_name(CLI::Option const * option, bool positional) const override {
        auto name = CLI::Formatter::make_option_name(option, positional);
        if (auto const at = name.find("{false}"); at != name.npos)
            name.erase(at, 7);
        if (auto const at = name.find(",--no-"); at != name.npos)
            name.replace(at, 1, ", ");
        return name;
    }
    std::string make_option_opts(CLI::Option const * option) const override {
        return option->get_type_name().empty() ? std::string{} : " " + option->get_type_name();
    }
};

std::string dashed(std::string_view name) {
    std::string s{name};
    std::ranges::replace(s, '_', '-');
    return s;
}
std::string flag_name(std::span<std::string const> path) {
    std::string s;
    for (auto const & part : path)
        s.append(s.empty() ? "" : ".").append(dashed(part));
    return s;
}
std::string help_text(field_description const & field) {
    auto s = std::string{field.text};
    if (field.value.is_null() || field.value == json(false) || (field.value.is_array() && field.value.empty())
        || field.value == json(""))
        return s;
    auto const value = field.value.is_string() ? field.value.get<std::string>() : field.value.dump();
    return s + " [" + value + "]";
}
} // namespace

void option_flags::add_field(CLI::App & to, std::string const & group, std::vector<std::string> const & path,
                             field_description const & field, flag_rules const & rules) {
    using lathe::reflect::field_kind;
    if (field.kind == field_kind::group) {
        for (auto const & inner : field.fields) {
            auto longer = path;
            longer.emplace_back(inner.name);
            add_field(to, group, longer, inner, rules);
        }
        return;
    }
    auto const name = flag_name(path);
    auto const own = std::ranges::find(rules.spellings, field.name, &spelling::field);
    auto const flags = own != rules.spellings.end() ? std::string{own->flags} : "--" + name;
    auto & f = flags_.emplace_back();
    if (!rules.under.empty())
        f.path.push_back(rules.under);
    f.path.insert(f.path.end(), path.begin(), path.end());
    f.field = field;
    if (field.kind == field_kind::boolean) {
        f.option = to.add_flag(flags + ",!--no-" + name, f.yes, help_text(field));
    } else {
        f.option = to.add_option(flags, f.texts, help_text(field));
        f.option->type_name(field.kind == field_kind::choice ? field.type
                            : field.type == "list of text"   ? "<text>"
                                                             : "<" + field.type + ">");
        if (field.kind != field_kind::list)
            f.option->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
        if (field.kind != field_kind::list || !f.option->get_positional())
            f.option->allow_extra_args(false);
    }
    f.option->group(group);
}

void option_flags::add(CLI::App & to, std::string const & group, std::span<field_description const> fields,
                       flag_rules const & rules) {
    for (auto const & field : fields)
        if (std::ranges::find(rules.without, field.name) == rules.without.end())
            add_field(to, group, {std::string{field.name}}, field, rules);
}

json option_flags::given() const {
    auto all = json::object();
    for (auto const & f : flags_) {
        if (f.option->count() == 0)
            continue;
        json * at = &all;
        for (auto const & part : f.path)
            at = &(*at)[part];
        if (f.field.kind == lathe::reflect::field_kind::boolean)
            *at = f.yes;
        else if (f.field.kind != lathe::reflect::field_kind::list)
            *at = f.texts.back() == "null" ? json(nullptr) : f.field.parse(f.texts.back());
        else {
            *at = json::array();
            for (auto const & text : f.texts) {
                auto values = f.field.parse(text);
                if (!values.is_array()) { // not a list: from_json says so
                    *at = std::move(values);
                    break;
                }
                for (auto & v : values)
                    at->push_back(std::move(v));
            }
        }
    }
    return all;
}

std::shared_ptr<CLI::FormatterBase> help_formatter() {
    auto formatter = std::make_shared<plain_formatter>();
    formatter->column_width(36);
    return formatter;
}

std::vector<std::string> normalised_arguments(int argc, char const * const * argv) {
    std::vector<std::string> all;
    bool flags = true;
    for (int i = 1; i < argc; ++i) {
        std::string s = argv[i];
        flags = flags && s != "--";
        if (flags && s.starts_with("--"))
            std::replace(s.begin(), std::find(s.begin(), s.end(), '='), '_', '-');
        all.push_back(std::move(s));
    }
    return all;
}

void expect_nothing_left(CLI::App const & app) {
    auto left = app.remaining();
    std::erase(left, "--"); // CLI11 counts the mark before positionals in
    auto const odd = std::ranges::find_if(left, [](std::string const & s) { return s.starts_with("-"); });
    if (left.empty())
        return;
    if (odd == left.end())
        throw usage_error{"'" + left.front() + "': unexpected argument; see lathe " + app.get_name() + " --help"};
    auto const name = odd->substr(0, odd->find('='));
    std::vector<std::string> flags;
    for (auto const * option : app.get_options())
        for (auto const & l : option->get_lnames())
            flags.push_back("--" + l);
    std::vector<std::string_view> known(flags.begin(), flags.end());
    auto const near = lathe::reflect::nearest(name, known);
    throw usage_error{name + ": unknown option; "
                      + (near.empty() ? "see --help" : "did you mean " + std::string{near} + "?")};
}

} // namespace lathe_cli
