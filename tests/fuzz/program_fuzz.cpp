// Readers that are the program's own under libFuzzer. The letters:
//   y  mergekit's YAML             j  JSON of a file            c  config.json, copied beside the weights
//   l  texts in .jsonl             p  texts, one a line         t  tokens in .jsonl
//   e  embeddings in .npy          n  lengths of documents      w  WorFBench's records, gold and predicted in turn
//   m  a watermark's model         k  the journal of long work  v  a vocabulary, and texts cut by it
//   s  sizes and types             a  arguments, one a line, and after an empty line the configuration that FILE names
#include "fuzzing.hpp"

#include "../../examples/lathe/documents.hpp"
#include "../../examples/lathe/flags.hpp"
#include "../../examples/lathe/mergekit.hpp"
#include "../../examples/lathe/watermark_model.hpp"
#include "../../examples/lathe/worfbench.hpp"
#include "../../examples/lathe/work_journal.hpp"
#include "../../examples/minilm/wordpiece.hpp"

#include <lathe/io/npy.hpp>
#include <lathe/reflect/adapt.hpp>
#include <lathe/reflect/merge.hpp>

#include <CLI/CLI.hpp>

using namespace lathe_fuzz;
using lathe_cli::json;

// The rest of the program, as far as its readers ask for it.
namespace lathe_cli {
void expect_model_of_minilm(embedder_choice, std::string const &) {}
lathe::evaluate::embedding_table embed_texts(std::span<std::string const> texts, embedder_choice, std::string const &,
                                             run_settings const &) {
    lathe::evaluate::embedding_table all; // the length of a text, and that it is one
    all.dimension = 2;
    for (auto const & text : texts)
        all.values.insert(all.values.end(), {static_cast<float>(text.size()), 1.0f});
    return all;
}
std::string version() { return "0.0.0"; }
json printed; ///< what --print-config said last
void print_json(json const & value) { printed = value; }
} // namespace lathe_cli

