/// \file  lathe adapt: begin, merge, combine, convert, extract and list low-rank adapters, over whole checkpoints. The
///        weights go through memory one at a time, and a run that was killed goes on where it stopped.
#include "adapt_files.hpp"
#include "backends.hpp"
#include "commands.hpp"
#include "progress_bar.hpp"
#include "work_journal.hpp"

#include <lathe/registry.hpp>

#include <chrono>
#include <cmath>
#include <set>

namespace lathe_cli {

namespace {

/// What every command that writes says.
struct writing_settings {
    std::string output;
    std::string adapter_dtype = "F32";
    overflow_policy overflow = overflow_policy::infinity;
    std::optional<std::string> base_name;
    std::optional<std::string> task_type;
    std::optional<std::string> max_shard_size;
    bool copy_side_files = true;
    std::optional<std::string> report;
    bool restart = false;
};
struct init_settings {
    std::string base;
    std::optional<std::string> residual;
    std::size_t rank = 8;
    std::optional<double> alpha;
    std::map<std::string, std::size_t> rank_pattern;
    std::map<std::string, double> alpha_pattern;
    bool lora_bias = false;
};
struct merge_into_settings {
    std::string base;
    std::vector<std::string> adapter;
    std::vector<double> weights;
    lathe::adapt::kasa_dialect kasa_dialect = lathe::adapt::kasa_dialect::peft;
};
struct adapters_settings {
    std::vector<std::string> adapters;
};
struct convert_settings {
    std::string adapter;
    std::optional<std::string> base, initial;
    std::size_t rank = 0;
    lathe::adapt::kasa_dialect kasa_dialect = lathe::adapt::kasa_dialect::peft;
};
struct extract_settings {
    std::string base, finetuned;
};
} // namespace
} // namespace lathe_cli

BOOST_HANA_ADAPT_STRUCT(lathe_cli::writing_settings, output, adapter_dtype, overflow, base_name, task_type,
                        max_shard_size, copy_side_files, report, restart);
template <>
inline constexpr auto lathe::reflect::help<lathe_cli::writing_settings> = lathe::reflect::help_table({
    {"output", "the folder of the adapter, or the checkpoint: a .safetensors file or a folder"},
    {"adapter_dtype", "type of the adapter's tensors: F64, F32, F16 or BF16"},
    {"overflow",
     "what results become that are too large for their type: infinite, with a note, an error, or the largest of "
     "the type (saturate), with a note"},
    {"base_name", "base_model_name_or_path in the adapter's configuration; unset: the path of the base"},
    {"task_type", "task_type in the adapter's configuration, such as CAUSAL_LM"},
    {"max_shard_size", "split a checkpoint that is written into files of at most this size, such as 5GB"},
    {"copy_side_files", "copy configuration and tokenizer from the base's folder beside a checkpoint that is written"},
    {"report", "write a report of every weight to this file, as JSON"},
    {"restart", "begin anew where a run that was killed has left something to go on with"},
});
BOOST_HANA_ADAPT_STRUCT(lathe_cli::init_settings, base, residual, rank, alpha, rank_pattern, alpha_pattern, lora_bias);
template <>
inline constexpr auto lathe::reflect::help<lathe_cli::init_settings> = lathe::reflect::help_table({
    {"base", "the checkpoint: a .safetensors file, an index, or a folder"},
    {"residual", "where the base goes that the adapter belongs to, for methods that change it"},
    {"rank", "of the adapters"},
    {"alpha", "of their scaling; unset: the rank"},
    {"rank_pattern", "other ranks, by name or regular expression for the end of it"},
    {"alpha_pattern", "other alphas, the same way"},
    {"lora_bias", "B has a bias of its own, 0 at the beginning"},
});
BOOST_HANA_ADAPT_STRUCT(lathe_cli::merge_into_settings, base, adapter, weights, kasa_dialect);
template <>
inline constexpr auto lathe::reflect::help<lathe_cli::merge_into_settings> = lathe::reflect::help_table({
    {"base", "the checkpoint: a .safetensors file, an index, or a folder"},
    {"adapter", "the folder of an adapter"},
    {"weights", "factors of the adapters' changes; none: all 1"},
    {"kasa_dialect", "what KaSA drops from the base"},
});
BOOST_HANA_ADAPT_STRUCT(lathe_cli::adapters_settings, adapters);
template <>
inline constexpr auto lathe::reflect::help<lathe_cli::adapters_settings> = lathe::reflect::help_table({
    {"adapters", "folders of adapters"},
});
BOOST_HANA_ADAPT_STRUCT(lathe_cli::convert_settings, adapter, base, initial, rank, kasa_dialect);
template <>
inline constexpr auto lathe::reflect::help<lathe_cli::convert_settings> = lathe::reflect::help_table({
    {"adapter", "the folder of the adapter"},
    {"base", "the original checkpoint, for KaSA and DoRA"},
    {"initial", "the adapter that training began with, for PiSSA, MiLoRA and OLoRA"},
    {"rank", "the best of this rank; 0: exact, which DoRA is not"},
    {"kasa_dialect", "what KaSA drops from the base"},
});
BOOST_HANA_ADAPT_STRUCT(lathe_cli::extract_settings, base, finetuned);
template <>
inline constexpr auto lathe::reflect::help<lathe_cli::extract_settings> = lathe::reflect::help_table({
    {"base", "the checkpoint before fine-tuning"},
    {"finetuned", "the checkpoint after it"},
});

namespace lathe_cli {
namespace {

using lathe::io::peft_folder;
using lathe::io::peft_module;
using lathe::reflect::describe;
using lathe::reflect::options_from;
using lathe::reflect::to_json;
using clock = std::chrono::steady_clock;

using bench_maker = decltype(&make_weight_bench<backends::eigen>);
template <class... Backends> by_backend<bench_maker> makers(backend_list<Backends...>) {
    return {{Backends::name, &make_weight_bench<Backends>}...};
}

// ---- what is known of a weight that is done
// --------------------------------------------------------------------------

json number_or_null(double x) { return std::isfinite(x) ? json(x) : json(nullptr); }

json row_of(std::string const & module, lathe::shape const & shape, adapter_values const & v, double energy,
            double error_bound, lathe::status status, clock::time_point since) {
    return {{"module", module},
            {"shape", shape},
            {"rank", v.rank},
            {"scaling", v.scaling},
            {"seconds", std::chrono::duration<double>(clock::now() - since).count()},
            {"energy_kept", number_or_null(energy)},
            {"error_bound", number_or_null(error_bound)},
            {"status", std::string{lathe::reflect::name_of(status)}}};
}
json row_of(std::string const & module, lathe::shape const & shape, made_adapter const & made,
            clock::time_point since) {
    return row_of(module, shape, made.adapter, made.energy, made.error_bound, made.status, since);
}
std::string shown(json const & value, char const * format) {
    if (!value.is_number())
        return "-";
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), format, value.get<double>());
    return text.data();
}
/// Columns: module, shape, rank, seconds, energy, bound of the error.
std::string table(std::vector<json> const & rows) {
    std::vector<std::array<std::string, 6>> cells{{"module", "shape", "rank", "seconds", "energy", "error"}};
    for (auto const & r : rows)
        cells.push_back({lathe::io::printable(r["module"].get<std::string>(), 200),
                         lathe::to_string(r["shape"].get<lathe::shape>()), std::to_string(r["rank"].get<std::size_t>()),
                         shown(r["seconds"], "%.2f"), shown(r["energy_kept"], "%.6f"),
                         shown(r["error_bound"], "%.1e")});
    std::array<std::size_t, 6> width{};
    for (auto const & row : cells)
        for (std::size_t c = 0; c != row.size(); ++c)
            width[c] = std::max(width[c], row[c].size());
    std::string text;
    for (auto const & row : cells) {
        std::string line;
        for (std::size_t c = 0; c != row.size(); ++c)
            line += row[c] + std::string(width[c] + 2 - row[c].size(), ' ');
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + "\n";
    }
    return text;
}

