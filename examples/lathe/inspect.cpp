#include "commands.hpp"

#include "files.hpp"
#include "progress_bar.hpp"

#include <cstdio>

namespace lathe_cli {

namespace {
struct inspect_settings {
    std::string path;
    bool json = false;
};
} // namespace
} // namespace lathe_cli

BOOST_HANA_ADAPT_STRUCT(lathe_cli::inspect_settings, path, json);
template <>
inline constexpr auto lathe::reflect::help<lathe_cli::inspect_settings> = lathe::reflect::help_table({
    {"path", "a .safetensors file, an index, or a folder that holds one of them"},
    {"json", "print JSON"},
});

namespace lathe_cli {
namespace {

json describe(input const & in) {
    auto tensors = json::array();
    auto types = json::object();
    std::uint64_t parameters = 0;
    for (auto const & t : in.file->tensors()) {
        tensors.push_back(
            {{"name", t.name}, {"dtype", lathe::name_of(t.type)}, {"shape", t.extents}, {"bytes", t.bytes()}});
        auto & entry = types[std::string{lathe::name_of(t.type)}];
        if (entry.is_null())
            entry = {{"tensors", std::uint64_t{0}}, {"parameters", std::uint64_t{0}}, {"bytes", std::uint64_t{0}}};
        entry["tensors"] = entry["tensors"].get<std::uint64_t>() + 1;
        entry["parameters"] = entry["parameters"].get<std::uint64_t>() + t.count();
        entry["bytes"] = entry["bytes"].get<std::uint64_t>() + t.bytes();
        parameters += t.count();
    }
    return {{"path", in.path},
            {"file", std::string{in.file->label()}},
            {"tensor_count", tensors.size()},
            {"parameters", parameters},
            {"bytes", in.bytes()},
            {"dtypes", std::move(types)},
            {"metadata", in.file->metadata()},
            {"tensors", std::move(tensors)}};
}

/// Columns: name, type, shape.
std::string table(input const & in) {
    std::size_t width = 4;
    for (auto const & t : in.file->tensors())
        width = std::max(width, std::min<std::size_t>(t.name.size(), 72));
    std::string text;
    auto const line = [&](std::string const & name, std::string_view type, std::string const & shape) {
        text.append(name).append(width > name.size() ? width - name.size() : 0, ' ').append("  ").append(type);
        text.append(type.size() < 7 ? 7 - type.size() : 0, ' ').append("  ").append(shape).append("\n");
    };
    line("name", "dtype", "shape");
    for (auto const & t : in.file->tensors())
        line(lathe::io::printable(t.name, 4096), lathe::name_of(t.type), lathe::to_string(t.extents));
    return text;
}

std::string with_thousands(std::uint64_t n) {
    auto s = std::to_string(n);
    for (auto at = s.size(); at > 3;)
        s.insert(at -= 3, 1, ' ');
    return s;
}

} // namespace

action add_inspect(CLI::App & app) {
    auto & sub = *app.add_subcommand("inspect", "List the tensors of a checkpoint; fails on a bad file");
    auto flags = std::make_shared<option_flags>();
    static constexpr spelling spellings[] = {{"path", "PATH"}};
    flags->add(sub, "Options", lathe::reflect::describe<inspect_settings>(), {.spellings = spellings});
    sub.allow_extras();
    return [&sub, flags] {
        expect_nothing_left(sub);
        auto const settings = lathe::reflect::options_from<inspect_settings>(flags->given());
        if (settings.path.empty())
            throw usage_error{"PATH: found nothing, expected a file or a folder"};
        auto const in = open_input(settings.path);
        auto const all = describe(in);
        if (settings.json) {
            print_json(all);
            return 0;
        }
        auto text = table(in);
        text += "\n" + std::to_string(all["tensor_count"].get<std::size_t>()) + " tensors, "
                + with_thousands(all["parameters"].get<std::uint64_t>()) + " parameters, "
                + human_bytes(static_cast<double>(in.bytes())) + " (";
        std::string types;
        for (auto const & [name, entry] : all["dtypes"].items())
            types += (types.empty() ? "" : ", ") + name + " " + human_bytes(entry["bytes"].get<double>());
        text += types + ")\n";
        for (auto const & [key, value] : in.file->metadata())
            text += "metadata " + lathe::io::printable(key, 200) + ": " + lathe::io::printable(value, 2000) + "\n";
        print(text);
        return 0;
    };
}

} // namespace lathe_cli
