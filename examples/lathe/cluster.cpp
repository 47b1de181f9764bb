#include "backends.hpp"
#include "cluster_job.hpp"
#include "commands.hpp"
#include "files.hpp"

#include <lathe/io/npy.hpp>
#include <lathe/reflect/cluster.hpp>

namespace lathe_cli {

namespace {
struct points_settings {
    std::string points;
    std::optional<std::string> tensor;
};
struct fit_settings {
    std::string output;
    std::optional<std::string> weights, start_centres;
};
struct partition_settings {
    std::string centres;
    double fuzzifier = 1.1;
    lathe::cluster::metric metric = lathe::cluster::metric::euclidean;
};
struct predict_settings {
    std::string output;
};
/// Points that the collapse bound is estimated from.
constexpr std::size_t sample_rows = 20000;
} // namespace
} // namespace lathe_cli

BOOST_HANA_ADAPT_STRUCT(lathe_cli::points_settings, points, tensor);
template <>
inline constexpr auto lathe::reflect::help<lathe_cli::points_settings> = lathe::reflect::help_table({
    {"points",
     "one point a row: a .npy file (f2, f4, f8), or a .safetensors file or folder. F64 is computed in double, "
     "everything else in float; rows are read as they are needed"},
    {"tensor", "which tensor of a .safetensors file; may be left out if there is one"},
});
BOOST_HANA_ADAPT_STRUCT(lathe_cli::fit_settings, output, weights, start_centres);
template <>
inline constexpr auto lathe::reflect::help<lathe_cli::fit_settings> = lathe::reflect::help_table({
    {"output", "a .npy file for the centres, clusters x dimensions, F64"},
    {"weights", "a .npy file with a weight >= 0 for each point"},
    {"start_centres", "a .npy file with centres to start from, in the place of --start"},
});
BOOST_HANA_ADAPT_STRUCT(lathe_cli::partition_settings, centres, fuzzifier, metric);
template <>
inline constexpr auto lathe::reflect::help<lathe_cli::partition_settings> = lathe::reflect::help_table({
    {"centres", "a .npy file with centres, as lathe cluster fit writes it"},
    {"fuzzifier", "that they were fitted with, above 1"},
    {"metric", "that they were fitted with"},
});
BOOST_HANA_ADAPT_STRUCT(lathe_cli::predict_settings, output);
template <>
inline constexpr auto lathe::reflect::help<lathe_cli::predict_settings> = lathe::reflect::help_table({
    {"output", "a .npy file for the memberships, points x clusters, F64"},
});

namespace lathe_cli {
namespace {

using lathe::reflect::describe;
using lathe::reflect::to_json;
namespace cluster = lathe::cluster;

bool is_npy(std::string const & path) { return fs::path{path}.extension() == ".npy"; }
void expect_npy(std::string_view flag, std::string const & path) {
    if (!is_npy(path))
        throw usage_error{std::string{flag} + ": found '" + path + "', expected a name that ends in .npy"};
}

/// The points, open.
struct open_points {
    std::unique_ptr<lathe::checkpoint> file;
    std::size_t tensor = 0;

