#include "flags.hpp"

#include "commands.hpp"
#include "files.hpp"
#include "mergekit.hpp"

#include <algorithm>

namespace lathe_cli {

std::string help_formatter::make_option_name(CLI::Option const * option, bool positional) const {
    auto name = CLI::Formatter::make_option_name(option, positional);
    if (auto const at = name.find("{false}"); at != name.npos)
        name.erase(at, 7);
    if (auto const at = name.find(",--no-"); at != name.npos)
        name.replace(at, 1, ", ");
    return name;
}
std::string help_formatter::make_option_opts(CLI::Option const * option) const {
    return option->get_type_name().empty() ? std::string{} : " " + option->get_type_name();
}
help_formatter & help_formatter::of(CLI::App const & app) {
    return dynamic_cast<help_formatter &>(*app.get_formatter());
}

namespace {
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
    f.origin = &help_formatter::of(to).origins[f.option];
    *f.origin = {field, {}, {}};
    for (auto const & part : f.path)
        f.origin->key.append(f.origin->key.empty() ? "" : ".").append(part);
}

void option_flags::belong_to(std::string_view section) {
    for (auto const & f : flags_)
        f.origin->section = section;
}

void option_flags::add(CLI::App & to, std::string const & group, std::span<field_description const> fields,
                       flag_rules const & rules) {
    for (auto const & field : fields)
        if (std::ranges::find(rules.without, field.name) == rules.without.end()) {
            add_field(to, group, {std::string{field.name}}, field, rules);
            fields_.push_back(field);
        }
}

json option_flags::given() const {
    auto all = configured_;
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

namespace {
/// The values of some fields over others; groups field by field.
void overlay(json & to, json const & from, std::span<field_description const> fields) {
    for (auto const & field : fields) {
        auto const at = from.find(std::string{field.name});
        if (at == from.end())
            continue;
        auto & place = to[std::string{field.name}];
        if (field.kind == lathe::reflect::field_kind::group && at->is_object() && place.is_object())
            overlay(place, *at, field.fields);
        else
            place = *at;
    }
}
[[noreturn]] void reject_key(std::string const & path, std::string_view key, std::string_view what,
                             std::span<std::string_view const> known) {
    throw lathe::option_error{std::string{path}
                                  .append(": unknown ")
                                  .append(what)
                                  .append("; ")
                                  .append(lathe::reflect::suggestion(key, known))};
}
} // namespace

bool option_flags::configure(std::string const & field, json const & value, std::string const & path) {
    auto const at = std::ranges::find(fields_, std::string_view{field}, &field_description::name);
    if (at == fields_.end())
        return false;
    static_cast<void>(at->complete(value, path));
    configured_[field] = value;
    return true;
}
std::vector<std::string_view> option_flags::names() const {
    std::vector<std::string_view> all;
    all.reserve(fields_.size());
    for (auto const & field : fields_)
        all.push_back(field.name);
    return all;
}

json option_flags::complete() const {
    auto all = json::object();
    for (auto const & field : fields_)
        all[std::string{field.name}] = field.value;
    overlay(all, given(), fields_);
    for (auto const & field : fields_) {
        auto & value = all[std::string{field.name}];
        value = field.complete(value, field.name);
    }
    return all;
}

namespace {
/// "adapt init lora" without the program.
std::vector<std::string> command_words(CLI::App const & command) {
    std::vector<std::string> words;
    for (auto const * app = &command; app->get_parent() != nullptr; app = app->get_parent())
        words.insert(words.begin(), app->get_name());
    return words;
}
std::string joined(std::span<std::string const> words) {
    std::string s;
    for (auto const & word : words)
        s.append(s.empty() ? "" : " ").append(word);
    return s;
}
} // namespace

configuration configuration_of(json const & all, std::string const & label) {
    if (!all.is_object() || !(all.contains("command") || all.contains("method")))
        throw lathe::format_error{
            label + ": found no command, expected what --print-config prints, or a mergekit configuration"};
    configuration found{{}, {}, {}, json::object(), json::object(), json::object()};
    std::pair<std::string_view, std::string *> const texts[] = {
        {"lathe", &found.version}, {"command", &found.command}, {"method", &found.method}};
    std::pair<std::string_view, json *> const sections[] = {
        {"settings", &found.settings}, {"options", &found.options}, {"run", &found.run}};
    static constexpr std::string_view known[] = {"lathe", "command", "method", "settings", "options", "run"};
    for (auto const & [key, value] : all.items()) {
        auto const path = label + ": " + key;
        auto const name = std::string_view{key};
        auto const text = std::ranges::find(texts, name, &std::pair<std::string_view, std::string *>::first);
        auto const section = std::ranges::find(sections, name, &std::pair<std::string_view, json *>::first);
        if (text != std::end(texts)) {
            if (!value.is_string())
                lathe::reflect::reject(path, value, "a string");
            *text->second = value.get<std::string>();
        } else if (section != std::end(sections)) {
            if (!value.is_object())
                lathe::reflect::reject(path, value, "an object");
            *section->second = value;
        } else
            reject_key(path, key, "key", known);
    }
    return found;
}

void note_version(configuration const & found, std::string const & label) {
    if (!found.version.empty() && found.version != version())
        std::fprintf(stderr, "lathe: note: %s: of version %s, and this is %s\n",
                     lathe::io::printable(label, 400).c_str(), lathe::io::printable(found.version).c_str(),
                     version().c_str());
}

namespace {
void configure(std::span<option_flags * const> sets, json const & values, std::string const & path) {
    for (auto const & [key, value] : values.items()) {
        auto const here = path + "." + key;
        if (std::ranges::any_of(sets, [&](option_flags * set) { return set->configure(key, value, here); }))
            continue;
        std::vector<std::string_view> known;
        for (auto const * set : sets)
            for (auto const name : set->names())
                known.push_back(name);
        reject_key(here, key, "option", known);
    }
}
json complete(std::span<option_flags * const> sets) {
    auto all = json::object();
    for (auto const * set : sets)
        all.update(set->complete());
    return all;
}
} // namespace

void add_configuration(CLI::App & command, flag_sections const & flags, bool method) {
    struct state {
        flag_sections flags;
        std::string file;
        bool print = false;
    };
    auto const s = std::make_shared<state>();
    s->flags = flags;
    for (auto * const set : flags.settings)
        set->belong_to("settings");
    for (auto * const set : flags.options)
        set->belong_to("options");
    flags.run->belong_to("run");
    command.add_option("--config", s->file, "do what --print-config printed; other flags win over it")
        ->type_name("<file>")
        ->group("Configuration");
    command.add_flag("--print-config", s->print, "print what would be done, as JSON, and exit")->group("Configuration");
    command.parse_complete_callback([&command, s, method] {
        if (s->file.empty() && !s->print)
            return;
        expect_nothing_left(command);
        auto words = command_words(command);
        auto const whole = joined(words);
        std::string own_method;
        if (method) {
            own_method = words.back();
            words.pop_back();
        }
        if (!s->file.empty()) {
            auto const found = configuration_of(read_json_file(s->file), s->file);
            if (found.command != joined(words) || found.method != own_method)
                throw usage_error{
                    s->file + ": found a configuration of 'lathe "
                    + lathe::io::printable(found.command + (found.method.empty() ? "" : " ") + found.method)
                    + "', the command line says 'lathe " + whole + "'"};
            note_version(found, s->file);
            configure(s->flags.settings, found.settings, s->file + ": settings");
            configure(s->flags.options, found.options, s->file + ": options");
            configure(std::span{&s->flags.run, 1}, found.run, s->file + ": run");
        }
        if (!s->print)
            return;
        json all{{"lathe", version()}, {"command", joined(words)}};
        if (method)
            all["method"] = own_method;
        all["settings"] = complete(s->flags.settings);
        all["options"] = complete(s->flags.options);
        all["run"] = s->flags.run->complete();
        print_json(all);
        throw CLI::Success{};
    });
}

std::vector<std::string> with_configured_command(std::vector<std::string> arguments) {
    static constexpr std::string_view flag = "--config";
    if (arguments.empty() || !arguments.front().starts_with(flag))
        return arguments;
    std::string path;
    if (arguments.front().size() > flag.size() && arguments.front()[flag.size()] == '=')
        path = arguments.front().substr(flag.size() + 1);
    else if (arguments.front() == flag && arguments.size() > 1)
        path = arguments[1];
    else
        return arguments;
    auto const text = read_text(path);
    std::string words = "merge ";
    if (!is_mergekit(text, path)) {
        auto const found = configuration_of(parse_json_text(text, path), path);
        words = (found.command.empty() ? "merge" : found.command) + " " + found.method + " ";
    }
    std::vector<std::string> before;
    for (std::size_t at = 0, end = 0; (end = words.find(' ', at)) != words.npos; at = end + 1)
        if (end != at)
            before.push_back(words.substr(at, end - at));
    arguments.insert(arguments.begin(), before.begin(), before.end());
    return arguments;
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
        throw usage_error{"'" + left.front() + "': unexpected argument; see lathe "
                          + (app.get_parent() == nullptr ? "" : app.get_name() + " ") + "--help"};
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
