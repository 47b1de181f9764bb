#include "backends.hpp"
#include "commands.hpp"

#include "files.hpp"
#include "merge_job.hpp"
#include "mergekit.hpp"
#include "overflow.hpp"

#include <chrono>

#include <sys/resource.h>

namespace lathe_cli {

namespace {

/// Everything about a merge but the options of the method.
struct merge_settings {
    std::vector<std::string> models;
    std::optional<std::string> base;
    std::vector<std::string> files;
    std::optional<std::string> output;
    lathe::merge::mismatch_policy policy = lathe::merge::mismatch_policy::strict;
    std::optional<std::string> out_dtype;
    overflow_policy overflow = overflow_policy::infinity;
    std::optional<std::string> max_shard_size;
    bool copy_side_files = true;
    std::size_t window = lathe::default_window;
    objective_settings objective;
    run_settings run;
};
} // namespace
} // namespace lathe_cli

BOOST_HANA_ADAPT_STRUCT(lathe_cli::merge_settings, models, base, files, output, policy, out_dtype, overflow,
                        max_shard_size, copy_side_files, window, objective, run);
template <>
inline constexpr auto lathe::reflect::help<lathe_cli::merge_settings> = lathe::reflect::help_table({
    {"models", "checkpoints to merge: .safetensors files, or folders"},
    {"base", "the checkpoint the models were fine-tuned from"},
    {"files", "what goes with the models, one for each, in their order"},
    {"output", "the result: a .safetensors file, or a folder, which also gets copies of configuration and tokenizer"},
    {"policy", "for tensors that some checkpoint lacks or has with another shape"},
    {"out_dtype",
     "type of the floating tensors of the result: F64, F32, F16 or BF16; unset: that of the base (first model)"},
    {"overflow",
     "what results become that are too large for their type: infinite, with a note, an error, or the largest of "
     "the type (saturate), with a note"},
    {"max_shard_size", "split the result into files of at most this size, such as 5GB"},
    {"copy_side_files", "copy configuration and tokenizer from the base's (first model's) folder to the result's"},
    {"window", "elements read at a time from each checkpoint: what bounds the memory of the host and of a device"},
    {"objective", "what to minimise"},
    {"run", "backend, threads, seed"},
});

namespace lathe_cli {
namespace {

using lathe::reflect::describe;
using lathe::reflect::from_json;
using lathe::reflect::to_json;

/// A method of the registry without its types.
struct method_entry {
    std::string_view name, summary, files;
    bool base_required, files_required, minimises;
    std::vector<field_description> fields;
    json (*complete)(std::span<json const> layers); ///< defaults, overlaid by objects in turn
};

template <class Method> method_entry entry_of(std::string_view files, bool files_required, bool minimises) {
    using options = typename Method::options;
    return {Method::name,
            Method::summary,
            files,
            Method::base == lathe::registry::base_use::required,
            files_required,
            minimises,
            describe<options>(),
            [](std::span<json const> layers) {
        options o{};
        for (auto const & layer : layers)
            from_json(layer, o);
        return to_json(o);
    }};
}
template <class... Backends>
by_backend<decltype(&run_merge<backends::eigen>)> merge_runners(backend_list<Backends...>) {
    return {{Backends::name, &run_merge<Backends>}...};
}
std::vector<method_entry> const & methods() {
    static auto const all = [] {
        using namespace lathe::registry;
        std::vector<method_entry> entries;
        for_each_method(merging_methods, [&]<class M>(std::type_identity<M>) {
            entries.push_back(entry_of<M>(M::files, M::files_required, false));
        });
        for_each_method(objective_methods,
                        [&]<class M>(std::type_identity<M>) { entries.push_back(entry_of<M>("", false, true)); });
        return entries;
    }();
    return all;
}
method_entry const & method_named(std::string const & name) {
    auto const at = std::ranges::find(methods(), name, &method_entry::name);
    if (at != methods().end())
        return *at;
    std::vector<std::string_view> known;
    for (auto const & m : methods())
        known.push_back(m.name);
    throw usage_error{"'" + name + "': unknown method; " + lathe::reflect::suggestion(name, known)};
}
std::string summary_of(method_entry const & method) {
    return std::string{method.summary} + (method.base_required ? " (needs --base)" : "");
}
bool has_option(method_entry const & method, std::string_view name) {
    return std::ranges::find(method.fields, name, &field_description::name) != method.fields.end();
}

/// What the flags of `lathe merge` and of `lathe merge METHOD` say.
struct command_line {
    CLI::App * app;
    method_entry const * method; ///< none for `lathe merge` itself
    option_flags settings, options, run;
    std::string config, options_file;
    bool print_config = false;