/// |scaling B diag(sigma) A|_F, from Gram matrices. Time (outputs + inputs) rank^2.
double norm_of(adapter_values const & v) {
    auto const r = v.rank;
    std::vector<double> left(r * r), right(r * r);
    for (std::size_t i = 0; i != r; ++i)
        for (std::size_t j = 0; j <= i; ++j) {
            double a = 0, b = 0;
            for (std::size_t k = 0; k != v.inputs; ++k)
                a += v.a[i * v.inputs + k] * v.a[j * v.inputs + k];
            for (std::size_t k = 0; k != v.outputs; ++k)
                b += v.b[k * r + i] * v.b[k * r + j];
            right[i * r + j] = right[j * r + i] = a;
            left[i * r + j] = left[j * r + i] = b;
        }
    double sum = 0;
    for (std::size_t i = 0; i != r; ++i)
        for (std::size_t j = 0; j != r; ++j)
            sum += left[i * r + j] * right[i * r + j] * (v.sigma.empty() ? 1.0 : v.sigma[i] * v.sigma[j]);
    return std::abs(v.scaling) * std::sqrt(std::max(0.0, sum));
}

// ---- a run
// -----------------------------------------------------------------------------------------------------------

/// A checkpoint that a run writes: all tensors of `base`, some of them changed.
struct checkpoint_output {
    std::string path;
    input const & base;
};

/// The weights of one command, done or to be done: what is written, where, what an earlier run left, and the report.
class adapt_run {
    std::string command_;
    writing_settings const & writing_;
    run_settings const & how_;
    bench_maker make_;
    json plan_;
    json provenance_;
    std::optional<work_journal> journal_, base_journal_;
    std::optional<lathe::io::safetensors_writer> writer_;
    overflow_count infinite_;
    std::optional<overflow_watch> watched_;
    std::optional<checkpoint_output> rewritten_;
    std::array<std::unique_ptr<weight_bench>, 2> benches_;
    std::vector<json> rows_;
    std::vector<lathe::io::file> side_files_;
    std::set<std::string> pieces_;
    std::vector<module_entry> entries_;
    std::optional<progress_bar> bar_;
    std::uint64_t work_ = 0, work_done_ = 0;
    std::uint64_t unrecorded_bytes_ = 0;
    std::vector<std::string> unrecorded_;
    clock::time_point started_ = clock::now();

    [[nodiscard]] std::string checkpoint_target(std::string const & path) const {
        return names_folder(path) ? (fs::path{path} / "").string() : path;
    }
    void flush() {
        if (unrecorded_.empty())
            return;
        writer_->flush();
        for (auto const & name : unrecorded_)
            journal_->record(item_of(name), nullptr);
        unrecorded_.clear();
        unrecorded_bytes_ = 0;
    }
    // Items of the journal: tensors, and two steps of the checkpoint that is written.
    static constexpr char const *publishing = "publishing", *published = "published";
    static std::string item_of(std::string const & name) { return "tensor " + name; }
    void advance(std::uint64_t bytes) {
        work_done_ += bytes;
        auto const none = std::numeric_limits<double>::quiet_NaN();
        (*bar_)({static_cast<std::size_t>(work_done_), static_cast<std::size_t>(work_), none, none});
    }
    /// A change of the row's tensors that are not of an adapter: copies one, window by window.
    void copy(std::size_t index) {
        constexpr std::size_t window = std::size_t{4} << 20;
        auto const all = rewritten_->base.file->tensors()[index].bytes();
        lathe::window_buffer in, out;
        for (std::size_t first = 0; first < all; first += window) {
            auto const size = std::min(window, all - first);
            auto const source = rewritten_->base.file->read(index, first, size, in);
            auto const to = writer_->window(index, first, size, out);
            std::memcpy(to.data(), source.data(), size);
            writer_->commit(index, first, to);
        }
    }
    /// Of a row that an earlier run made, or this one: infinite elements go to the sum, and only their number stays.
    void count_infinite(json & row, bool known) {
        if (known)
            infinite_.add(row.value("infinite_elements", std::uint64_t{0}), row.value("first_infinite", std::string{}));
        row.erase("first_infinite");
    }
    /// What the elements that were counted since belong to.
    void note_infinite(json & row, std::uint64_t since) const {
        row["infinite_elements"] = infinite_.elements() - since;
        if (since == 0 && infinite_.elements() != 0)
            row["first_infinite"] = infinite_.first();
    }
    static void expect_going() {
        if (interrupt_token{}.stop_requested())
            throw interrupted{};
    }

public:
    /// \param plan everything that the result depends on \param inputs those that `plan` has the identities of
    adapt_run(std::string command, writing_settings const & writing, run_settings const & how, json plan,
              std::vector<named_inputs> const & inputs)
        : command_{std::move(command)}, writing_{writing}, how_{how}, plan_(std::move(plan)),
          infinite_{writing.overflow} {
        expect_threads(how.threads);
        make_ = choose_backend(how.backend, makers(built_backends{}));
        if (writing.output.empty())
            throw usage_error{"--output: found nothing, expected where the result goes"};
        static_cast<void>(adapter_type());
        json what{{"command", "adapt " + command_}};
        for (auto const * const part : {"method", "options", "settings", "targets"})
            if (plan_.contains(part))
                what[part] = plan_[part];
        if (what.contains("settings"))
            for (auto const * const path : {"base", "residual", "adapter", "initial"})
                what["settings"].erase(path);
        provenance_ = provenance(what, how, inputs);
        plan_["provenance"] = provenance_; // which is written
        plan_["command"] = command_;
        plan_["lathe"] = version();
        plan_["backend"] = how.backend;
        plan_["adapter_dtype"] = writing.adapter_dtype;
        plan_["overflow"] = lathe::reflect::name_of(writing.overflow);
        plan_["max_shard_size"] = writing.max_shard_size ? json(*writing.max_shard_size) : json(nullptr);
    }
    adapt_run(adapt_run const &) = delete;
    adapt_run & operator=(adapt_run const &) = delete;
    ~adapt_run() {
        writer_.reset();
        if (!journal_ || !journal_->empty())
            return;
        try {
            journal_->finish();
            if (base_journal_)
                base_journal_->finish();
        } catch (std::exception const &) { // it stays, and does no harm
        }
    }
    [[nodiscard]] lathe::dtype adapter_type() const {
        return parse_float_type("--adapter-dtype", writing_.adapter_dtype);
    }
    /// Claims the places of the results; from here on the run can be interrupted and continued.
    /// \param rewritten a checkpoint to write, if any \param work bytes of weights, for the progress bar
    void begin(std::optional<checkpoint_output> rewritten, std::uint64_t work) {
        work_ = work;
        auto const digest = digest_of(plan_.dump(-1, ' ', false, json::error_handler_t::replace));
        auto const main_folder = journal_folder(writing_.output);
        journal_.emplace(main_folder, digest, writing_.restart);
        catch_interrupts(main_folder);
        if (rewritten) {
            rewritten_.emplace(*rewritten);
            auto const & path = rewritten->path;
            auto staging = main_folder;
            if (path != writing_.output) {
                base_journal_.emplace(journal_folder(path), digest, writing_.restart);
                staging = base_journal_->folder();
            }
            std::error_code code;
            if (auto const & from = rewritten->base.path;
                names_folder(path) && writing_.copy_side_files && fs::is_directory(from, code))
                side_files_ = open_side_files(from);
            lathe::io::write_options options{
                .max_shard_size =
                    writing_.max_shard_size ? parse_size("--max-shard-size", *writing_.max_shard_size) : 0};
            options.metadata = metadata_of(provenance_, rewritten->base.file->metadata());
            options.staging = staging;
            options.reclaim = journal_->done(publishing) != nullptr;
            if (journal_->done(published) == nullptr) {
                writer_.emplace(checkpoint_target(path), options);
                auto const & base = *rewritten->base.file;
                watched_.emplace(*writer_, infinite_);
                watched_->begin({base.tensors().begin(), base.tensors().end()}, base.metadata());
                if (journal_->found() != 0 && !writer_->resumed())
                    journal_->forget();
            }
        }
        bar_.emplace("adapt " + command_, work_, how_.quiet);
        if (journal_->found() != 0 && !how_.quiet)
            std::fprintf(stderr, "lathe: note: going on in %s, where %zu steps are done\n",
                         lathe::io::printable(main_folder.string(), 400).c_str(), journal_->found());
    }
    /// Of the precision that elements of a type want.
    weight_bench & bench_for(lathe::dtype type) {
        auto & b = benches_[type == lathe::dtype::f64 ? 1 : 0];
        if (!b)
            b = make_(how_.threads, backend_choice{how_.backend}.device, type == lathe::dtype::f64);
        return *b;
    }
    lathe::checkpoint_sink & sink() { return *watched_; }