namespace {

void read_mergekit(std::string_view text) {
    std::string const whole{text};
    static_cast<void>(accepted([&] {
        if (!lathe_cli::is_mergekit(whole, "config.yaml"))
            return;
        auto const m = lathe_cli::read_mergekit(whole, "config.yaml");
        expect(!m.method.empty() && m.options.is_object() && m.settings["models"].is_array(),
               "a configuration has a method, its options, and models");
        static_cast<void>(lathe_cli::is_mergekit(whole, "config.json"));
    }));
}

void read_json(std::string_view text) {
    static_cast<void>(accepted([&] {
        auto const j = lathe_cli::parse_json_text(std::string{text}, "text");
        expect(lathe_cli::parse_json_text(j.dump(), "text") == j, "JSON is read as it was written");
    }));
}

void copy_configuration(std::string_view text) {
    auto const from = folder() / "side", to = folder() / "copies";
    std::filesystem::create_directories(from);
    std::filesystem::create_directories(to);
    lathe_test::write_contents(from / "config.json", std::string{text});
    static_cast<void>(accepted([&] {
        auto const files = lathe_cli::open_side_files(from);
        expect(lathe_cli::copy_side_files(files, to, lathe::dtype::bf16).size() == 1, "the file is copied");
    }));
}

void check_documents(std::vector<lathe_cli::document> const & all) {
    for (auto const & d : all) {
        expect(d.sentences.size() == d.count, "as many sentences as there are places");
        for (auto const & s : d.sentences)
            expect(s.first <= d.text.size() && s.length <= d.text.size() - s.first, "sentences lie in the text");
    }
}
/// Documents as a whole, and a few at a time.
void read_documents(lathe_cli::document_settings const & settings) {
    static_cast<void>(accepted([&] {
        auto const all = lathe_cli::read_documents(settings, {});
        expect(all.rows.size() == all.first_row.back() * all.dimension, "a row for each sentence");
        for (std::size_t d = 0; d != all.documents.size(); ++d)
            static_cast<void>(all.of(d));
        lathe_cli::run_settings const how;
        lathe_cli::document_stream stream(settings, how);
        expect(stream.documents() == all.documents.size(), "a stream has as many documents");
        std::size_t seen = 0, rows = 0;
        for (auto part = stream.next(); !part.documents.empty(); part = stream.next()) {
            for (std::size_t d = 0; d != part.documents.size(); ++d, ++seen)
                expect(seen < all.documents.size() && part.documents[d].id == all.documents[seen].id
                           && std::ranges::equal(part.of(d), all.of(seen)),
                       "a stream has the same documents");
            rows += part.rows.size();
        }
        expect(seen == all.documents.size() && rows == all.rows.size(), "a stream has all documents");
    }));
}
void read_texts(std::string_view text, char const * name) {
    lathe_cli::document_settings settings;
    settings.documents = file(name, text);
    static_cast<void>(accepted([&] { check_documents(lathe_cli::read_texts(settings)); }));
    read_documents(settings);
}
void read_tokens(std::string_view text) {
    static_cast<void>(accepted([&] {
        for (auto const & d : lathe_cli::read_token_documents(file("tokens.jsonl", text)))
            expect((d.entropies.empty() || d.entropies.size() == d.tokens.size())
                       && (d.pieces.empty() || d.pieces.size() == d.tokens.size()),
                   "what goes with tokens goes with each");
    }));
}
void read_embeddings(std::string_view array, std::string_view lengths) {
    lathe_cli::document_settings settings;
    settings.documents = file("points.npy", array);
    settings.lengths = file("lengths.txt", lengths);
    read_documents(settings);
}
void read_records(std::string_view text) {
    auto const half = text.find("\n\n");
    auto const gold = text.substr(0, half), predicted = half == text.npos ? gold : text.substr(half + 2);
    static_cast<void>(accepted([&] {
        auto const pairs = lathe_cli::read_worfbench(file("gold.jsonl", gold), file("predicted.jsonl", predicted));
        for (auto const & pair : pairs)
            expect(!pair.id.empty(), "a pair has a name");
    }));
}

/// The description is the input's; the tensors are made as large as it says.
void read_model(std::string_view text) {
    auto const about = json::parse(text, nullptr, false);
    auto const number = [&](json const & in, char const * name, std::size_t other) {
        auto const at = in.is_object() ? in.find(name) : in.end();
        return in.is_object() && at != in.end() && at->is_number_unsigned() ? at->get<std::size_t>() : other;
    };
    auto const dimension = number(about, "dimension", 2), scores = number(about, "calibrated_on", 1);
    auto const method = about.is_object() && about.contains("method") ? about["method"] : json::object();
    auto const clusters = number(method, "clusters", 8), bits = number(method, "bits", clusters);
    if (dimension > 64 || clusters > 64 || bits > 64 || scores > 64 || lathe::first_not_utf8(text))
        return;
    lathe::memory_checkpoint made;
    made.begin({}, {{"lathe_watermark", std::string{text}}});
    auto const set = [&](std::string name, lathe::shape extents, double first, double step) {
        std::vector<double> values(lathe::count_of(extents));
        for (std::size_t i = 0; i != values.size(); ++i)
            values[i] = first + step * static_cast<double>(i);
        made.set<double>(std::move(name), std::move(extents), values);
    };
    set("vectors", {bits, dimension}, 0.5, 0.25);
    set("independent", {clusters}, 1 / static_cast<double>(clusters), 0);
    set("markov_initial", {clusters}, 1 / static_cast<double>(clusters), 0);
    set("markov_transitions", {clusters, clusters}, 1 / static_cast<double>(clusters), 0);
    set("conformal_scores", {scores}, 0, 0.125);
    std::vector<std::int64_t> const lengths(scores, 3);
    made.set({"conformal_lengths", lathe::dtype::i64, {scores}}, std::as_bytes(std::span{lengths}));
    auto const path = folder() / "model.safetensors";
    lathe::io::save(made, path, {.sync = false});
    static_cast<void>(accepted([&] {
        auto const model = lathe_cli::load_model(path.string());
        lathe_cli::save_model(model, path.string());
        auto const again = lathe_cli::load_model(path.string());
        expect(model.vectors == again.vectors && model.dimension == again.dimension
                   && lathe::reflect::to_json(model.method) == lathe::reflect::to_json(again.method),
               "a model is read as it was written");
    }));
}

void read_journal(std::string_view text) {
    auto const at = folder() / "journal.unfinished";
    std::filesystem::create_directories(at);
    lathe_test::write_contents(at / "journal",
                               "{\"lathe\":\"unfinished work\",\"digest\":\"0\"}\n" + std::string{text});
    static_cast<void>(accepted([&] {
        std::size_t found = 0;
        {
            lathe_cli::work_journal journal(at, "0", false);
            found = journal.found();
            journal.record("another", json{{"is", "done"}});
        }
        lathe_cli::work_journal again(at, "0", false);
        expect(again.done("another") != nullptr && again.found() >= found, "what was done stays done");
    }));
}

/// A command line with every kind of flag, made as the program makes its own. \returns whether a configuration was
/// printed
bool parse_command_line(std::vector<std::string> const & arguments) {
    std::vector<char const *> argv{"lathe"};
    for (auto const & a : arguments)
        argv.push_back(a.c_str());
    CLI::App app{"", "lathe"};
    app.formatter(std::make_shared<lathe_cli::help_formatter>());
    auto & command = *app.add_subcommand("merge", "a command");
    app.require_subcommand(0, 1);
    command.require_subcommand(0, 1);
    app.allow_extras();
    command.allow_extras();
    auto & own = *command.add_subcommand("ties", "a method");
    own.allow_extras();
    lathe_cli::option_flags settings, options, run;
    static constexpr lathe_cli::spelling spellings[] = {{"documents", "DOCUMENTS"}, {"lengths", "-l,--lengths"}};
    static constexpr std::string_view without[] = {"seed"}; // which is of the run
    static auto const files = lathe::reflect::describe<lathe_cli::document_settings>();
    static auto const groups = lathe::reflect::describe<lathe::adapt::kasa_options>();
    static auto const schedules = lathe::reflect::describe<lathe::merge::ties_options>();
    static auto const running = lathe::reflect::describe<lathe_cli::run_settings>();
    settings.add(own, "Files", files, {.spellings = spellings});
    options.add(own, "Options", groups, {.without = without});
    options.add(own, "Options", schedules);
    run.add(own, "Running", running);
    lathe_cli::add_configuration(own, {{&settings}, {&options}, &run}, true);
    auto all =
        lathe_cli::with_configured_command(lathe_cli::normalised_arguments(static_cast<int>(argv.size()), argv.data()));
    std::ranges::reverse(all);
    lathe_cli::printed = nullptr;
    try {
        app.parse(std::move(all));
    } catch (CLI::Success const &) {
        if (!lathe_cli::printed.is_null())
            return true;
        expect(!own.help().empty() && !lathe_cli::reference_of(app).empty(), "there is help"); // which was asked for
        return false;
    } catch (CLI::ParseError const & e) {
        throw lathe_cli::usage_error{e.what()};
    }
    lathe_cli::expect_nothing_left(app);
    lathe_cli::expect_nothing_left(own);
    for (auto const * const set : {&settings, &options, &run})
        static_cast<void>(set->complete());
    return false;
}

void read_arguments(std::string_view text) {
    auto const half = text.find("\n\n");
    auto const path = file("configuration", half == text.npos ? std::string_view{} : text.substr(half + 2));
    std::vector<std::string> arguments;
    for (auto const line : std::views::split(text.substr(0, half), '\n')) {
        auto & argument = arguments.emplace_back(line.begin(), line.end());
        argument.erase(std::ranges::find(argument, '\0'), argument.end()); // as arguments end
        if (auto const at = argument.find("FILE"); at != argument.npos)
            argument.replace(at, 4, path);
    }
    static_cast<void>(accepted([&] {
        if (!parse_command_line(arguments) || lathe::first_not_utf8(text.substr(0, half))) // which JSON cannot hold
            return;
        auto const once = lathe_cli::printed;
        auto const again = file("printed", once.dump());
        expect(parse_command_line({"--config", again, "--print-config"}) && lathe_cli::printed == once,
               "a configuration is printed as it was read");
    }));
}

void cut_words(std::string_view text) {
    auto const half = text.find("\n\n");
    static_cast<void>(accepted([&] {
        minilm::wordpiece const vocabulary(
            file("vocab.txt", "[CLS]\n[SEP]\n[UNK]\n[PAD]\n[MASK]\n" + std::string{text.substr(0, half)}));
        auto const tokens = vocabulary(half == text.npos ? text : text.substr(half + 2), 32);
        auto const marks = vocabulary("", 2); // the last of each name counts
        expect(tokens.size() >= 2 && tokens.size() <= 32 && tokens.front() == marks.front()
                   && tokens.back() == marks.back(),
               "a text lies between two marks");
    }));
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(unsigned char const * data, std::size_t size) {
    auto const [reader, text] = select(data, size);
    switch (reader) {
    case 'y': read_mergekit(text); return 0;
    case 'j': read_json(text); return 0;
    case 'c': copy_configuration(text); return 0;
    case 'l': read_texts(text, "texts.jsonl"); return 0;
    case 'p': read_texts(text, "texts.txt"); return 0;
    case 't': read_tokens(text); return 0;
    case 'e': read_embeddings(text, "1 0 1"); return 0;
    case 'n': {
        static std::vector<float> const points(8, 1.0f);
        static auto const array = lathe::io::npy_header_of(lathe::dtype::f32, {4, 2})
                                  + std::string{reinterpret_cast<char const *>(points.data()), 32};
        read_embeddings(array, text);
        return 0;
    }
    case 'w': read_records(text); return 0;
    case 'm': read_model(text); return 0;
    case 'k': read_journal(text); return 0;
    case 'v': cut_words(text); return 0;
    case 'a': read_arguments(text); return 0;
    case 's':
        static_cast<void>(accepted([&] { static_cast<void>(lathe_cli::parse_size("--size", text)); }));
        static_cast<void>(accepted([&] { static_cast<void>(lathe_cli::parse_float_type("--type", text)); }));
        return 0;
    default: return -1;
    }
}
