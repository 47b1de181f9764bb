/// \file  Recorded cases of the merging methods.
#include "backend_runners.hpp"
#include "cases.hpp"
#include "compare.hpp"

namespace lathe_replay {

namespace {

template <class Backend> runner_table runners_of() {
    runner_table table;
    add_registered<Backend>(table);
    add_kinship<Backend>(table);
    add_fw_merging<Backend>(table);
    add_fw_merging_soft<Backend>(table);
    add_frank_wolfe<Backend>(table);
    add_plain(table);
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

} // namespace

template <class Backend> std::vector<recorded_case> merge_cases(fs::path const & folder) {
    auto const runners = std::make_shared<runner_table const>(runners_of<Backend>());
    std::vector<recorded_case> cases;
    for (auto const & name : cases_in(folder))
        cases.push_back({name, [at = folder / name] {
            return fixture(at).method();
        }, [runners, at = folder / name](std::size_t threads) { return run_case(at, *runners, threads); }});
    return cases;
}
template std::vector<recorded_case> merge_cases<selected>(fs::path const &);

} // namespace lathe_replay