    command_line(CLI::App & a, method_entry const * m) : app{&a}, method{m} {
        auto const files = m == nullptr || m->files.empty() ? std::string{"--files"} : "--" + std::string{m->files};
        spelling const spellings[] = {
            {"models", "MODELS"}, {"output", "-o,--output"}, {"out_dtype", "--out-dtype,--dtype"}, {"files", files}};
        std::vector<std::string_view> without{"run", "objective"};
        if (m != nullptr && m->files.empty())
            without.emplace_back("files");
        settings.add(a, "Checkpoints", describe<merge_settings>(), {.spellings = spellings, .without = without});
        if (m != nullptr) {
            static constexpr std::string_view seed[] = {"seed"};
            options.add(a, "Options of " + std::string{m->name}, m->fields, {.without = seed});
            if (m->minimises)
                settings.add(a, "Objective", describe<objective_settings>(), {.under = "objective"});
        }
        run.add(a, "Running", describe<run_settings>());
        settings.belong_to("settings");
        options.belong_to("options");
        run.belong_to("run");
        if (m != nullptr)
            a.add_option("--options", options_file, "read options of the method from a JSON file")
                ->type_name("<file>")
                ->group("Configuration");
        a.add_option("--config", config, "read a mergekit configuration (YAML), or what --print-config printed (JSON)")
            ->type_name("<file>")
            ->group("Configuration");
        a.add_flag("--print-config", print_config, "print what would be done, as JSON, and exit")
            ->group("Configuration");
        a.allow_extras();
    }
};

/// A merge, described completely.
struct merge_plan {
    method_entry const * method;
    merge_settings settings;
    json options;
    std::vector<std::string> notes; ///< for the user