    /// One module's adapter: `make` gives it and a row of the report, unless an earlier run did.
    /// \param item a name that no other item has \param index of the weight, where the checkpoint is written too
    template <class Make>
    void module(std::string const & item, std::optional<std::size_t> index, std::uint64_t bytes, module_tensors tensors,
                Make make) {
        expect_going();
        json row;
        if (auto const * const known = journal_->done(item_of(item))) {
            row = *known;
            count_infinite(row, true);
            if (index && writer_)
                writer_->keep(*index);
        } else {
            flush();
            auto const since = infinite_.elements();
            auto [adapter, made_row] = make(tensors);
            row = std::move(made_row);
            expect_going();
            if (adapter.rank != 0) {
                tensors.type = adapter_type();
                lathe::memory_checkpoint piece;
                write_adapter(piece, tensors, adapter, infinite_);
                row["piece"] = "piece-" + std::to_string(rows_.size()) + ".safetensors";
                lathe::io::save(piece, journal_->folder() / row["piece"].get<std::string>());
            }
            row["alpha"] = adapter.scaling * static_cast<double>(adapter.rank);
            note_infinite(row, since);
            if (index)
                writer_->flush();
            journal_->record(item_of(item), row);
            count_infinite(row, false);
        }
        if (row.contains("piece")) {
            pieces_.insert(row["piece"].get<std::string>());
            entries_.push_back({row["module"], row["rank"], row["alpha"]});
        }
        row.erase("piece");
        row.erase("alpha");
        rows_.push_back(std::move(row));
        advance(bytes);
    }
    /// One tensor of the checkpoint: `change` writes it and gives a row of the report, or null for one that is copied
    /// here.
    template <class Change> void tensor(std::size_t index, std::uint64_t bytes, Change change) {
        expect_going();
        auto const & name = rewritten_->base.file->tensors()[index].name;
        if (auto const * const known = journal_->done(item_of(name))) {
            if (writer_)
                writer_->keep(index);
            if (!known->is_null()) {
                rows_.push_back(*known);
                count_infinite(rows_.back(), true);
            }
        } else {
            auto const since = infinite_.elements();
            json row = change();
            if (row.is_null()) {
                copy(index);
                unrecorded_.push_back(name);
                unrecorded_bytes_ += rewritten_->base.file->tensors()[index].bytes();
                if (unrecorded_bytes_ > (std::uint64_t{256} << 20))
                    flush();
            } else {
                flush();
                writer_->flush();
                note_infinite(row, since);
                journal_->record(item_of(name), row);
                count_infinite(row, false);
                rows_.push_back(std::move(row));
            }
        }
        advance(bytes);
    }
    [[nodiscard]] std::vector<module_entry> const & entries() const noexcept { return entries_; }

    /// The checkpoint appears under its name, with what lay beside its base.
    void finish_checkpoint() {
        if (writer_) {
            flush();
            writer_->flush();
            if (journal_->done(publishing) == nullptr)
                journal_->record(publishing, nullptr);
            writer_->finish();
            journal_->record(published, nullptr);
        }
        if (!side_files_.empty())
            copy_side_files(side_files_, rewritten_->path, std::nullopt);
        if (base_journal_)
            base_journal_->finish();
    }
    /// The adapter appears under its name. \throws mismatch_error if no module has one
    void finish_adapter(lathe::io::peft_config config) {
        if (pieces_.empty())
            throw lathe::mismatch_error{"no weight has an adapter of positive rank: nothing to write"};
        json index{{"weight_map", json::object()}};
        auto & places = index["weight_map"];
        for (auto const & piece : pieces_) {
            lathe::io::safetensors_file const file(journal_->folder() / piece);
            for (auto const & t : file.tensors())
                places[t.name] = piece;
        }
        auto const path = journal_->folder() / "pieces.safetensors.index.json";
        {
            auto const text = index.dump();
            lathe::io::staged_file out(path, false);
            out.write(std::as_bytes(std::span{text}), 0);
            out.close();
            out.publish();
        }
        lathe::io::sharded_checkpoint all(path);
        lathe::io::write_options options;
        options.metadata = metadata_of(provenance_);
        options.staging = journal_->folder();
        lathe::io::save_peft(writing_.output, std::move(config), all, options);
    }
    /// The last: the report, and nothing is left of the work. `what` is said in one line.
    void finish(std::string const & what, json more = json::object()) {
        bar_->clear();
        if (auto const note = infinite_.note(); !note.empty() && !how_.quiet)
            std::fprintf(stderr, "lathe: note: %s\n", lathe::io::printable(note, 1000).c_str());
        journal_->finish();
        auto const seconds = std::chrono::duration<double>(clock::now() - started_).count();
        json report{{"lathe", version()}, {"command", "adapt " + command_}};
        report.update(plan_);
        report["command"] = "adapt " + command_;
        report["threads"] = how_.threads;
        report["output"] = writing_.output;
        report["resumed"] = journal_->found();
        report["seconds"] = seconds;
        report["infinite_elements"] = infinite_.elements(); // before they were saturated
        report.update(more);
        report["weights"] = rows_;
        if (writing_.report) {
            auto const text = report.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
            lathe::io::staged_file out(*writing_.report, false);
            out.write(std::as_bytes(std::span{text}), 0);
            out.close();
            out.publish();
        }
        if (how_.json)
            print_json(report);
        else if (!how_.quiet) {
            auto open = std::ranges::count(rows_, json("iteration_limit"), [](json const & r) { return r["status"]; });
            print(table(rows_) + what + ", " + human_seconds(seconds) + "\n");
            if (open != 0)
                std::fprintf(stderr,
                             "lathe: warning: of %zu weights the error is above the tolerance; the column says how "
                             "large it may be\n",
                             static_cast<std::size_t>(open));
        }
    }
};

/// Says how an interrupted run goes on.
template <class F> int continuing(F && run) {
    try {
        return run();
    } catch (interrupted const &) {
        throw interrupted{"the same command goes on where this one stopped"};
    }
}