    explicit open_points(points_settings const & s) {
        if (s.points.empty())
            throw usage_error{"POINTS: found nothing, expected a .npy or .safetensors file"};
        if (is_npy(s.points)) {
            if (s.tensor)
                throw usage_error{"--tensor: found '" + *s.tensor + "', expected nothing: a .npy file has one array"};
            file = std::make_unique<lathe::io::npy_file>(s.points);
        } else {
            file = open_input(s.points).file;
            auto const all = file->tensors();
            std::vector<std::string_view> names;
            for (auto const & t : all)
                names.push_back(t.name);
            if (!s.tensor && all.size() != 1)
                throw usage_error{"--tensor: found nothing, expected one of the " + std::to_string(all.size())
                                  + " tensors of " + s.points};
            auto const at = s.tensor ? file->find(*s.tensor) : std::optional<std::size_t>{0};
            if (!at)
                throw usage_error{"--tensor: '" + *s.tensor + "' is not in " + s.points + "; "
                                  + lathe::reflect::suggestion(*s.tensor, names)};
            tensor = *at;
        }
        auto const & t = file->tensors()[tensor];
        if (t.extents.size() != 2 || !is_floating(t.type))
            throw lathe::mismatch_error{s.points + ": '" + t.name + "' of type " + std::string{name_of(t.type)}
                                        + " and shape " + lathe::to_string(t.extents)
                                        + ": expected floating elements and two extents, points x dimensions"};
    }
    [[nodiscard]] std::size_t rows() const { return file->tensors()[tensor].extents[0]; }
    [[nodiscard]] std::size_t cols() const { return file->tensors()[tensor].extents[1]; }
};

/// A .npy file of floating elements, whole. \throws mismatch_error
struct numbers {
    lathe::shape extents;
    std::vector<double> values;
};
numbers read_numbers(std::string const & path) {
    lathe::io::npy_file file(path);
    auto const & info = file.tensors()[0];
    if (!is_floating(info.type))
        throw lathe::mismatch_error{path + ": elements of type " + std::string{name_of(info.type)}
                                    + ", expected floating ones"};
    numbers n{info.extents, std::vector<double>(info.count())};
    lathe::window_buffer buffer;
    lathe::host::load(info.type, file.read(0, 0, info.bytes(), buffer).data(), n.values.size(), n.values.data());
    return n;
}
numbers read_centres(std::string_view flag, std::string const & path, std::size_t dimensions) {
    if (path.empty())
        throw usage_error{std::string{flag} + ": found nothing, expected a .npy file"};
    auto n = read_numbers(path);
    if (n.extents.size() != 2 || n.extents[0] == 0 || n.extents[1] != dimensions)
        throw lathe::mismatch_error{path + ": shape " + lathe::to_string(n.extents) + ", expected clusters x "
                                    + std::to_string(dimensions) + ", as the points have it"};
    return n;
}

/// What a person should know, a sentence each.
std::vector<std::string> warnings_of(cluster::collapse_result const & bound, double fuzzifier,
                                     cluster::centre_distances const & distances, std::size_t rows) {
    std::vector<std::string> all;
    if (fuzzifier >= bound.fuzzifier)
        all.push_back("fuzzifier " + six_digits(fuzzifier) + " is not below " + six_digits(bound.fuzzifier)
                      + ", from which on all centres may end at the mean (estimated from "
                      + std::to_string(std::min(rows, sample_rows)) + " points)");
    if (!distances.duplicates.empty()) {
        auto const [a, b] = distances.duplicates.front();
        all.push_back(std::to_string(distances.duplicates.size()) + " pairs of centres have merged, the first "
                      + std::to_string(a) + " and " + std::to_string(b));
    }
    return all;
}
/// Pairs that are as good as one: closer than 1e-4 of the longest centre.
cluster::centre_distances merged_centres(std::span<double const> centres, std::size_t dimensions) {
    double longest = 0;
    for (std::size_t j = 0; j != centres.size() / dimensions; ++j) {
        double square = 0;
        for (auto const v : centres.subspan(j * dimensions, dimensions))
            square += v * v;
        longest = std::max(longest, square);
    }
    return cluster::distances_between(centres, dimensions, 1e-4 * std::sqrt(longest));
}
void print_warnings(std::vector<std::string> const & warnings) {
    for (auto const & w : warnings)
        std::fprintf(stderr, "lathe: warning: %s\n", w.c_str());
}

/// The functions of one backend.
struct cluster_functions {
    decltype(&run_cluster_fit<backends::eigen>) fit;
    decltype(&run_cluster_predict<backends::eigen>) predict;
    decltype(&run_cluster_validate<backends::eigen>) validate;
    decltype(&run_collapse_bound<backends::eigen>) bound;
};
template <class... Backends> by_backend<cluster_functions> cluster_functions_on(backend_list<Backends...>) {
    return {{Backends::name,
             {&run_cluster_fit<Backends>, &run_cluster_predict<Backends>, &run_cluster_validate<Backends>,
              &run_collapse_bound<Backends>}}...};
}
cluster_functions cluster_functions_of(run_settings const & how) {
    expect_threads(how.threads);
    return choose_backend(how.backend, cluster_functions_on(built_backends{}));
}

int fit(points_settings const & where, fit_settings const & s, cluster::fuzzy_c_means_options const & options,
        run_settings const & how) {
    if (s.output.empty())
        throw usage_error{"--output: found nothing, expected a .npy file for the centres"};
    expect_npy("--output", s.output);
    auto const run = cluster_functions_of(how);
    open_points const points(where);
    std::vector<double> weights, start;
    if (s.weights) {
        auto n = read_numbers(*s.weights);
        if (n.extents != lathe::shape{points.rows()})
            throw lathe::mismatch_error{*s.weights + ": shape " + lathe::to_string(n.extents) + ", expected ["
                                        + std::to_string(points.rows()) + "], one for each point"};
        weights = std::move(n.values);
    }
    if (s.start_centres) {
        auto n = read_centres("--start-centres", *s.start_centres, points.cols());
        if (n.extents[0] != options.clusters)
            throw lathe::mismatch_error{*s.start_centres + ": " + std::to_string(n.extents[0])
                                        + " centres, expected --clusters " + std::to_string(options.clusters)};
        start = std::move(n.values);
    }
    cluster::clustering_inputs const inputs{.weights = weights, .centres = start, .memberships = {}};
    cluster::validate(options, inputs, points.rows(), points.cols());
    report_abandoned(s.output, false, how.quiet);
    progress_bar bar("cluster fit", options.max_iterations, how.quiet);
    catch_interrupts(lathe::io::folder_of(s.output));
    cluster_job const job{*points.file, points.tensor, how.threads, backend_choice{how.backend}.device, bar};
    auto const bound = run.bound(job, sample_rows);
    auto const result = run.fit(job, inputs, options);
    bar.clear();
    lathe::io::write_npy<double>(s.output, {options.clusters, points.cols()}, result.centres);

    auto const warnings =
        warnings_of(bound, options.fuzzifier, merged_centres(result.centres, points.cols()), points.rows());
    if (how.json) {
        auto report = to_json(result);
        report.erase("centres"); // they are in the file
        report.erase("options");
        print_json(
            {{"lathe", version()},
             {"command", "cluster fit"},
             {"points", where.points},
             {"output", s.output},
             {"options", to_json(options)},
             {"backend", how.backend},
             {"shape", {points.rows(), points.cols()}},
             {"provenance",
              provenance({{"command", "cluster fit"}, {"options", to_json(options)}}, how,
                         {{"points", where.points}, {"weights", s.weights}, {"start_centres", s.start_centres}})},
             {"result", std::move(report)},
             {"collapse", to_json(bound)},
             {"warnings", warnings}});
    } else if (!how.quiet) {
        auto text = s.output + ": " + std::to_string(options.clusters) + " centres of " + std::to_string(points.rows())
                    + " points, " + std::string{lathe::reflect::name_of(result.status)} + " after "
                    + std::to_string(result.iterations) + " iterations, objective " + six_digits(result.objective)
                    + "\n";
        text += "cluster  share of the points\n";
        double total = 0;
        for (auto const m : result.masses)
            total += m;
        for (std::size_t j = 0; j != options.clusters; ++j)
            text += std::to_string(j) + std::string(9 - std::to_string(j).size(), ' ')
                    + six_digits(result.masses[j] / total) + "\n";
        print(text);
        print_warnings(warnings);
    }
    return 0;
}

json provenance_of(std::string_view command, points_settings const & where, partition_settings const & p,
                   run_settings const & how) {
    return provenance({{"command", command},
                       {"options", {{"fuzzifier", p.fuzzifier}, {"metric", lathe::reflect::name_of(p.metric)}}}},
                      how, {{"points", where.points}, {"centres", p.centres}});
}

int predict(points_settings const & where, partition_settings const & p, predict_settings const & s,
            run_settings const & how) {
    if (s.output.empty())
        throw usage_error{"--output: found nothing, expected a .npy file for the memberships"};
    expect_npy("--output", s.output);
    auto const run = cluster_functions_of(how);
    open_points const points(where);
    auto const centres = read_centres("--centres", p.centres, points.cols());
    auto const clusters = centres.extents[0];
    report_abandoned(s.output, false, how.quiet);
    progress_bar bar("cluster predict", points.rows(), how.quiet);
    catch_interrupts(lathe::io::folder_of(s.output));
    lathe::io::staged_file out(s.output, false);
    auto const header = lathe::io::npy_header_of(lathe::dtype::f64, {points.rows(), clusters});
    out.write(std::as_bytes(std::span{header}), 0);
    std::vector<std::size_t> sizes(clusters);
    run.predict({*points.file, points.tensor, how.threads, backend_choice{how.backend}.device, bar}, centres.values,
                clusters, p.fuzzifier, p.metric, [&](std::size_t first, std::span<double const> values) {
        out.write(std::as_bytes(values), header.size() + first * clusters * sizeof(double));
        for (std::size_t i = 0; i != values.size() / clusters; ++i) {
            auto const row = values.subspan(i * clusters, clusters);
            ++sizes[static_cast<std::size_t>(std::ranges::max_element(row) - row.begin())];
        }
    });
    out.close();
    out.publish();
    bar.clear();
    if (how.json)
        print_json({{"lathe", version()},
                    {"command", "cluster predict"},
                    {"points", where.points},
                    {"output", s.output},
                    {"options", to_json(p)},
                    {"backend", how.backend},
                    {"shape", {points.rows(), clusters}},
                    {"provenance", provenance_of("cluster predict", where, p, how)},
                    {"nearest", sizes}});
    else if (!how.quiet)
        print(s.output + ": memberships of " + std::to_string(points.rows()) + " points in " + std::to_string(clusters)
              + " clusters\n");
    return 0;
}

int validate(points_settings const & where, partition_settings const & p, run_settings const & how) {
    auto const run = cluster_functions_of(how);
    open_points const points(where);
    auto const centres = read_centres("--centres", p.centres, points.cols());
    progress_bar bar("cluster validate", points.rows(), how.quiet);
    catch_interrupts();
    cluster_job const job{*points.file, points.tensor, how.threads, backend_choice{how.backend}.device, bar};
    auto const result = run.validate(job, centres.values, centres.extents[0], p.fuzzifier, p.metric);
    auto const bound = run.bound(job, sample_rows);
    bar.clear();
    auto const warnings = warnings_of(bound, p.fuzzifier, merged_centres(centres.values, points.cols()), points.rows());
    auto const values = to_json(result);
    if (how.json)
        print_json({{"lathe", version()},
                    {"command", "cluster validate"},
                    {"points", where.points},
                    {"options", to_json(p)},
                    {"backend", how.backend},
                    {"provenance", provenance_of("cluster validate", where, p, how)},
                    {"result", values},
                    {"collapse", to_json(bound)},
                    {"warnings", warnings}});
    else if (!how.quiet) {
        std::string text;
        for (auto const & [name, value] : values.items())
            text += name + std::string(24 - name.size(), ' ')
                    + (value.is_number() ? six_digits(value.get<double>()) : "infinite") + "\n";
        text +=
            "collapse from fuzzifier " + (std::isfinite(bound.fuzzifier) ? six_digits(bound.fuzzifier) : "-") + "\n";
        print(text);
        print_warnings(warnings);
    }
    return 0;
}

/// Flags of one of the three.
struct cluster_flags {
    option_flags points, settings, options, run;
};
constexpr spelling cluster_spellings[] = {{"points", "POINTS"}, {"output", "-o,--output"}};

} // namespace

action add_cluster(CLI::App & app) {
    auto & sub = *app.add_subcommand("cluster", "Cluster points, such as embeddings of sentences, and judge clusters");
    sub.require_subcommand(0, 1);
    static constexpr std::string_view seed[] = {"seed"};
    auto const make = [&](char const * name,
                          char const * what) -> std::pair<CLI::App *, std::shared_ptr<cluster_flags>> {
        auto * const command = sub.add_subcommand(name, what);
        auto flags = std::make_shared<cluster_flags>();
        flags->points.add(*command, "Points", describe<points_settings>(), {.spellings = cluster_spellings});
        command->allow_extras();
        return {command, std::move(flags)};
    };
    auto const finish = [&](CLI::App & command, cluster_flags & flags) {
        flags.run.add(command, "Running", describe<run_settings>(), {.without = seed});
        add_configuration(command, {{&flags.points, &flags.settings}, {&flags.options}, &flags.run});
    };
    auto const [fit_command, fit_flags] = make("fit", "Fuzzy c-means: find centres");
    fit_flags->settings.add(*fit_command, "Files", describe<fit_settings>(), {.spellings = cluster_spellings});
    fit_flags->options.add(*fit_command, "Options of fuzzy c-means", describe<cluster::fuzzy_c_means_options>());
    finish(*fit_command, *fit_flags);
    auto const [predict_command, predict_flags] = make("predict", "Memberships of points at given centres");
    predict_flags->options.add(*predict_command, "Partition", describe<partition_settings>());
    predict_flags->settings.add(*predict_command, "Files", describe<predict_settings>(),
                                {.spellings = cluster_spellings});
    finish(*predict_command, *predict_flags);
    auto const [validate_command, validate_flags] = make("validate", "Validity indices of given centres");
    validate_flags->options.add(*validate_command, "Partition", describe<partition_settings>());
    finish(*validate_command, *validate_flags);
    sub.allow_extras();

    return [&sub, fit_command, fit_flags, predict_command, predict_flags, validate_command, validate_flags] {
        using lathe::reflect::options_from;
        auto const start = [](CLI::App const & command, cluster_flags const & flags) {
            expect_nothing_left(command);
            return std::pair{options_from<points_settings>(flags.points.given()),
                             options_from<run_settings>(flags.run.given())};
        };
        if (fit_command->parsed()) {
            auto const [points, run] = start(*fit_command, *fit_flags);
            return fit(points, options_from<fit_settings>(fit_flags->settings.given()),
                       options_from<cluster::fuzzy_c_means_options>(fit_flags->options.given()), run);
        }
        if (predict_command->parsed()) {
            auto const [points, run] = start(*predict_command, *predict_flags);
            return predict(points, options_from<partition_settings>(predict_flags->options.given()),
                           options_from<predict_settings>(predict_flags->settings.given()), run);
        }
        if (validate_command->parsed()) {
            auto const [points, run] = start(*validate_command, *validate_flags);
            return validate(points, options_from<partition_settings>(validate_flags->options.given()), run);
        }
        expect_nothing_left(sub);
        throw usage_error{"cluster: no command; known: fit, predict, validate; see lathe cluster --help"};
    };
}

} // namespace lathe_cli