    [[nodiscard]] json describe() const {
        json all{{"lathe", version()}, {"command", "merge"}, {"method", method->name}, {"settings", to_json(settings)}};
        all["options"] = options;
        all["run"] = std::move(all["settings"]["run"]);
        all["settings"].erase("run");
        return all;
    }
    [[nodiscard]] json provenance() const {
        auto const & s = settings;
        json what{{"command", "merge"}, {"method", method->name}, {"options", options}};
        what["policy"] = lathe::reflect::name_of(s.policy);
        return lathe_cli::provenance(what, s.run,
                                     {{"models", s.models},
                                      {"base", s.base},
                                      {"files", s.files},
                                      {"target", s.objective.target},
                                      {"fisher", s.objective.fisher}});
    }
};

merge_plan plan_of(command_line const & line) {
    merge_plan plan{line.method, {}, {}, {}};
    std::vector<json> layers;
    auto const use_method = [&](std::string const & name) {
        auto const & found = method_named(name);
        if (plan.method != nullptr && plan.method != &found)
            throw usage_error{"--config: found method " + name + ", the command line says "
                              + std::string{plan.method->name}};
        plan.method = &found;
    };
    if (!line.config.empty()) {
        if (auto const text = read_text(line.config); is_mergekit(text, line.config)) {
            auto converted = read_mergekit(text, line.config);
            use_method(converted.method);
            layers.push_back(std::move(converted.options));
            from_json(converted.settings, plan.settings);
            plan.notes = std::move(converted.notes);
        } else {
            auto found = configuration_of(parse_json_text(text, line.config), line.config);
            if (found.command != "merge" && !found.command.empty())
                throw usage_error{line.config + ": found a configuration of 'lathe "
                                  + lathe::io::printable(found.command) + "', the command line says 'lathe merge'"};
            note_version(found, line.config);
            use_method(found.method);
            layers.push_back(std::move(found.options));
            from_json(found.settings, plan.settings);
            from_json(json{{"run", std::move(found.run)}}, plan.settings);
        }
    }
    if (!line.options_file.empty())
        layers.push_back(read_json_file(line.options_file));
    from_json(line.settings.given(), plan.settings);
    from_json(json{{"run", line.run.given()}}, plan.settings);
    if (plan.method == nullptr) {
        if (plan.settings.models.empty())
            throw usage_error{"no method; lathe methods lists them"};
        static_cast<void>(method_named(plan.settings.models.front())); // unknown, for it was not taken as one
        throw usage_error{"no method before the flags; lathe methods lists them"};
    }
    if (plan.settings.run.seed && has_option(*plan.method, "seed"))
        layers.push_back({{"seed", *plan.settings.run.seed}});
    layers.push_back(line.options.given());
    plan.options = plan.method->complete(layers);
    return plan;
}

void expect_complete(merge_plan const & plan) {
    auto const & s = plan.settings;
    if (s.models.empty())
        throw usage_error{"MODELS: found none, expected checkpoints to merge"};
    if (!s.output)
        throw usage_error{"--output: found nothing, expected a .safetensors file or a folder"};
    static constexpr std::string_view others[] = {".bin",  ".pt", ".pth", ".ckpt", ".gguf",
                                                  ".onnx", ".h5", ".npz", ".json"};
    if (std::ranges::find(others, fs::path{*s.output}.extension().string()) != std::end(others))
        throw usage_error{"--output: found " + *s.output + ", expected a .safetensors file or a folder"};
    if (plan.method->base_required && !s.base)
        throw usage_error{"--base: found nothing, expected the checkpoint the models were fine-tuned from"};
    if (!plan.method->files.empty() && s.files.size() != s.models.size()
        && (plan.method->files_required || !s.files.empty()))
        throw usage_error{"--" + std::string{plan.method->files} + ": found " + std::to_string(s.files.size())
                          + " files, expected one for each of " + std::to_string(s.models.size()) + " models"};
    if (plan.method->files.empty() && !s.files.empty())
        throw usage_error{"files: found " + std::to_string(s.files.size()) + ", expected none with "
                          + std::string{plan.method->name}};
}

struct usage {
    std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();