/// Adapter folders as inputs that an output must not replace.
void expect_other_folder(std::string const & output, std::string const & folder) {
    std::error_code code;
    if (fs::equivalent(output, folder, code))
        throw usage_error{"--output: found " + output + ", which would replace the input; choose another path"};
}
json identity_of(std::string const & folder) {
    auto all = json::array();
    for (auto const * const name : {"adapter_config.json", "adapter_model.safetensors"}) {
        std::error_code code;
        auto const path = fs::path{folder} / name;
        auto const size = fs::file_size(path, code);
        all.push_back({fs::absolute(path).lexically_normal().string(), size,
                       fs::last_write_time(path, code).time_since_epoch().count()});
    }
    return all;
}
std::vector<std::string> names_of(peft_folder const & folder) {
    std::vector<std::string> all;
    for (auto const & m : folder.modules())
        all.push_back(m.name);
    return all;
}
std::vector<std::string> modules_of(lathe::checkpoint const & model, std::string const & prefix) {
    std::vector<std::string> all;
    for (auto const & t : model.tensors())
        if (t.name.ends_with(".weight"))
            all.push_back(prefix + t.name.substr(0, t.name.size() - 7));
    return all;
}
/// Extents of A and B that are not matrices: of the kernel of a convolution.
lathe::shape kernel_of(peft_folder const & folder, peft_module const & m) {
    if (!m.a)
        return {};
    auto const & e = folder.tensors().tensors()[*m.a].extents;
    return {e.begin() + 2, e.end()};
}
module_tensors tensors_of(peft_folder const & folder, peft_module const & m) {
    module_tensors t{.name = m.name, .embedding = m.embedding_a.has_value(), .kernel = kernel_of(folder, m)};
    if (m.bias)
        t.bias = read_values(folder.tensors(), *m.bias);
    return t;
}
std::string counted(std::size_t n, std::string const & what) {
    return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
}

// ---- init
// ------------------------------------------------------------------------------------------------------------

/// A method of the registry without its types.
struct start_entry {
    std::string_view name, summary;
    lathe::registry::weight_use base;
    std::vector<field_description> fields;
    json (*complete)(json const & given); ///< the defaults, overlaid
    bool embeddings;
};
std::vector<start_entry> const & start_methods() {
    static auto const all = [] {
        std::vector<start_entry> entries;
        lathe::registry::for_each_method(lathe::registry::adaptation_methods, [&]<class M>(std::type_identity<M>) {
            using options = typename M::options;
            entries.push_back({M::name, M::summary, M::base, describe<options>(), [](json const & given) {
                return to_json(options_from<options>(given));
            }, M::name == "lora" || M::name == "rslora"});
        });
        return entries;
    }();
    return all;
}
bool has_field(start_entry const & method, std::string_view name) {
    return std::ranges::find(method.fields, name, &field_description::name) != method.fields.end();
}

int init(start_entry const & method, json const & given, init_settings const & s, target_settings const & where,
         writing_settings const & writing, run_settings const & how) {
    using lathe::registry::weight_use;
    if (s.base.empty())
        throw usage_error{"BASE: found nothing, expected a checkpoint"};
    bool const changes = method.base == weight_use::replaced || method.base == weight_use::truncated;
    if (method.base == weight_use::replaced && !s.residual)
        throw usage_error{"--residual: found nothing, expected where the base goes that " + std::string{method.name}
                          + " leaves, which the adapter belongs to"};
    if (!changes && s.residual)
        throw usage_error{"--residual: found " + *s.residual + ", but " + std::string{method.name}
                          + " leaves the base as it is"};
    auto options = method.complete(given);
    if (how.seed && has_field(method, "seed"))
        options["seed"] = *how.seed;
    if (how.seed && has_field(method, "sketch"))
        options["sketch"]["seed"] = *how.seed;

    auto const base = open_input(s.base);
    auto const targets = find_targets(*base.file, where);
    if (s.residual) {
        expect_separate(names_folder(*s.residual) ? *s.residual + "/" : *s.residual, std::span{&base, 1});
        if (journal_folder(writing.output) == journal_folder(*s.residual))
            throw usage_error{"--residual: found " + *s.residual
                              + ", which is where the adapter goes; choose another path"};
    }
    for (auto const & t : targets)
        if (t.embedding && !method.embeddings)
            throw usage_error{"--target-modules: found the embedding " + t.module
                              + ", expected linear layers and convolutions for " + std::string{method.name}};
    if (s.lora_bias
        && (has_field(method, "dialect") || method.name == "dora" || method.name == "adalora"
            || std::ranges::any_of(targets, &target::embedding)))
        throw usage_error{"--lora-bias: expected plain LoRA of linear layers and convolutions"};
    for (auto const & t : targets) // PEFT knows these for linear layers only
        if (!t.kernel.empty() && (method.name == "dora" || method.name == "kasa" || method.name == "adalora"))
            throw usage_error{"--target-modules: found the convolution " + t.module + ", expected linear layers for "
                              + std::string{method.name}};
    lathe::io::peft_config config;
    config.r = s.rank;
    config.lora_alpha = 0;
    config.rank_pattern = s.rank_pattern;
    config.alpha_pattern = s.alpha_pattern;
    auto const rank_of = [&](std::string const & module) { return config.rank_of(module); };
    auto const alpha_of = [&](std::string const & module) {
        if (auto const given_alpha = config.alpha_of(module); given_alpha != 0)
            return given_alpha;
        return s.alpha.value_or(static_cast<double>(rank_of(module)));
    };
    if (method.name == "melora" && options["alphas"].empty())
        for (auto const & r : options["ranks"])
            options["alphas"].push_back(r.get<double>());

    adapt_run run("init", writing, how,
                  {{"method", method.name},
                   {"options", options},
                   {"settings", to_json(s)},
                   {"targets", to_json(where)},
                   {"base", identity_of(base)}},
                  {{"base", s.base}});
    std::uint64_t work = 0;
    for (auto const & t : targets)
        work += base.file->tensors()[t.tensor].bytes();
    run.begin(s.residual ? std::optional<checkpoint_output>({*s.residual, base}) : std::nullopt, work);

    auto const start = [&](target const & t) {
        auto const & info = base.file->tensors()[t.tensor];
        module_tensors tensors{
            .name = t.module, .embedding = t.embedding, .adalora = method.name == "adalora", .kernel = t.kernel};
        run.module(info.name, s.residual ? std::optional{t.tensor} : std::nullopt, info.bytes(), tensors,
                   [&](module_tensors & parts) {
            auto const since = clock::now();
            if (s.lora_bias)
                parts.bias.assign(t.shape.outputs, 0.0);
            auto & bench = run.bench_for(info.type);
            try {
                if (method.base != weight_use::extents || s.residual)
                    bench.load(*base.file, t.tensor, t.shape);
                auto made = bench.start(method.name, options, t.module, t.shape, t.embedding, rank_of(t.module),
                                        alpha_of(t.module));
                if (s.residual)
                    bench.store(run.sink(), info, t.tensor);
                auto row = row_of(t.module, info.extents, made, since);
                return std::pair{std::move(made.adapter), std::move(row)};
            } catch (lathe::option_error const & e) {
                throw lathe::option_error{"tensor '" + info.name + "': " + e.what()};
            } catch (lathe::non_finite_error const & e) {
                throw lathe::non_finite_error{"tensor '" + info.name + "': " + e.what()};
            }
        });
    };
    if (s.residual) {
        auto next = targets.begin();
        for (std::size_t i = 0; i != base.file->tensors().size(); ++i)
            if (next != targets.end() && next->tensor == i)
                start(*next++);
            else
                run.tensor(i, 0, [] { return json(nullptr); });
        run.finish_checkpoint();
    } else
        for (auto const & t : targets)
            start(t);

    std::vector<std::string> names;
    names.reserve(targets.size());
    for (auto const & t : targets)
        names.push_back(t.module);
    lathe::io::peft_config out;
    out.base_model_name_or_path = writing.base_name.value_or(s.residual.value_or(s.base));
    out.task_type = writing.task_type;
    out.target_modules = target_names(names, modules_of(*base.file, where.module_prefix));
    out.fan_in_fan_out = where.fan_in_fan_out;
    out.lora_bias = s.lora_bias;
    out.use_dora = method.name == "dora";
    out.use_rslora = method.name == "rslora" || (options.contains("rule") && options["rule"] == "rslora");
    auto entries = run.entries();
    if (method.name == "kasa")
        out.kasa = std::pair{options["beta"].get<double>(), options["gamma"].get<double>()};
    if (method.name != "melora")
        for (auto & e : entries)
            e.alpha = alpha_of(e.name);
    set_ranks(out, entries);
    if (method.name == "adalora") {
        out.peft_type = "ADALORA";
        auto const o = options_from<lathe::adapt::adalora_options>(options);
        out.adalora = lathe::io::peft_adalora{s.rank,        o.target_rank, o.tinit, o.tfinal,       o.delta_t,
                                              o.total_steps, o.beta1,       o.beta2, o.orthogonality};
        if (!out.rank_pattern.empty())
            throw usage_error{"--rank-pattern: found ranks that differ, expected one rank for adalora"};
    }
    run.finish_adapter(out);
    run.finish(std::string{method.name} + ": adapters for " + counted(targets.size(), "weight") + " -> "
               + writing.output + (s.residual ? ", base -> " + *s.residual : ""));
    return 0;
}

