/// \file  replay: runs recorded cases and holds the results against what was recorded, in float and in double.
#include "cases.hpp"

#include <lathe/compiled/similarity.hpp>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <cstdio>

namespace lathe_replay {

namespace {

// What CMake found; the code of these is linked in.
#ifndef LATHE_REPLAY_BACKENDS
#    define LATHE_REPLAY_BACKENDS lathe::compiled::backends::eigen
#endif
using lathe::compiled::backend_list;
using built_backends = backend_list<LATHE_REPLAY_BACKENDS>;

template <class Backend> std::vector<recorded_case> worfeval_cases_on(fs::path const & folder) {
    return worfeval_cases(folder, [](auto const & table, auto requests, std::size_t threads) {
        return lathe::compiled::similarities_on<Backend>({threads}, table, requests);
    });
}
/// Of the first kind that a folder is; a folder of no other kind holds cases of merging methods.
template <class Backend> std::vector<recorded_case> cases_of(fs::path const & folder) {
    for (auto * const kind :
         {&worfeval_cases_on<Backend>, &watermark_cases<Backend>, &adapt_cases<Backend>, &merge_cases<Backend>})
        if (auto cases = kind(folder); !cases.empty())
            return cases;
    throw failure{folder.string() + ": no cases"};
}
template <class... Backends>
std::vector<recorded_case> cases_of(fs::path const & folder, std::string const & backend, backend_list<Backends...>) {
    std::vector<recorded_case> cases;
    bool const found = ((backend == Backends::name && (cases = cases_of<Backends>(folder), true)) || ...);
    if (!found)
        throw failure{"--backend: found '" + backend + "', which this program was not built with"};
    return cases;
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
    auto const cases = cases_of(folder, backend, built_backends{});
    std::size_t counts[3] = {};
    for (auto const & [name, method, run_case] : cases) {
        if (name.find(filter) == name.npos)
            continue;
        if (list) {
            std::printf("%s  %s\n", name.c_str(), method().c_str());
            continue;
        }
        auto const [what, detail] = [&]() -> result {
            try {
                return run_case(threads);
            } catch (std::exception const & e) {
                return {verdict::failed, e.what()};
            }
        }();
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
