/// \file  lathe: merge, adapt, compare and inspect checkpoints, evaluate workflows, mark texts.
#include "commands.hpp"
#include "device_list.hpp"
#include "files.hpp"
#include "interrupt.hpp"

#include <lathe/io/json.hpp>

#include <CLI/CLI.hpp>

#include <array>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <iostream>

namespace lathe_cli {

void print(std::string_view text) {
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
        throw lathe::io_error{"standard output: cannot write"};
}
void print_json(json const & value) { print(value.dump(2, ' ', false, json::error_handler_t::replace) + "\n"); }

std::string six_digits(double v) {
    std::array<char, 32> text{};
    return std::isnan(v)
               ? std::string{"-"}
               : std::string(text.data(), static_cast<std::size_t>(std::snprintf(text.data(), text.size(), "%.6g", v)));
}

std::string version() {
    return std::to_string(LATHE_VERSION_MAJOR) + "." + std::to_string(LATHE_VERSION_MINOR) + "."
           + std::to_string(LATHE_VERSION_PATCH);
}

json provenance(json const & what, run_settings const & how, std::vector<named_inputs> const & inputs) {
    if (!how.provenance)
        return nullptr;
    json all{{"lathe", version()}};
    all.update(what);
    all["backend"] = how.backend.substr(0, how.backend.find(':'));
    all["device"] = chosen_device(how.backend);
    if (how.seed)
        all["seed"] = *how.seed;
    auto & list = all["inputs"] = json::array();
    for (auto const & input : inputs)
        for (auto const & path : input.paths) {
            auto const p = fs::path{path}.lexically_normal();
            json entry{{"role", input.role}, {"name", (p.has_filename() ? p : p.parent_path()).filename().string()}};
            if (auto const hash = hash_of(path, how.hash_inputs); hash.is_object())
                entry.update(hash);
            list.push_back(std::move(entry));
        }
    return all;
}
std::map<std::string, std::string> metadata_of(json const & provenance,
                                               std::map<std::string, std::string> const & source) {
    if (provenance.is_null())
        return {};
    std::map<std::string, std::string> all{{"lathe", provenance.dump(-1, ' ', false, json::error_handler_t::replace)}};
    if (!source.contains("format"))
        all["format"] = "pt";
    return all;
}

namespace {

int fail(std::string_view what, int status) {
    std::cerr << "lathe: error: " << lathe::io::printable(what, 1000) << '\n'; // which standard error writes at once
    return status;
}

int run(int argc, char const * const * argv) {
    CLI::App app{"Merge, compare and inspect checkpoints of neural networks.", "lathe"};
    app.set_version_flag("--version", "lathe " + version(), "Print the version and exit");
    app.formatter(std::make_shared<help_formatter>());
    bool reference = false;
    app.add_flag("--reference", reference, "Print every command, method and flag as a page of Markdown, and exit");
    app.require_subcommand(0, 1);
    app.footer(
        "Exit status: 0 done, 1 a file or the computation failed, 2 the command line is wrong, 130 interrupted.\n"
        "lathe COMMAND --help and lathe merge METHOD --help say more; lathe --config FILE does what --print-config "
        "printed.");
    std::vector<std::pair<CLI::App *, action>> commands;
    for (auto const add : {&add_merge, &add_adapt, &add_kinship, &add_cluster, &add_worfeval, &add_watermark,
                           &add_inspect, &add_methods, &add_devices}) {
        auto call = add(app);
        commands.emplace_back(app.get_subcommands({}).back(), std::move(call));
    }
    app.allow_extras();

    auto arguments = with_configured_command(normalised_arguments(argc, argv));
    std::ranges::reverse(arguments); // as CLI11 wants them
    try {
        app.parse(std::move(arguments));
    } catch (CLI::Success const & e) { // --help, --version
        return app.exit(e);
    } catch (CLI::ParseError const & e) {
        throw usage_error{e.what()};
    }
    if (reference) {
        expect_nothing_left(app);
        print(reference_of(app));
        return 0;
    }
    for (auto const & [sub, call] : commands)
        if (sub->parsed())
            return call();

    std::vector<std::string> names;
    names.reserve(commands.size());
    for (auto const & [sub, call] : commands)
        names.push_back(sub->get_name());
    std::vector<std::string_view> const known(names.begin(), names.end());
    auto left = app.remaining();
    std::erase(left, "--");
    if (!left.empty() && left.front().starts_with("-"))
        expect_nothing_left(app);
    if (left.empty())
        throw usage_error{"no command; known: merge, adapt, kinship, cluster, worfeval, watermark, inspect, methods, "
                          "devices; see lathe --help"};
    throw usage_error{"'" + left.front() + "': unknown command; " + lathe::reflect::suggestion(left.front(), known)};
}

} // namespace
} // namespace lathe_cli

int main(int argc, char ** argv) {
    using namespace lathe_cli;
    std::signal(SIGXFSZ, SIG_IGN); // a limit on the size of files is an error of the write, as a full disk is
    try {
        return run(argc, argv);
    } catch (interrupted const & e) {
        return fail(std::string{"interrupted; "} + e.left, 130);
    } catch (usage_error const & e) {
        return fail(e.what(), 2);
    } catch (lathe::option_error const & e) {
        return fail(e.what(), 2);
    } catch (std::bad_alloc const &) {
        return fail("out of memory", 1);
    } catch (std::exception const & e) {
        return fail(e.what(), 1);
    }
}