// ---- merge, unmerge
// --------------------------------------------------------------------------------------------------

int merge_into(merge_into_settings const & s, writing_settings const & writing, run_settings const & how,
               bool backwards) {
    if (s.base.empty() || s.adapter.empty())
        throw usage_error{"BASE, --adapter: found nothing, expected a checkpoint and folders of adapters"};
    auto weights = s.weights;
    if (weights.empty())
        weights.assign(s.adapter.size(), 1.0);
    if (weights.size() != s.adapter.size())
        throw usage_error{"--weights: found " + std::to_string(weights.size()) + ", expected one for each of "
                          + std::to_string(s.adapter.size()) + " adapters"};
    auto const base = open_input(s.base);
    if (!writing.output.empty())
        expect_separate(names_folder(writing.output) ? writing.output + "/" : writing.output, std::span{&base, 1});

    /// What is done to one tensor of the base.
    struct change {
        std::size_t adapter;
        peft_module const * module;          ///< of an adapter, or
        std::optional<std::size_t> in_place; ///< a tensor that takes its place
        bool bias;
    };
    std::vector<std::unique_ptr<peft_folder>> folders;
    std::vector<std::vector<change>> changes(base.file->tensors().size());
    std::vector<std::string> notes;
    auto identities = json::array();
    for (std::size_t k = 0; k != s.adapter.size(); ++k) {
        identities.push_back(identity_of(s.adapter[k]));
        auto & folder = *folders.emplace_back(std::make_unique<peft_folder>(s.adapter[k]));
        bool const alone = folder.config().kasa || std::ranges::any_of(folder.modules(), [](peft_module const & m) {
            return m.magnitude.has_value();
        });
        if (alone && (s.adapter.size() != 1 || weights[k] != 1))
            throw usage_error{s.adapter[k] + ": " + (folder.config().kasa ? "KaSA" : "DoRA")
                              + " depends on the whole weight; it can be merged alone only, with weight 1"};
        if (backwards && folder.config().use_dora)
            throw usage_error{s.adapter[k]
                              + ": DoRA cannot be unmerged: the norms of the weight that it divided by are lost"};
        module_names const names(*base.file, names_of(folder));
        for (auto const & m : folder.modules()) {
            auto const at = *base.file->find(names.tensor(m.name, "weight"));
            static_cast<void>(shape_of(base.file->tensors()[at], m, folder.config()));
            changes[at].push_back({k, &m, std::nullopt, false});
            if (!m.bias)
                continue;
            auto const bias = base.file->find(names.tensor(m.name, "bias"));
            if (!bias || base.file->tensors()[*bias].extents != lathe::shape{m.outputs})
                throw lathe::mismatch_error{s.base + ": no tensor '" + names.tensor(m.name, "bias") + "' of shape ["
                                            + std::to_string(m.outputs) + "], which the adapter adds to"};
            changes[*bias].push_back({k, &m, std::nullopt, true});
        }
        static constexpr std::string_view prefix = "base_model.model.";
        for (auto const i : folder.others()) {
            auto const & t = folder.tensors().tensors()[i];
            auto const whole = t.name.starts_with(prefix) ? names.whole(std::string_view{t.name}.substr(prefix.size()))
                                                          : std::string{};
            auto const at = base.file->find(whole);
            if (!at || base.file->tensors()[*at].extents != t.extents)
                throw lathe::mismatch_error{s.adapter[k] + ": tensor '" + t.name
                                            + "' is of no adapter, and the base has none of its name and shape"};
            if (backwards)
                throw usage_error{s.adapter[k] + ": tensor '" + t.name
                                  + "' took the place of the base's when it was merged; that one is lost"};
            changes[*at].push_back({k, nullptr, i, false});
        }
    }

    auto settings = to_json(s);
    adapt_run run(backwards ? "unmerge" : "merge", writing, how,
                  {{"settings", std::move(settings)}, {"base", identity_of(base)}, {"adapters", std::move(identities)}},
                  {{"base", s.base}, {"adapter", s.adapter}});
    std::uint64_t work = 0;
    for (auto const & t : base.file->tensors())
        work += t.bytes();
    run.begin(checkpoint_output{writing.output, base}, work);
    for (std::size_t i = 0; i != changes.size(); ++i) {
        auto const & info = base.file->tensors()[i];
        run.tensor(i, info.bytes(), [&]() -> json {
            auto const & todo = changes[i];
            if (todo.empty())
                return nullptr;
            auto const since = clock::now();
            if (todo.front().in_place) {
                auto const values = read_values(folders[todo.front().adapter]->tensors(), *todo.front().in_place);
                lathe::window_buffer buffer;
                auto const bytes = run.sink().window(i, 0, info.bytes(), buffer);
                lathe::host::store(info.type, values.data(), values.size(), bytes.data());
                run.sink().commit(i, 0, bytes);
                return {{"module", info.name},
                        {"shape", info.extents},
                        {"rank", 0},
                        {"scaling", nullptr},
                        {"seconds", std::chrono::duration<double>(clock::now() - since).count()},
                        {"energy_kept", nullptr},
                        {"error_bound", nullptr},
                        {"status", "replaced"}};
            }
            if (todo.front().bias) {
                auto values = read_values(*base.file, i);
                adapter_values none;
                for (auto const & c : todo) {
                    auto const b = read_values(folders[c.adapter]->tensors(), *c.module->bias);
                    none.scaling = c.module->scaling;
                    for (std::size_t j = 0; j != values.size(); ++j)
                        values[j] += (backwards ? -1 : 1) * weights[c.adapter] * c.module->scaling * b[j];
                }
                lathe::window_buffer buffer;
                auto const bytes = run.sink().window(i, 0, info.bytes(), buffer);
                lathe::host::store(info.type, values.data(), values.size(), bytes.data());
                run.sink().commit(i, 0, bytes);
                return row_of(info.name, info.extents, none, std::nan(""), std::nan(""), lathe::status::converged,
                              since);
            }
            auto & bench = run.bench_for(info.type);
            adapter_values last;
            double energy = std::nan("");
            bench.load(*base.file, i, shape_of(info, *todo.front().module, folders[todo.front().adapter]->config()));
            for (auto const & c : todo) {
                auto const & folder = *folders[c.adapter];
                auto const values = read_adapter(folder, *c.module);
                if (folder.config().kasa && !backwards)
                    bench.truncate(values.rank, {.dialect = s.kasa_dialect});
                if (!values.magnitude.empty())
                    bench.merge_dora(values);
                else
                    bench.add(values, (backwards ? -1 : 1) * weights[c.adapter]);
                last.rank += values.rank;
                last.scaling = values.scaling;
            }
            bench.store(run.sink(), info, i);
            return row_of(todo.front().module->name, info.extents, last, energy, std::nan(""), lathe::status::converged,
                          since);
        });
    }
    run.finish_checkpoint();
    std::size_t modules = 0;
    for (auto const & c : changes)
        modules += c.empty() ? 0 : 1;
    run.finish(counted(s.adapter.size(), "adapter") + (backwards ? " unmerged from " : " merged into ")
               + counted(modules, "tensor") + " -> " + writing.output);
    return 0;
}

