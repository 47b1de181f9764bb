#include "fixture.hpp"

#include <fstream>
#include <sstream>

namespace lathe_replay {

json read_json(fs::path const & path) {
    std::ifstream in{path, std::ios::binary};
    if (!in)
        throw failure{path.string() + ": cannot open"};
    std::ostringstream text;
    text << in.rdbuf();
    try {
        return json::parse(text.str());
    } catch (json::exception const & e) {
        throw failure{path.string() + ": " + e.what()};
    }
}

std::vector<std::string> cases_in(fs::path const & folder) {
    std::vector<std::string> names;
    if (fs::exists(folder / "index.json")) {
        auto const index = read_json(folder / "index.json");
        for (auto const & entry : index.at("cases"))
            names.push_back((entry.is_object() ? entry.at("id") : entry).get<std::string>());
        return names;
    }
    std::error_code code;
    for (fs::directory_iterator at{folder, code}; !code && at != fs::directory_iterator{}; at.increment(code))
        if (fs::exists(at->path() / "manifest.json"))
            names.push_back(at->path().filename().string());
    if (code)
        throw failure{folder.string() + ": " + code.message()};
    std::ranges::sort(names);
    return names;
}

fixture::fixture(fs::path folder) : folder_{std::move(folder)}, manifest_(read_json(folder_ / "manifest.json")) {
    static constexpr std::string_view fields[] = {"case",     "method",    "inputs", "options",
                                                  "expected", "tolerance", "note"};
    static constexpr std::string_view results[] = {"checkpoint", "trace", "json", "error"};
    for (auto const & [key, value] : manifest_.items())
        if (std::ranges::find(fields, std::string_view{key}) == std::end(fields))
            throw failure{"manifest: unknown field " + key};
    for (auto const * const key : {"method", "inputs", "options", "expected", "tolerance"})
        if (!manifest_.contains(key))
            throw failure{"manifest: no field " + std::string{key}};
    for (auto const & [key, value] : manifest_["expected"].items())
        if (std::ranges::find(results, std::string_view{key}) == std::end(results))
            throw failure{"manifest: unknown kind of result " + key};
    if (manifest_["expected"].empty())
        throw failure{"manifest: no result is expected"};
}

lathe_replay::tolerance fixture::tolerance() const {
    auto const & t = manifest_.at("tolerance");
    lathe_replay::tolerance result{t.at("atol").get<double>(), t.at("rtol").get<double>(), std::nullopt};
    if (t.contains("max_ulp") && !t["max_ulp"].is_null())
        result.max_ulp = t["max_ulp"].get<std::uint64_t>();
    for (auto const & [key, value] : t.items())
        if (key != "atol" && key != "rtol" && key != "max_ulp")
            throw failure{"manifest: tolerance: unknown field " + key};
    return result;
}

json const & fixture::input(std::string const & key) const {
    auto const & inputs = manifest_.at("inputs");
    if (!inputs.contains(key))
        throw failure{"manifest: no input " + key};
    return inputs[key];
}
fs::path fixture::resolve(json const & file) const {
    auto const & name = file.is_object() ? file.at("file") : file;
    return folder_ / name.get<std::string>();
}
std::vector<std::unique_ptr<lathe::checkpoint>> fixture::open_all(json const & files) const {
    std::vector<std::unique_ptr<lathe::checkpoint>> all;
    for (auto const & file : files)
        all.push_back(lathe::io::open_checkpoint(resolve(file)));
    return all;
}
std::unique_ptr<lathe::checkpoint> fixture::checkpoint(std::string const & key) const {
    return lathe::io::open_checkpoint(resolve(input(key)));
}
std::vector<std::unique_ptr<lathe::checkpoint>> fixture::checkpoints(std::string const & key) const {
    return open_all(input(key));
}
std::vector<std::vector<std::unique_ptr<lathe::checkpoint>>> fixture::checkpoint_table(std::string const & key) const {
    std::vector<std::vector<std::unique_ptr<lathe::checkpoint>>> table;
    for (auto const & row : input(key))
        table.push_back(open_all(row));
    return table;
}
std::vector<fs::path> fixture::paths(std::string const & key) const {
    std::vector<fs::path> all;
    for (auto const & file : input(key))
        all.push_back(resolve(file));
    return all;
}
std::vector<std::string> fixture::model_names() const {
    std::vector<std::string> names;
    for (auto const & m : manifest_.at("inputs").at("models"))
        names.push_back(m.at("name").get<std::string>());
    return names;
}

json fixture::take_option(std::string const & key) {
    auto & options = manifest_.at("options");
    auto const at = options.find(key);
    if (at == options.end())
        return nullptr;
    json value = std::move(*at);
    options.erase(at);
    return value;
}

lathe::merge::pool_options fixture::take_pool_options() {
    lathe::merge::pool_options options;
    if (auto const policy = take_option("policy"); !policy.is_null())
        lathe::reflect::codec<lathe::merge::mismatch_policy>::read(policy, options.policy, "policy");
    return options;
}

void fixture::expect_known(json const & given, std::span<lathe::reflect::field_description const> fields,
                           std::string const & path) {
    std::vector<std::string_view> known;
    for (auto const & field : fields)
        known.push_back(field.name);
    for (auto const & [key, value] : given.items()) {
        auto const at = std::ranges::find(fields, std::string_view{key}, &lathe::reflect::field_description::name);
        if (at == fields.end())
            throw failure{"option " + path + key + ": unknown; " + lathe::reflect::suggestion(key, known)};
        if (!at->fields.empty() && value.is_object())
            expect_known(value, at->fields, path + key + ".");
    }
}

json fixture::expected_json(std::string const & key) const {
    return read_json(resolve(manifest_.at("expected").at(key)));
}
std::unique_ptr<lathe::checkpoint> fixture::expected_checkpoint(std::string const & file) const {
    return lathe::io::open_checkpoint(folder_ / file);
}
std::unique_ptr<lathe::checkpoint> fixture::expected_checkpoint() const {
    return lathe::io::open_checkpoint(resolve(manifest_.at("expected").at("checkpoint")));
}

void fixture::expect_inputs(std::initializer_list<std::string_view> known) const {
    for (auto const & [key, value] : manifest_.at("inputs").items())
        if (std::ranges::find(known, std::string_view{key}) == known.end())
            throw failure{"manifest: input " + key + " is not one of this method"};
}

std::vector<lathe::checkpoint *> pointers(std::vector<std::unique_ptr<lathe::checkpoint>> const & all) {
    std::vector<lathe::checkpoint *> result;
    for (auto const & c : all)
        result.push_back(c.get());
    return result;
}

void expect_fields(json const & entry, std::initializer_list<std::string_view> fields) {
    for (auto const & [key, value] : entry.items())
        if (std::ranges::find(fields, std::string_view{key}) == fields.end())
            throw failure{"expected.json: unknown field " + key};
}

fixture_pool::fixture_pool(fixture const & f, lathe::merge::pool_options const & options)
    : base{f.has_input("base") ? f.checkpoint("base") : nullptr}, models{f.checkpoints("models")},
      pool(base.get(), pointers(models), options) {}

} // namespace lathe_replay
