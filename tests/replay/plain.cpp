/// \file  Cases without a backend: schedules, the simplex, files that must or must not be read.
#include "runners.hpp"

#include <lathe/merge/simplex.hpp>
#include <lathe/reflect/merge.hpp>

namespace lathe_replay {

namespace {

/// For methods without options. \throws failure if there are any, or other inputs
void expect_no_options(fixture & f, std::initializer_list<std::string_view> inputs) {
    f.expect_inputs(inputs);
    static_cast<void>(f.options<lathe::merge::average_options>());
}

outcome run_schedule(fixture & f, std::size_t) {
    expect_no_options(f, {});
    auto values = json::array();
    for (auto const & entry : f.expected_json("json")) {
        expect_fields(entry, {"tensor", "t", "setting", "value"});
        lathe::merge::schedule setting;
        lathe::reflect::codec<lathe::merge::schedule>::read(entry.at("setting"), setting, "setting");
        auto const value =
            lathe::merge::evaluate(setting, entry.at("tensor").get<std::string>(), entry.at("t").get<double>());
        auto filled = entry;
        filled["value"] = value ? json(*value) : json(nullptr);
        values.push_back(std::move(filled));
    }
    return {nullptr, std::move(values), nullptr, {}};
}

template <lathe::real T> json projected(json const & v) {
    auto x = v.get<std::vector<T>>();
    lathe::merge::project_simplex(std::span<T>{x});
    return x;
}
template <lathe::real T> outcome run_project_simplex(fixture & f, std::size_t) {
    expect_no_options(f, {});
    auto values = json::array();
    for (auto const & entry : f.expected_json("json"))
        values.push_back({{"v", entry.at("v")}, {"w", projected<T>(entry.at("v"))}});
    return {nullptr, std::move(values), nullptr, {}};
}

/// Opens and reads everything.
void read_all(fs::path const & path, lathe::io::access_mode access) {
    auto const file = lathe::io::open_checkpoint(path, {.access = access});
    lathe::window_buffer buffer;
    for (std::size_t i = 0; i != file->tensors().size(); ++i)
        static_cast<void>(file->read(i, 0, file->tensors()[i].bytes(), buffer));
}
outcome run_load(fixture & f, std::size_t) {
    expect_no_options(f, {"files", "accept"});
    using enum lathe::io::access_mode;
    for (auto const access : {memory_map, block_read}) {
        if (f.has_input("accept"))
            for (auto const & path : f.paths("accept")) {
                try {
                    read_all(path, access);
                } catch (lathe::error const & e) {
                    throw failure{"must be read: " + std::string{e.what()}};
                }
            }
        for (auto const & path : f.paths("files")) {
            bool rejected = false;
            try {
                read_all(path, access);
            } catch (lathe::format_error const &) {
                rejected = true;
            }
            if (!rejected)
                throw failure{path.filename().string() + ": must be rejected"};
        }
    }
    throw lathe::format_error{"every listed file was rejected"}; // what the case expects
}

} // namespace

void add_plain(runner_table & table) {
    table["schedule"] = {run_schedule, run_schedule};
    table["project_simplex"] = {run_project_simplex<float>, run_project_simplex<double>};
    table["load"] = {run_load, run_load};
}

} // namespace lathe_replay