// ---- combine, convert, extract
// ---------------------------------------------------------------------------------------

lathe::io::peft_config plain_config(peft_folder const & of, writing_settings const & writing) {
    auto const & c = of.config();
    lathe::io::peft_config out;
    out.base_model_name_or_path = writing.base_name.value_or(c.base_model_name_or_path);
    out.task_type = writing.task_type ? writing.task_type : c.task_type;
    out.fan_in_fan_out = c.fan_in_fan_out;
    out.lora_bias = c.lora_bias;
    out.target_modules = c.target_modules;
    out.target_pattern = c.target_pattern;
    return out;
}
lathe::dtype widest_type(peft_folder const & folder) {
    for (auto const & t : folder.tensors().tensors())
        if (t.type == lathe::dtype::f64)
            return t.type;
    return lathe::dtype::f32;
}

int combine(adapters_settings const & s, lathe::adapt::combine_options options, writing_settings const & writing,
            run_settings const & how) {
    if (s.adapters.empty())
        throw usage_error{"ADAPTERS: found none, expected folders of adapters"};
    if (how.seed)
        options.seed = *how.seed;
    std::vector<std::unique_ptr<peft_folder>> folders;
    auto identities = json::array();
    std::map<std::string, std::vector<std::pair<std::size_t, peft_module const *>>> modules;
    for (std::size_t k = 0; k != s.adapters.size(); ++k) {
        expect_other_folder(writing.output, s.adapters[k]);
        identities.push_back(identity_of(s.adapters[k]));
        auto & folder = *folders.emplace_back(std::make_unique<peft_folder>(s.adapters[k]));
        for (auto const & m : folder.modules()) {
            if (m.magnitude || folder.config().kasa)
                throw usage_error{s.adapters[k] + ": " + (m.magnitude ? "DoRA" : "KaSA")
                                  + " is more than a product of low rank; lathe adapt convert makes a LoRA of it"};
            modules[m.name].emplace_back(k, &m);
        }
        if (!folder.others().empty())
            throw usage_error{s.adapters[k] + ": tensor '" + folder.tensors().tensors()[folder.others().front()].name
                              + "' is of no adapter; expected adapters only"};
    }
    auto weights = options.weights.empty() ? std::vector<double>(s.adapters.size(), 1.0) : options.weights;
    if (weights.size() != s.adapters.size())
        throw usage_error{"--weights: found " + std::to_string(weights.size()) + ", expected one for each of "
                          + std::to_string(s.adapters.size()) + " adapters"};
    adapt_run run("combine", writing, how, {{"options", to_json(options)}, {"adapters", std::move(identities)}},
                  {{"adapters", s.adapters}});
    run.begin(std::nullopt, modules.size());
    std::vector<std::string> names;
    bool any_bias = false;
    for (auto const & [name, all] : modules) {
        names.push_back(name);
        auto const & first = *folders[all.front().first];
        auto tensors = tensors_of(first, *all.front().second);
        tensors.bias.clear();
        any_bias = any_bias || std::ranges::any_of(all, [](auto const & p) { return p.second->bias.has_value(); });
        run.module(name, std::nullopt, 1, std::move(tensors), [&](module_tensors & t) {
            auto const since = clock::now();
            std::vector<adapter_values> values;
            auto here = options;
            here.weights.clear();
            here.seed ^= lathe::random::fnv1a(name);
            for (auto const & [k, m] : all) {
                if (kernel_of(*folders[k], *m) != t.kernel || m->embedding_a.has_value() != t.embedding
                    || m->outputs != all.front().second->outputs || m->inputs != all.front().second->inputs)
                    throw lathe::mismatch_error{s.adapters[k] + ": module '" + name + "' has another shape than in "
                                                + s.adapters[all.front().first]};
                values.push_back(read_adapter(*folders[k], *m));
                here.weights.push_back(weights[k]);
                if (m->bias) { // a change of the bias adds up, whatever the kind; the result has scaling 1
                    auto const b = read_values(folders[k]->tensors(), *m->bias);
                    t.bias.resize(b.size());
                    for (std::size_t j = 0; j != b.size(); ++j)
                        t.bias[j] += weights[k] * m->scaling * b[j];
                }
            }
            if (any_bias && t.bias.empty())
                t.bias.resize(all.front().second->outputs);
            auto made = run.bench_for(widest_type(first)).combine(values, here);
            auto row = row_of(name, {made.adapter.outputs, made.adapter.inputs}, made, since);
            return std::pair{std::move(made.adapter), std::move(row)};
        });
    }
    auto config = plain_config(*folders.front(), writing);
    config.lora_bias = any_bias;
    config.target_pattern.reset();
    config.target_modules = names;
    set_ranks(config, run.entries());
    run.finish_adapter(std::move(config));
    run.finish(counted(s.adapters.size(), "adapter") + " combined in " + counted(modules.size(), "module") + " -> "
               + writing.output);
    return 0;
}

