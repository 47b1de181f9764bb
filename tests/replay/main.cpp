/// \file  replay: runs recorded cases and holds the results against what was recorded, in float and in double.
#include "compare.hpp"
#include "runners.hpp"

#include <lathe/registry.hpp>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <cstdio>

namespace lathe_replay {

namespace {

// What CMake found; the code of these is linked in.
#ifndef LATHE_REPLAY_BACKENDS
#    define LATHE_REPLAY_BACKENDS backends::eigen
#endif
template <class... Backends> struct backend_list {};
using built_backends = backend_list<LATHE_REPLAY_BACKENDS>;

template <class Backend> runner_table runners_of() {
    runner_table table;
    add_averages<Backend>(table);
    add_elections<Backend>(table);
    add_spectral<Backend>(table);
    add_kinship<Backend>(table);
    add_fw_merging<Backend>(table);
    add_fw_merging_soft<Backend>(table);
    add_frank_wolfe<Backend>(table);
    add_plain(table);
    lathe::registry::for_each_method(lathe::registry::merging_methods, [&]<class Method>(std::type_identity<Method>) {
        if (!table.contains(Method::name))
            throw failure{"no runner for method " + std::string{Method::name} + " of the registry"};
    });
    return table;
}
template <class... Backends> runner_table runners_named(std::string const & name, backend_list<Backends...>) {
    runner_table table;
    bool const found = ((name == Backends::name && (table = runners_of<Backends>(), true)) || ...);
    if (!found)
        throw failure{"--backend: found '" + name + "', which this program was not built with"};
    return table;
}

/// What is wrong with a result; empty if nothing is.
std::optional<std::string> judge(fixture & f, outcome & out) {
    auto const t = f.tolerance();
    if (f.expects("checkpoint")) {
        if (!out.checkpoint)
            return "a checkpoint is expected, this method makes none";
        if (auto d = difference(*out.checkpoint, *f.expected_checkpoint(), t))
            return d;
    }
    if (f.expects("json"))
        if (auto d = difference(out.values, f.expected_json("json"), t, "json"))
            return d;
    if (f.expects("trace")) {
        auto trace = f.expected_json("trace");
        for (std::size_t i = 0; i != trace.size(); ++i) {
            if (!trace[i].contains("result"))
                continue;
            auto const file = trace[i]["result"].get<std::string>();
            trace[i].erase("result");
            if (i >= out.states.size())
                return "trace[" + std::to_string(i) + "]: no such step";
            if (auto d = difference(*out.states[i], *f.expected_checkpoint(file), t))
                return "trace[" + std::to_string(i) + "]: " + *d;
        }
        if (auto d = difference(out.trace, trace, t, "trace"))
            return d;
    }
    return std::nullopt;
}

enum class verdict { passed, failed, skipped };

struct result {
    verdict what;
    std::string detail;
};

result run_once(fs::path const & folder, runner_table const & runners, std::size_t threads, bool use_double) {
    std::string const precision = use_double ? "double: " : "float: ";
    try {
        fixture f(folder);
        auto const run = runners.find(f.method());
        if (run == runners.end())
            return {verdict::failed, "unknown method '" + f.method() + "'"};
        std::optional<std::string> error;
        outcome out;
        try {
            out = (use_double ? run->second.in_double : run->second.in_float)(f, threads);
        } catch (lathe::unsupported_error const & e) {
            return {verdict::skipped, precision + e.what()};
        } catch (lathe::io_error const & e) { // a file that is not there is never what a case is about
            return {verdict::failed, precision + e.what()};
        } catch (lathe::error const & e) {
            error = e.what();
        }
        if (f.expects("error"))
            return error ? result{verdict::passed, precision + "as expected: " + *error}
                         : result{verdict::failed, precision + "no error, expected: " + f.expected_error()};
        if (error)
            return {verdict::failed, precision + *error};
        if (auto const problem = judge(f, out))
            return {verdict::failed, precision + *problem};
        return {verdict::passed, {}};
    } catch (std::exception const & e) {
        return {verdict::failed, precision + e.what()};
    }
}

/// A case passes if both precisions do; it is skipped if the backend can do neither.
result run_case(fs::path const & folder, runner_table const & runners, std::size_t threads) {
    auto const in_float = run_once(folder, runners, threads, false);
    if (in_float.what == verdict::failed)
        return in_float;
    auto const in_double = run_once(folder, runners, threads, true);
    if (in_double.what == verdict::failed)
        return in_double;
    return in_float.what == verdict::passed ? in_float : in_double;
}

int run(int argc, char ** argv) {
    std::string folder, backend = "eigen", filter;
    std::size_t threads = 1;
    bool list = false, verbose = false;
    CLI::App app{"Runs recorded cases and compares the results, in float and in double. Exit status: 0 if none failed, "
                 "1 otherwise, 2 for a wrong command line.",
                 "replay"};
    app.add_option("--fixtures", folder, "folder with index.json, or with one folder for each case")->required();
    app.add_option("--backend", backend, "where to compute")->capture_default_str();
    app.add_option("--filter", filter, "run only the cases whose names contain this");
    app.add_option("--threads", threads, "0: one per processor")->capture_default_str();
    app.add_flag("--list", list, "print the names and methods of the cases, run nothing");
    app.add_flag("--verbose", verbose, "print a line for every case");
    try {
        app.parse(argc, argv);
    } catch (CLI::ParseError const & e) {
        return app.exit(e) == 0 ? 0 : 2;
    }
    auto const cases = cases_in(folder);
    if (cases.empty())
        throw failure{folder + ": no cases"};
    auto const runners = runners_named(backend, built_backends{});
    std::size_t counts[3] = {};
    for (auto const & name : cases) {
        if (name.find(filter) == name.npos)
            continue;
        if (list) {
            std::printf("%s  %s\n", name.c_str(), fixture(fs::path{folder} / name).method().c_str());
            continue;
        }
        auto const [what, detail] = run_case(fs::path{folder} / name, runners, threads);
        ++counts[static_cast<std::size_t>(what)];
        static constexpr char const * words[] = {"passed ", "FAILED ", "skipped"};
        if (what != verdict::passed || verbose)
            std::printf("%s %s%s%s\n", words[static_cast<std::size_t>(what)], name.c_str(), detail.empty() ? "" : ": ",
                        detail.c_str());
        std::fflush(stdout);
    }
    if (!list && counts[0] + counts[1] + counts[2] == 0)
        throw failure{"--filter: no case has '" + filter + "' in its name"};
    if (!list)
        std::printf("%zu passed, %zu failed, %zu skipped\n", counts[0], counts[1], counts[2]);
    return counts[1] == 0 ? 0 : 1;
}

} // namespace
} // namespace lathe_replay

int main(int argc, char ** argv) {
    try {
        return lathe_replay::run(argc, argv);
    } catch (std::exception const & e) {
        std::fprintf(stderr, "replay: error: %s\n", e.what());
        return 2;
    }
}