    [[nodiscard]] json so_far() const {
        rusage r{};
        ::getrusage(RUSAGE_SELF, &r);
        auto const seconds = [](timeval t) {
            return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
        };
        return {{"seconds", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()},
                {"cpu_seconds", seconds(r.ru_utime) + seconds(r.ru_stime)},
                {"peak_rss_bytes", static_cast<std::uint64_t>(r.ru_maxrss) * 1024}};
    }
};

/// Where the result is written: the file that was named, or in a folder a file that is named as loaders want it there,
/// which for adapters and diffusion models is not model.safetensors.
std::string target_of(std::string const & output, input const & reference) {
    if (!names_folder(output))
        return output;
    std::error_code code;
    auto const name = fs::path{reference.file->label()}.filename().string();
    for (std::string const stem : {"adapter_model", "diffusion_pytorch_model"})
        if (fs::is_directory(reference.path, code)
            && (name == stem + ".safetensors" || name == stem + ".safetensors.index.json"))
            return (fs::path{output} / (stem + ".safetensors")).string();
    return (fs::path{output} / "").string();
}

/// What the user should know of tensors that hold weights but are copied: there is no arithmetic of eight bits here.
std::string note_on_copies(lathe::merge::model_pool const & pool) {
    std::size_t tensors = 0;
    std::string_view type;
    for (auto const & row : pool.rows())
        if (auto const name = lathe::name_of(row.info.type); name.starts_with("F8_")) {
            ++tensors;
            type = name;
        }
    if (tensors == 0)
        return {};
    return std::to_string(tensors) + (tensors == 1 ? " tensor of type " : " tensors of type ") + std::string{type}
           + (tensors == 1 ? " is" : " are") + " copied from " + std::string{pool.reference().label()}
           + ", not merged; convert the checkpoints to merge them";
}

void print_note(std::string_view note) {
    std::fprintf(stderr, "lathe: note: %s\n", lathe::io::printable(note, 1000).c_str());
}

int run_plan(merge_plan const & plan) {
    usage const used;
    auto const & s = plan.settings;
    expect_complete(plan);
    expect_threads(s.run.threads);
    auto const run = choose_backend(s.run.backend, merge_runners(built_backends{}));
    auto const models = open_inputs(s.models);
    auto const files = open_inputs(s.files);
    std::vector<input> base;
    if (s.base)
        base.push_back(open_input(*s.base));
    auto const & reference = base.empty() ? models.front() : base.front();
    auto const target = target_of(*s.output, reference);
    for (auto const & group : {std::span{models}, std::span{files}, std::span<input const>{base}})
        expect_separate(target, group);
    for (auto const & paths : {s.objective.target, s.objective.fisher}) // which are opened again where they are used
        expect_separate(target, open_inputs(paths));

    lathe::merge::pool_options pool_options;
    pool_options.policy = s.policy;
    pool_options.window = s.window;
    if (s.out_dtype)
        pool_options.output_type = parse_float_type("--out-dtype", *s.out_dtype);
    lathe::merge::model_pool const pool(base.empty() ? nullptr : base.front().file.get(), checkpoints_of(models),
                                        pool_options);
    auto const folder = names_folder(*s.output);
    std::vector<lathe::io::file> side_files; // opened first: what is wrong with them is not found hours later
    if (std::error_code code; folder && s.copy_side_files && fs::is_directory(reference.path, code)
                              && !fs::equivalent(reference.path, *s.output, code))
        side_files = open_side_files(reference.path);
    auto const from = plan.provenance();
    lathe::io::write_options writing;
    writing.max_shard_size = s.max_shard_size ? parse_size("--max-shard-size", *s.max_shard_size) : 0;
    writing.metadata = metadata_of(from, pool.reference().metadata());
    lathe::io::safetensors_writer sink(target, writing);
    overflow_count infinite(s.overflow);
    overflow_watch watched(sink, infinite);

    auto notes = plan.notes;
    if (auto const note = note_on_copies(pool); !note.empty())
        notes.push_back(note);
    auto const output_folder = lathe::io::folder_of(lathe::io::checkpoint_files{target}.single);
    if (auto note = note_on_abandoned(output_folder); !note.empty())
        notes.push_back(std::move(note));
    if (auto note = s.objective.objective_command.empty() ? std::string{} : note_on_abandoned_exchange(); !note.empty())
        notes.push_back(std::move(note));
    std::uint64_t bytes = 0;
    for (auto const & group : {std::span{models}, std::span{files}, std::span<input const>{base}})
        for (auto const & in : group)
            bytes += in.bytes();
    for (auto const & note : notes)
        if (!s.run.quiet)
            print_note(note);
    progress_bar bar(std::string{plan.method->name}, bytes, s.run.quiet);
    auto const file_list = checkpoints_of(files);
    catch_interrupts(output_folder);
    auto const result = run(plan.method->name, {pool, file_list, watched, plan.options, s.run.threads,
                                                backend_choice{s.run.backend}.device, bar, s.objective});
    bar.clear();
    if (auto const note = infinite.note(); !note.empty() && !s.run.quiet)
        print_note(note);

    auto const copied = copy_side_files(side_files, *s.output, pool_options.output_type);

    std::uint64_t written = 0;
    for (auto const & t : pool.output())
        written += t.bytes();
    auto const timing = used.so_far();
    if (s.run.json) {
        json inputs{{"models", json::array()}, {"base", nullptr}, {"files", json::array()}};
        for (auto const & in : models)
            inputs["models"].push_back(in.describe());
        for (auto const & in : files)
            inputs["files"].push_back(in.describe());
        if (!base.empty())
            inputs["base"] = base.front().describe();
        auto report = plan.describe();
        report["provenance"] = from;
        report["inputs"] = std::move(inputs);
        report["output"] = {{"path", *s.output},
                            {"tensors", pool.rows().size()},
                            {"bytes", written},
                            {"infinite_elements", infinite.elements()}, // before they were saturated
                            {"side_files", copied}};
        report["arithmetic"] = pool.wants_double() ? "F64" : "F32";
        report["timing"] = timing;
        report["result"] = result;
        print_json(report);
    } else if (!s.run.quiet)
        print(std::string{plan.method->name} + ": " + std::to_string(models.size())
              + (models.size() == 1 ? " model" : " models") + " -> " + *s.output + ", "
              + std::to_string(pool.rows().size()) + " tensors, " + human_bytes(static_cast<double>(written)) + ", "
              + human_seconds(timing["seconds"].get<double>()) + "\n");
    return 0;
}

} // namespace

action add_merge(CLI::App & app) {
    auto & sub = *app.add_subcommand("merge", "Merge checkpoints: lathe merge METHOD [OPTIONS] -o OUT MODELS...");
    auto lines = std::make_shared<std::deque<command_line>>();
    lines->emplace_back(sub, nullptr);
    for (auto const & method : methods()) {
        auto & own = *sub.add_subcommand(std::string{method.name}, summary_of(method));
        if (auto name = std::string{method.name}; name.find('_') != name.npos) {
            std::ranges::replace(name, '_', '-');
            own.alias(name);
        }
        lines->emplace_back(own, &method);
    }
    return [lines] {
        auto const named =
            std::ranges::find_if(*lines, [](command_line const & l) { return l.method != nullptr && l.app->parsed(); });
        auto const & line = named == lines->end() ? lines->front() : *named;
        expect_nothing_left(*line.app);
        auto const plan = plan_of(line);
        if (!line.print_config)
            return run_plan(plan);
        print_json(plan.describe());
        return 0;
    };
}

action add_methods(CLI::App & app) {
    auto & sub = *app.add_subcommand("methods", "List the merging methods and their options");
    auto as_json = std::make_shared<bool>(false);
    sub.add_flag("--json", *as_json, "print JSON, with every option");
    sub.allow_extras();
    return [&sub, as_json] {
        expect_nothing_left(sub);
        if (*as_json) {
            auto all = json::array();
            for (auto const & m : methods()) {
                auto fields = json::array();
                for (auto const & f : m.fields)
                    fields.push_back({{"name", f.name}, {"type", f.type}, {"default", f.value}, {"help", f.text}});
                all.push_back({{"name", m.name},
                               {"summary", m.summary},
                               {"base", m.base_required ? "required" : "optional"},
                               {"files", m.files.empty() ? json(nullptr) : json(m.files)},
                               {"objective", m.minimises},
                               {"options", std::move(fields)}});
            }
            print_json(all);
            return 0;
        }
        std::size_t width = 0;
        for (auto const & m : methods())
            width = std::max(width, m.name.size());
        std::string text;
        for (auto const & m : methods())
            text.append(m.name).append(width + 2 - m.name.size(), ' ').append(summary_of(m)).append("\n");
        print(text + "\nlathe merge METHOD --help lists the options of a method.\n");
        return 0;
    };
}

} // namespace lathe_cli