int convert(convert_settings const & s, writing_settings const & writing, run_settings const & how) {
    if (s.adapter.empty())
        throw usage_error{"ADAPTER: found nothing, expected the folder of an adapter"};
    expect_other_folder(writing.output, s.adapter);
    peft_folder const folder(s.adapter);
    bool const dora =
        std::ranges::any_of(folder.modules(), [](peft_module const & m) { return m.magnitude.has_value(); });
    bool const kasa = folder.config().kasa.has_value();
    if ((dora || kasa) && !s.base)
        throw usage_error{"--base: found nothing, expected the original checkpoint, which "
                          + std::string{dora ? "DoRA" : "KaSA"} + " depends on"};
    if (!dora && !kasa && s.base)
        throw usage_error{"--base: found " + *s.base + ", but the adapter is neither KaSA nor DoRA"};
    if (dora && s.rank == 0)
        throw usage_error{"--rank: found nothing, expected one: what DoRA changes is of full rank"};
    if (s.initial && (dora || kasa))
        throw usage_error{"--initial: found " + *s.initial + ", expected none for KaSA and DoRA"};
    if (!folder.others().empty())
        throw usage_error{s.adapter + ": tensor '" + folder.tensors().tensors()[folder.others().front()].name
                          + "' is of no adapter; expected adapters only"};
    std::optional<input> base;
    std::optional<module_names> names;
    if (s.base) {
        base.emplace(open_input(*s.base));
        names.emplace(*base->file, names_of(folder));
    }
    std::optional<peft_folder> initial;
    if (s.initial)
        initial.emplace(*s.initial);
    adapt_run run("convert", writing, how,
                  {{"settings", to_json(s)},
                   {"adapter", identity_of(s.adapter)},
                   {"initial", s.initial ? identity_of(*s.initial) : json(nullptr)},
                   {"base", base ? identity_of(*base) : json(nullptr)}},
                  {{"adapter", s.adapter}, {"base", s.base}, {"initial", s.initial}});
    run.begin(std::nullopt, folder.modules().size());
    for (auto const & m : folder.modules()) {
        auto tensors = tensors_of(folder, m);
        for (auto & b : tensors.bias) // the result has scaling 1, unless it stays as it is
            b *= m.scaling;
        run.module(m.name, std::nullopt, 1, std::move(tensors), [&](module_tensors & t) {
            auto const since = clock::now();
            auto const values = read_adapter(folder, m);
            std::optional<made_adapter> made;
            auto type = widest_type(folder);
            lathe::shape shape{m.outputs, m.inputs};
            if (base) {
                auto const at = *base->file->find(names->tensor(m.name, "weight"));
                auto const & info = base->file->tensors()[at];
                shape = info.extents;
                type = info.type;
                auto & bench = run.bench_for(type);
                bench.load(*base->file, at, shape_of(info, m, folder.config()));
                if (kasa)
                    made.emplace(bench.kasa_to_lora(values, {.dialect = s.kasa_dialect}));
                else {
                    if (!values.magnitude.empty())
                        bench.merge_dora(values);
                    else
                        bench.add(values, 1);
                    bench.subtract(*base->file, at);
                    made.emplace(bench.extract({.max_rank = s.rank}));
                }
            } else if (initial) {
                auto const before = std::ranges::find(initial->modules(), m.name, &peft_module::name);
                if (before == initial->modules().end() || before->outputs != m.outputs || before->inputs != m.inputs)
                    throw lathe::mismatch_error{*s.initial + ": no module '" + m.name + "' of this shape"};
                std::array const both{values, read_adapter(*initial, *before)};
                lathe::adapt::combine_options const difference{.weights = {1, -1}};
                made.emplace(run.bench_for(type).combine(both, difference));
            } else if (!values.sigma.empty())
                made.emplace(run.bench_for(type).combine(std::span{&values, 1}, {}));
            else {
                if (s.rank == 0 && m.scaling != 0) // as it is
                    for (auto & b : t.bias)
                        b /= m.scaling;
                auto const none = std::numeric_limits<double>::quiet_NaN();
                made.emplace(made_adapter{values, false, none, none, lathe::status::converged});
            }
            if (s.rank != 0 && !dora && made->adapter.rank > s.rank) {
                auto const all = norm_of(made->adapter);
                auto const bound = made->error_bound;
                made.emplace(run.bench_for(type).compress(made->adapter, s.rank));
                auto const kept = norm_of(made->adapter);
                made->energy = all > 0 ? kept * kept / (all * all) : 1;
                made->error_bound = bound;
            } else if (s.rank != 0 && made->adapter.scaling != 1) { // the bias is for scaling 1
                for (auto & x : made->adapter.b)
                    x *= made->adapter.scaling;
                made->adapter.scaling = 1;
            }
            auto row = row_of(m.name, shape, *made, since);
            return std::pair{std::move(made->adapter), std::move(row)};
        });
    }
    auto config = plain_config(folder, writing);
    set_ranks(config, run.entries());
    run.finish_adapter(std::move(config));
    run.finish("LoRA for " + counted(folder.modules().size(), "module") + " -> " + writing.output);
    return 0;
}

int extract(extract_settings const & s, lathe::adapt::extract_options const & options, target_settings const & where,
            writing_settings const & writing, run_settings const & how) {
    if (s.base.empty() || s.finetuned.empty())
        throw usage_error{"BASE, FINETUNED: found nothing, expected two checkpoints"};
    auto const base = open_input(s.base), finetuned = open_input(s.finetuned);
    auto const targets = find_targets(*base.file, where);
    for (auto const & t : targets) {
        auto const & info = base.file->tensors()[t.tensor];
        auto const at = finetuned.file->find(info.name);
        if (!at || finetuned.file->tensors()[*at].extents != info.extents)
            throw lathe::mismatch_error{s.finetuned + ": no tensor '" + info.name + "' of shape "
                                        + lathe::to_string(info.extents)};
    }
    adapt_run run("extract", writing, how,
                  {{"options", to_json(options)},
                   {"targets", to_json(where)},
                   {"base", identity_of(base)},
                   {"finetuned", identity_of(finetuned)}},
                  {{"base", s.base}, {"finetuned", s.finetuned}});
    std::uint64_t work = 0;
    for (auto const & t : targets)
        work += base.file->tensors()[t.tensor].bytes();
    run.begin(std::nullopt, work);
    for (auto const & t : targets) {
        auto const & info = base.file->tensors()[t.tensor];
        module_tensors const tensors{.name = t.module, .embedding = t.embedding, .kernel = t.kernel};
        run.module(info.name, std::nullopt, info.bytes(), tensors, [&](module_tensors &) {
            auto const since = clock::now();
            auto const at = *finetuned.file->find(info.name);
            auto & bench =
                run.bench_for(info.type == lathe::dtype::f64 ? info.type : finetuned.file->tensors()[at].type);
            bench.load(*finetuned.file, at, t.shape);
            bench.subtract(*base.file, t.tensor);
            auto made = bench.extract(options);
            auto row = row_of(t.module, info.extents, made, since);
            return std::pair{std::move(made.adapter), std::move(row)};
        });
    }
    std::vector<std::string> names;
    for (auto const & e : run.entries())
        names.push_back(e.name);
    lathe::io::peft_config config;
    config.base_model_name_or_path = writing.base_name.value_or(s.base);
    config.task_type = writing.task_type;
    config.fan_in_fan_out = where.fan_in_fan_out;
    config.target_modules = target_names(names, modules_of(*base.file, where.module_prefix));
    set_ranks(config, run.entries());
    run.finish_adapter(std::move(config));
    run.finish("adapters for " + counted(names.size(), "weight") + " of " + std::to_string(targets.size()) + " -> "
               + writing.output);
    return 0;
}

// ---- inspect
// ---------------------------------------------------------------------------------------------------------

int inspect(std::string const & path, bool as_json) {
    if (path.empty())
        throw usage_error{"ADAPTER: found nothing, expected the folder of an adapter"};
    peft_folder const folder(path);
    auto rows = json::array();
    std::size_t parameters = 0;
    for (auto const & t : folder.tensors().tensors())
        parameters += t.count();
    std::string text = "module  outputs x inputs  rank  scaling  |change|\n";
    for (auto const & m : folder.modules()) {
        auto const values = read_adapter(folder, m);
        auto const norm = norm_of(values);
        rows.push_back({{"module", m.name},
                        {"outputs", m.outputs},
                        {"inputs", m.inputs},
                        {"rank", m.rank},
                        {"scaling", m.scaling},
                        {"sigma", !values.sigma.empty()},
                        {"magnitude", !values.magnitude.empty()},
                        {"bias", m.bias.has_value()},
                        {"embedding", m.embedding_a.has_value()},
                        {"kernel", kernel_of(folder, m)},
                        {"norm", number_or_null(norm)}});
        text += lathe::io::printable(m.name, 200) + "  " + std::to_string(m.outputs) + " x " + std::to_string(m.inputs)
                + "  " + std::to_string(m.rank) + "  " + shown(json(m.scaling), "%.6g") + "  "
                + shown(number_or_null(norm), "%.6g") + (values.sigma.empty() ? "" : "  sigma")
                + (values.magnitude.empty() ? "" : "  magnitude") + (m.bias ? "  bias" : "") + "\n";
    }
    auto const & c = folder.config();
    auto others = json::array();
    for (auto const i : folder.others())
        others.push_back(folder.tensors().tensors()[i].name);
    if (as_json) {
        print_json({{"lathe", version()},
                    {"command", "adapt inspect"},
                    {"adapter", path},
                    {"config", json::parse(lathe::io::to_json(c))},
                    {"parameters", parameters},
                    {"modules", std::move(rows)},
                    {"others", std::move(others)}});
        return 0;
    }
    text += "\n" + c.peft_type
            + (c.kasa         ? " (KaSA)"
               : c.use_dora   ? " (DoRA)"
               : c.use_rslora ? " (rsLoRA)"
                              : "")
            + ", " + counted(folder.modules().size(), "module") + ", " + std::to_string(parameters)
            + " parameters, for " + lathe::io::printable(c.base_model_name_or_path, 400) + "\n";
    for (auto const & name : others)
        text += "of no adapter: " + lathe::io::printable(name.get<std::string>(), 200) + "\n";
    print(text);
    return 0;
}

