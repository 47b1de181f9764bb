#include "backends.hpp"
#include "commands.hpp"
#include "files.hpp"
#include "kinship_job.hpp"

#include <lathe/reflect/merge.hpp>

namespace lathe_cli {

namespace {
struct kinship_settings {
    std::vector<std::string> models;
    std::string base;
    lathe::merge::kinship_mode mode = lathe::merge::kinship_mode::full;
    lathe::merge::mismatch_policy policy = lathe::merge::mismatch_policy::strict;
};
} // namespace
} // namespace lathe_cli

BOOST_HANA_ADAPT_STRUCT(lathe_cli::kinship_settings, models, base, mode, policy);
template <>
inline constexpr auto lathe::reflect::help<lathe_cli::kinship_settings> = lathe::reflect::help_table({
    {"models", "checkpoints to compare, two at least: .safetensors files, or folders"},
    {"base", "the checkpoint the models were fine-tuned from"},
    {"mode", "print metrics of the whole models, or means over the tensors (split); JSON has both"},
    {"policy", "for tensors that some checkpoint lacks or has with another shape"},
});

namespace lathe_cli {
namespace {

using lathe::reflect::describe;

template <class... Backends> auto kinship_runners(backend_list<Backends...>) {
    return by_backend<lathe::merge::kinship_result (*)(kinship_job const &)>{
        {Backends::name, &run_kinship<Backends>}...};
}

struct pair {
    std::size_t a, b;
};
/// In the order 0 1, 0 2, ..., 1 2, ...
std::vector<pair> pairs_of(std::size_t models) {
    std::vector<pair> all;
    for (std::size_t a = 0; a != models; ++a)
        for (std::size_t b = a + 1; b != models; ++b)
            all.push_back({a, b});
    return all;
}

/// Names of files or folders, or whole paths where these would be the same.
std::vector<std::string> short_names(std::vector<std::string> const & paths) {
    std::vector<std::string> names;
    for (auto const & path : paths) {
        auto const p = fs::path{path}.lexically_normal();
        names.push_back((p.has_filename() ? p.stem() : p.parent_path().filename()).string());
    }
    auto sorted = names;
    std::ranges::sort(sorted);
    return std::ranges::adjacent_find(sorted) == sorted.end() ? names : paths;
}

json report(lathe::merge::kinship_result const & result, std::vector<std::string> const & names) {
    auto const table = [&](lathe::merge::pair_table<lathe::merge::kinship_scores> const & scores) {
        auto rows = json::array();
        for (auto const [a, b] : pairs_of(names.size())) {
            json row{{"a", names[a]}, {"b", names[b]}};
            row.update(lathe::reflect::to_json(scores.at(a, b)));
            rows.push_back(std::move(row));
        }
        return rows;
    };
    json all{{"full", table(result.full)}, {"split", table(result.split)}};
    if (!result.tensors.empty()) {
        all["tensors"] = json::array();
        for (auto const & t : result.tensors)
            all["tensors"].push_back({{"name", t.name}, {"count", t.count}, {"scores", table(t.scores)}});
    }
    return all;
}

std::string padded(std::string const & text, std::size_t width) {
    return text + std::string(width > text.size() ? width - text.size() : 0, ' ');
}

std::string table(lathe::merge::pair_table<lathe::merge::kinship_scores> const & scores,
                  std::vector<std::string> const & names) {
    std::size_t width = 5;
    for (auto const & name : names)
        width = std::max(width, name.size());
    auto text = padded("model", width) + "  " + padded("model", width)
                + "  pcc           |cosine|      cosine        distance\n";
    for (auto const [a, b] : pairs_of(names.size())) {
        auto const & s = scores.at(a, b);
        text += padded(names[a], width) + "  " + padded(names[b], width);
        for (auto const v : {s.pcc, s.cs, s.cs_signed, s.ed})
            text += "  " + padded(six_digits(v), 12);
        text.erase(text.find_last_not_of(' ') + 1);
        text += "\n";
    }
    return text;
}

int run(kinship_settings const & s, lathe::merge::kinship_options const & options, run_settings const & how) {
    if (s.models.size() < 2)
        throw usage_error{"MODELS: found " + std::to_string(s.models.size()) + ", expected at least two"};
    if (s.base.empty())
        throw usage_error{"--base: found nothing, expected the checkpoint the models were fine-tuned from"};
    expect_threads(how.threads);
    auto const compute = choose_backend(how.backend, kinship_runners(built_backends{}));
    auto const models = open_inputs(s.models);
    auto const base = open_input(s.base);
    lathe::merge::pool_options pool_options;
    pool_options.policy = s.policy;
    lathe::merge::model_pool const pool(base.file.get(), checkpoints_of(models), pool_options);
    auto bytes = base.bytes();
    for (auto const & in : models)
        bytes += in.bytes();
    progress_bar bar("kinship", bytes, how.quiet);
    catch_interrupts();
    auto const result = compute({pool, options, how.threads, backend_choice{how.backend}.device, bar});
    bar.clear();

    auto const names = short_names(s.models);
    if (how.json)
        print_json({{"lathe", version()},
                    {"command", "kinship"},
                    {"base", s.base},
                    {"models", s.models},
                    {"options", lathe::reflect::to_json(options)},
                    {"backend", how.backend},
                    {"parameters", pool.parameters()},
                    {"provenance", provenance({{"command", "kinship"}, {"options", lathe::reflect::to_json(options)}},
                                              how, {{"models", s.models}, {"base", s.base}})},
                    {"result", report(result, names)}});
    else if (!how.quiet)
        print(table(s.mode == lathe::merge::kinship_mode::full ? result.full : result.split, names));
    return 0;
}

} // namespace

action add_kinship(CLI::App & app) {
    auto & sub =
        *app.add_subcommand("kinship", "Measure how alike the fine-tunings of models are, for all pairs in one pass");
    struct flag_sets {
        option_flags settings, options, run;
    };
    auto flags = std::make_shared<flag_sets>();
    static constexpr spelling spellings[] = {{"models", "MODELS"}};
    static constexpr std::string_view seed[] = {"seed"};
    flags->settings.add(sub, "Checkpoints", describe<kinship_settings>(), {.spellings = spellings});
    flags->options.add(sub, "Options of kinship", describe<lathe::merge::kinship_options>());
    flags->run.add(sub, "Running", describe<run_settings>(), {.without = seed});
    add_configuration(sub, {{&flags->settings}, {&flags->options}, &flags->run});
    sub.allow_extras();
    return [&sub, flags] {
        expect_nothing_left(sub);
        return run(lathe::reflect::options_from<kinship_settings>(flags->settings.given()),
                   lathe::reflect::options_from<lathe::merge::kinship_options>(flags->options.given()),
                   lathe::reflect::options_from<run_settings>(flags->run.given()));
    };
}

} // namespace lathe_cli