// ---- the command line
// ------------------------------------------------------------------------------------------------

struct adapt_flags {
    option_flags settings, targets, options, writing, run;
};
constexpr spelling adapt_spellings[] = {
    {"output", "-o,--output"}, {"base", "BASE"}, {"finetuned", "FINETUNED"}, {"adapters", "ADAPTERS"}};
constexpr spelling convert_spellings[] = {{"adapter", "ADAPTER"}};

} // namespace

action add_adapt(CLI::App & app) {
    auto & sub = *app.add_subcommand("adapt", "Low-rank adapters of whole checkpoints, in PEFT's files");
    sub.require_subcommand(0, 1);
    sub.allow_extras();
    struct entry {
        CLI::App * app;
        std::shared_ptr<adapt_flags> flags;
        std::function<int(adapt_flags const &)> run;
    };
    auto entries = std::make_shared<std::vector<entry>>();
    using names = std::vector<std::string_view>;
    auto const writing_flags = [](CLI::App & to, adapt_flags & f, names const & without, bool method = false) {
        f.writing.add(to, "Files", describe<writing_settings>(), {.spellings = adapt_spellings, .without = without});
        static constexpr std::string_view seed[] = {"seed"};
        f.run.add(to, "Running", describe<run_settings>(),
                  {.without = std::ranges::find(without, "draws") == without.end() ? std::span<std::string_view const>{}
                                                                                   : std::span{seed}});
        add_configuration(to, {{&f.settings, &f.targets, &f.writing}, {&f.options}, &f.run}, method);
        to.allow_extras();
    };
    auto const writing_of = [](adapt_flags const & f) { return options_from<writing_settings>(f.writing.given()); };
    auto const running_of = [](adapt_flags const & f) { return options_from<run_settings>(f.run.given()); };

    auto & init_app = *sub.add_subcommand("init", "Begin adapters: lathe adapt init METHOD BASE -o ADAPTER");
    init_app.require_subcommand(0, 1);
    init_app.allow_extras();
    for (auto const & method : start_methods()) {
        auto & own = *init_app.add_subcommand(std::string{method.name}, std::string{method.summary});
        if (auto name = std::string{method.name}; name.find('_') != name.npos) {
            std::ranges::replace(name, '_', '-');
            own.alias(name);
        }
        auto f = std::make_shared<adapt_flags>();
        f->settings.add(own, "Adapters", describe<init_settings>(), {.spellings = adapt_spellings});
        f->targets.add(own, "Targets", describe<target_settings>());
        static constexpr std::string_view hidden[] = {"alpha", "seed", "fan_in_fan_out", "initial_rank"};
        f->options.add(own, "Options of " + std::string{method.name}, method.fields, {.without = hidden});
        writing_flags(own, *f, {}, true);
        entries->push_back({&own, f, [&method, writing_of, running_of](adapt_flags const & x) {
            return init(method, x.options.given(), options_from<init_settings>(x.settings.given()),
                        options_from<target_settings>(x.targets.given()), writing_of(x), running_of(x));
        }});
    }
    for (bool const backwards : {false, true}) {
        auto & own = *sub.add_subcommand(backwards ? "unmerge" : "merge",
                                         backwards ? "Take adapters out of a checkpoint that they were merged into"
                                                   : "Merge adapters into a checkpoint");
        auto f = std::make_shared<adapt_flags>();
        f->settings.add(own, "Adapters", describe<merge_into_settings>(), {.spellings = adapt_spellings});
        writing_flags(own, *f, {"adapter_dtype", "base_name", "task_type", "draws"});
        entries->push_back({&own, f, [backwards, writing_of, running_of](adapt_flags const & x) {
            return merge_into(options_from<merge_into_settings>(x.settings.given()), writing_of(x), running_of(x),
                              backwards);
        }});
    }
    {
        auto & own = *sub.add_subcommand("combine", "One adapter for a weighted sum of several");
        auto f = std::make_shared<adapt_flags>();
        f->settings.add(own, "Adapters", describe<adapters_settings>(), {.spellings = adapt_spellings});
        static constexpr std::string_view hidden[] = {"masks_a", "masks_b", "masks", "seed"};
        f->options.add(own, "Options of combine", describe<lathe::adapt::combine_options>(), {.without = hidden});
        writing_flags(own, *f, {"max_shard_size", "copy_side_files"});
        entries->push_back({&own, f, [writing_of, running_of](adapt_flags const & x) {
            return combine(options_from<adapters_settings>(x.settings.given()),
                           options_from<lathe::adapt::combine_options>(x.options.given()), writing_of(x),
                           running_of(x));
        }});
    }
    {
        auto & own = *sub.add_subcommand("convert", "A plain LoRA for the original base, of any adapter");
        auto f = std::make_shared<adapt_flags>();
        f->settings.add(own, "Adapters", describe<convert_settings>(), {.spellings = convert_spellings});
        writing_flags(own, *f, {"max_shard_size", "copy_side_files", "draws"});
        entries->push_back({&own, f, [writing_of, running_of](adapt_flags const & x) {
            return convert(options_from<convert_settings>(x.settings.given()), writing_of(x), running_of(x));
        }});
    }
    {
        auto & own = *sub.add_subcommand("extract", "An adapter for what fine-tuning did");
        auto f = std::make_shared<adapt_flags>();
        f->settings.add(own, "Checkpoints", describe<extract_settings>(), {.spellings = adapt_spellings});
        f->targets.add(own, "Targets", describe<target_settings>());
        f->options.add(own, "Options of extract", describe<lathe::adapt::extract_options>());
        writing_flags(own, *f, {"max_shard_size", "copy_side_files", "draws"});
        entries->push_back({&own, f, [writing_of, running_of](adapt_flags const & x) {
            return extract(options_from<extract_settings>(x.settings.given()),
                           options_from<lathe::adapt::extract_options>(x.options.given()),
                           options_from<target_settings>(x.targets.given()), writing_of(x), running_of(x));
        }});
    }
    auto & inspect_app = *sub.add_subcommand("inspect", "List the modules of an adapter; fails on a bad folder");
    auto inspect_path = std::make_shared<std::string>();
    auto inspect_json = std::make_shared<bool>(false);
    inspect_app.add_option("ADAPTER", *inspect_path, "the folder of the adapter");
    inspect_app.add_flag("--json", *inspect_json, "print JSON");
    inspect_app.allow_extras();

    return [&sub, &init_app, &inspect_app, inspect_path, inspect_json, entries] {
        for (auto const & e : *entries)
            if (e.app->parsed()) {
                expect_nothing_left(*e.app);
                return continuing([&] { return e.run(*e.flags); });
            }
        if (inspect_app.parsed()) {
            expect_nothing_left(inspect_app);
            return inspect(*inspect_path, *inspect_json);
        }
        if (init_app.parsed()) {
            std::vector<std::string_view> known;
            for (auto const & m : start_methods())
                known.push_back(m.name);
            auto const left = init_app.remaining();
            throw usage_error{left.empty() ? "adapt init: no method; see lathe adapt init --help"
                                           : "'" + left.front() + "': unknown method; "
                                                 + lathe::reflect::suggestion(left.front(), known)};
        }
        expect_nothing_left(sub);
        throw usage_error{
            "adapt: no command; known: init, merge, unmerge, combine, convert, extract, inspect; see lathe "
            "adapt --help"};
    };
}

} // namespace lathe_cli
