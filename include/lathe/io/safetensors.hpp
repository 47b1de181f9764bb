#pragma once
/// \file  Checkpoints in safetensors files, single or sharded, read and written as streams of windows.
///
///     auto from = lathe::io::open_checkpoint("model/");
///     lathe::io::save(*from, "copy.safetensors", {.max_shard_size = 5'000'000'000});
#include <lathe/io/file.hpp>
#include <lathe/io/safetensors_header.hpp>
#include <lathe/io/write_queue.hpp>

#include <memory>
#include <variant>

LATHE_NAMESPACE_BEGIN
namespace io {

/// How windows of a file reach the reader.
enum class access_mode : unsigned char {
    memory_map, ///< the file's own pages: nothing is copied
    block_read  ///< read into the caller's buffer; for file systems that map badly. Keeps every shard's file open
};

/// How a checkpoint is read.
struct read_options {
    access_mode access = access_mode::memory_map; ///< of every shard
    /// Mapped pages of a checkpoint that stay resident behind the reading position; 0 keeps all that was read.
    std::size_t resident_bytes = std::size_t{8} << 20;
};

/// One safetensors file. The header is read and checked by the constructor, the data when asked for.
///
/// Memory: the header's contents, and with a map options.resident_bytes. Calls of read() may run at the same time.
/// The file must not be shortened while it is mapped: touching what is gone is a fault (SIGBUS), not an exception.
class safetensors_file final : public checkpoint {
    std::string label_;
    safetensors_header header_;
    std::uint64_t data_begin_ = 0;
    std::variant<file, file_map> source_;
    std::shared_ptr<resident_window> resident_;

    std::variant<file, file_map> open(std::filesystem::path const & path, access_mode access) {
        auto opened = file::open(path);
        auto const size = opened.size();
        std::array<std::byte, 8> first{};
        opened.read(std::span{first}.first(std::min<std::uint64_t>(size, 8)), 0);
        data_begin_ = 8 + header_length(first, size, label_);
        std::string text(data_begin_ - 8, '\0');
        opened.read(std::as_writable_bytes(std::span{text}), 8);
        header_ = parse_header(text, size - data_begin_, label_);
        if (access == access_mode::block_read)
            return opened;
        return file_map{opened, size};
    }

public:
    /// \param resident shared by files that are read in turn, such as the shards of one checkpoint; null makes one
    /// \throws io_error, format_error
    explicit safetensors_file(std::filesystem::path const & path, read_options const & options = {},
                              std::shared_ptr<resident_window> resident = nullptr)
        : label_{path.string()}, source_{open(path, options.access)},
          resident_{resident ? std::move(resident) : std::make_shared<resident_window>(options.resident_bytes)} {}
    ~safetensors_file() override {
        if (auto const * const map = std::get_if<file_map>(&source_))
            resident_->forget(map->bytes());
    }

    [[nodiscard]] std::span<tensor_info const> tensors() const override { return header_.tensors; }
    [[nodiscard]] std::string_view label() const override { return label_; }
    [[nodiscard]] std::map<std::string, std::string> const & metadata() const override { return header_.metadata; }
    std::span<std::byte const> read(std::size_t index, std::size_t first, std::size_t size,
                                    window_buffer & buffer) override {
        expects_shape(index < header_.tensors.size(), "safetensors_file::read: no tensor of that index");
        expects_window(header_.tensors[index], first, size);
        auto const offset = data_begin_ + header_.offsets[index] + first;
        if (auto const * const map = std::get_if<file_map>(&source_)) {
            auto const window = map->bytes().subspan(offset, size);
            resident_->touch(map->bytes(), window);
            return window;
        }
        auto const window = buffer.reserve(size);
        std::get<file>(source_).read(window, offset);
        return window;
    }
};

/// Reads {"metadata": ..., "weight_map": {tensor: shard}}.
///
/// metadata.total_size is passed over: published checkpoints carry wrong ones, and no reader relies on it.
class index_reader final : public json_events {
    std::string key_;
    bool in_map_ = false, seen_ = false;

    [[noreturn]] void reject_value(std::string_view found) {
        if (depth() == 1)
            reject(label_, "weight_map", found, "an object");
        reject(label_, "weight_map: tensor '" + printable(key_) + "'", found, "the name of a file");
    }
    void on_key(std::string & key) override {
        if (depth() == 1) {
            in_map_ = key == "weight_map";
            if (in_map_ && std::exchange(seen_, true))
                reject(label_, "names", "weight_map twice", "once");
        } else
            key_ = std::move(key);
    }
    bool on_open(std::string_view kind) override {
        if (depth() == 1)
            return true;
        if (!in_map_)
            return false;
        if (depth() == 2 && kind == "object")
            return true;
        if (depth() == 2)
            reject(label_, "weight_map", "an " + std::string{kind}, "an object");
        reject(label_, "weight_map: tensor '" + printable(key_) + "'", "an " + std::string{kind}, "the name of a file");
    }
    void on_close() override {}
    void on_unsigned(std::uint64_t n) override { on_other("number", std::to_string(n)); }
    void on_other(std::string_view, std::string const & written) override {
        if (in_map_ && depth() != 0)
            reject_value(printable(written));
    }
    void on_string(std::string & name) override {
        if (!in_map_)
            return;
        if (depth() == 1)
            reject_value("a string");
        // Shards lie beside the index: a name with folders in it could reach any file.
        if (name.empty() || name == "." || name == ".."
            || name.find_first_of(std::string_view{"/\\\0", 3}) != name.npos)
            reject_value("'" + printable(name) + "'");
        if (places.size() == safetensors_limits::tensors)
            reject(label_, "number of tensors", "more", "at most " + std::to_string(safetensors_limits::tensors));
        places.emplace_back(std::move(key_), files.emplace(std::move(name), 0).first);
    }

public:
    std::map<std::string, std::size_t> files; ///< names of the shards; the number is the reader's to use
    std::vector<std::pair<std::string, std::map<std::string, std::size_t>::iterator>> places; ///< tensor, its shard

    /// \param label what messages call the index
    explicit index_reader(std::string_view label) : json_events{label} {}
    /// After the parser: numbers the shards, sorts the tensors. \throws format_error
    void finish() {
        if (!seen_)
            reject(label_, "index", "no weight_map", "{\"weight_map\": {tensor: file}}");
        std::size_t n = 0;
        for (auto & [name, number] : files)
            number = n++;
        auto const name = [](auto const & p) { return std::string_view{p.first}; };
        std::ranges::sort(places, {}, name);
        if (auto const twice = std::ranges::adjacent_find(places, {}, name); twice != places.end())
            reject(label_, "weight_map", "tensor '" + printable(twice->first) + "' twice", "each name once");
    }
};

/// A checkpoint in several safetensors files, listed by an index (`*.safetensors.index.json`).
///
/// All headers are read and held against the index by the constructor. Shards share options.resident_bytes.
class sharded_checkpoint final : public checkpoint {
    struct place {
        std::size_t shard, index; ///< of the tensor in the shard
    };
    std::string label_;
    std::vector<std::unique_ptr<safetensors_file>> shards_;
    std::vector<tensor_info> tensors_;
    std::vector<place> places_;
    std::map<std::string, std::string> metadata_;

    static std::string read_text(std::filesystem::path const & path, std::string_view label) {
        auto const opened = file::open(path);
        auto const size = opened.size();
        if (size > safetensors_limits::header_bytes)
            reject(label, "file length", std::to_string(size) + " bytes",
                   "at most " + std::to_string(safetensors_limits::header_bytes) + " for an index");
        std::string text(size, '\0');
        opened.read(std::as_writable_bytes(std::span{text}), 0);
        return text;
    }
    /// The shards' tensors must be exactly those the index promises, each in its place.
    void match(index_reader const & index) {
        std::vector<place> found;
        for (std::size_t s = 0; s != shards_.size(); ++s)
            for (std::size_t i = 0; i != shards_[s]->tensors().size(); ++i)
                found.push_back({s, i});
        auto const info = [&](place p) -> tensor_info const & { return shards_[p.shard]->tensors()[p.index]; };
        std::ranges::sort(found, {}, [&](place p) { return std::pair{std::string_view{info(p).name}, p.shard}; });
        auto promised = index.places.begin();
        for (auto const p : found) {
            auto const & name = info(p).name;
            auto const & shard = shards_[p.shard]->label();
            if (promised != index.places.end() && promised->first < name)
                reject_missing(*promised);
            if (promised == index.places.end() || promised->first != name)
                reject(label_, "weight_map",
                       "no tensor '" + printable(name) + "', which " + std::string{shard} + " holds (again)",
                       "each tensor of each shard once");
            if (promised->second->second != p.shard)
                reject(label_, "weight_map",
                       "tensor '" + printable(name) + "' placed in " + printable(promised->second->first),
                       std::string{shard} + ", which holds it");
            tensors_.push_back(info(p));
            places_.push_back(p);
            ++promised;
        }
        if (promised != index.places.end())
            reject_missing(*promised);
    }
    [[noreturn]] void reject_missing(auto const & p) const {
        reject(label_, "weight_map", "tensor '" + printable(p.first) + "' placed in " + printable(p.second->first),
               "a tensor that this shard holds");
    }

public:
    /// Reads the index and the headers of all shards. \throws io_error, format_error
    explicit sharded_checkpoint(std::filesystem::path const & path, read_options const & options = {})
        : label_{path.string()} {
        index_reader index{label_};
        read_json(read_text(path, label_), label_, index);
        index.finish();
        auto const resident = std::make_shared<resident_window>(options.resident_bytes);
        for (auto const & [name, number] : index.files) {
            shards_.push_back(std::make_unique<safetensors_file>(folder_of(path) / name, options, resident));
            metadata_.insert(shards_.back()->metadata().begin(), shards_.back()->metadata().end());
        }
        match(index);
    }

    [[nodiscard]] std::span<tensor_info const> tensors() const override { return tensors_; }
    [[nodiscard]] std::string_view label() const override { return label_; }
    /// Of all shards; where they differ, of the first by name.
    [[nodiscard]] std::map<std::string, std::string> const & metadata() const override { return metadata_; }
    /// Files that the index names.
    [[nodiscard]] std::size_t shard_count() const noexcept { return shards_.size(); }
    /// The i-th of them by name.
    [[nodiscard]] safetensors_file const & shard(std::size_t i) const { return *shards_.at(i); }
    std::span<std::byte const> read(std::size_t index, std::size_t first, std::size_t size,
                                    window_buffer & buffer) override {
        expects_shape(index < places_.size(), "sharded_checkpoint::read: no tensor of that index");
        return shards_[places_[index].shard]->read(places_[index].index, first, size, buffer);
    }
};

/// The names one checkpoint has on disk: `<stem>.safetensors`, or `<stem>-00001-of-0000N.safetensors` and
/// `<stem>.safetensors.index.json`.
struct checkpoint_files {
    std::filesystem::path single; ///< what the user named; model.safetensors in a folder
    std::string stem;             ///< what the names of shards and index begin with

    /// \throws option_error for an empty path
    explicit checkpoint_files(std::filesystem::path const & path) : single{path} {
        expects_option(!path.empty(), "checkpoint", "an empty path", "a file or a folder");
        std::error_code code;
        if (!path.has_filename() || std::filesystem::is_directory(path, code))
            single /= "model.safetensors";
        stem = (single.extension() == ".safetensors" ? single.stem() : single.filename()).string();
    }

    /// Where the index is, if there is one.
    [[nodiscard]] std::filesystem::path index() const { return folder_of(single) / (stem + ".safetensors.index.json"); }
    /// The i-th of n, from 1.
    [[nodiscard]] std::filesystem::path shard(std::size_t i, std::size_t n) const {
        auto const padded = [](std::size_t k) {
            auto const digits = std::to_string(k);
            return std::string(5 - std::min<std::size_t>(5, digits.size()), '0') + digits;
        };
        return folder_of(single) / (stem + '-' + padded(i) + "-of-" + padded(n) + ".safetensors");
    }
    /// Whether a file in the folder is named like a shard of this checkpoint.
    [[nodiscard]] bool is_shard(std::string_view name) const {
        auto const take = [&](std::string_view text) {
            bool const same = name.substr(0, text.size()) == text;
            name.remove_prefix(same ? text.size() : 0);
            return same;
        };
        auto const take_number = [&] {
            auto const n = std::min(name.find_first_not_of("0123456789"), name.size());
            name.remove_prefix(n);
            return n >= 5;
        };
        return take(stem) && take("-") && take_number() && take("-of-") && take_number() && name == ".safetensors";
    }
};

/// Opens a safetensors file, an index (`*.json`), or a folder: its model.safetensors.index.json, model.safetensors,
/// adapter_model.safetensors, or the only checkpoint in it. A file that does not exist stands for the sharded
/// checkpoint written under its name. \throws io_error saying what was looked for; format_error
inline std::unique_ptr<checkpoint> open_checkpoint(std::filesystem::path const & path,
                                                   read_options const & options = {}) {
    namespace fs = std::filesystem;
    auto const open = [&](fs::path const & p) -> std::unique_ptr<checkpoint> {
        if (p.extension() == ".json")
            return std::make_unique<sharded_checkpoint>(p, options);
        return std::make_unique<safetensors_file>(p, options);
    };
    std::error_code code;
    if (!fs::is_directory(path, code)) {
        checkpoint_files const files{path};
        return open(!fs::exists(path, code) && fs::exists(files.index(), code) ? files.index() : path);
    }
    for (auto const * const name : {"model.safetensors.index.json", "model.safetensors", "adapter_model.safetensors"})
        if (fs::exists(path / name, code))
            return open(path / name);

    std::vector<fs::path> indexes, singles;
    fs::directory_iterator entries{path, code};
    for (; !code && entries != fs::directory_iterator{}; entries.increment(code)) {
        auto const name = entries->path().filename().string();
        if (name.ends_with(".safetensors.index.json"))
            indexes.push_back(entries->path());
        else if (name.ends_with(".safetensors"))
            singles.push_back(entries->path());
    }
    if (code)
        fail(path, "list", code.value());
    // Beside an index, files that are its shards are not checkpoints of their own.
    for (auto const & index : indexes) {
        checkpoint_files const files{index.parent_path() / index.stem().stem()};
        std::erase_if(singles, [&](fs::path const & p) { return files.is_shard(p.filename().string()); });
    }
    if (indexes.size() + singles.size() == 1)
        return open(indexes.empty() ? singles.front() : indexes.front());
    auto what = path.string()
                + ": no checkpoint to open: looked for model.safetensors.index.json, model.safetensors, "
                  "adapter_model.safetensors, or one file *.safetensors or *.safetensors.index.json";
    what += indexes.size() + singles.size() == 0
                ? "; there is none"
                : "; there are " + std::to_string(indexes.size() + singles.size()) + ", name one of them";
    throw io_error{what};
}

/// How a checkpoint is written.
struct write_options {
    std::uint64_t max_shard_size = 0; ///< bytes of data in one file; a longer tensor gets a file to itself. 0: one file
    bool sync = true;                 ///< wait for the disk before the result appears under its name
    bool background = false; ///< write on a thread of its own while the next window is computed (48 MiB at most)
    /// A folder on the file system of the target, for files that are being written: there they stay if the writer goes
    /// before finish(), and a later one for the same tensors goes on with them. Empty: beside the target, and not kept.
    std::filesystem::path staging = {};
    bool reclaim = false; ///< files that are not in the staging folder, because finish() was under way, are taken back
    /// Joins the metadata that begin() is given, and wins where both have a key.
    std::map<std::string, std::string> metadata = {};
};

/// Writes a checkpoint to a path: one file, or shards and an index beside it. A folder, or a path that ends in '/',
/// gets model.safetensors. Folders that are missing are made.
///
/// Files are laid out as the Python library does. They are written beside their targets, at their full size from the
/// start, and renamed by finish(); if it is not reached nothing appears and what was there stays. What finish()
/// replaces is the whole checkpoint of that name: an index and shards of it, or a single file, do not stay behind
/// another form of it. A set of several files cannot be replaced at once; if that is interrupted there is no index, and
/// never one beside shards of another set. Use from one thread. After an exception only destruction makes sense.
class safetensors_writer final : public checkpoint_sink {
    /// Which bytes of a tensor have been committed, as disjoint runs {begin, end} that do not touch.
    class coverage {
        std::map<std::size_t, std::size_t> runs_;

    public:
        void add(std::size_t begin, std::size_t end) {
            if (begin == end)
                return;
            auto at = runs_.upper_bound(begin);
            if (at != runs_.begin() && std::prev(at)->second >= begin) {
                --at;
                at->second = std::max(at->second, end);
            } else
                at = runs_.emplace_hint(at, begin, end);
            for (auto next = std::next(at); next != runs_.end() && next->first <= at->second; next = runs_.erase(next))
                at->second = std::max(at->second, next->second);
        }
        /// The first byte missing of n.
        [[nodiscard]] std::size_t first_missing() const {
            return runs_.empty() || runs_.begin()->first != 0 ? 0 : runs_.begin()->second;
        }
    };
    struct place {
        std::size_t shard;
        std::uint64_t offset;
        coverage committed;
    };

    checkpoint_files files_;
    write_options options_;
    std::vector<std::filesystem::path> made_; ///< folders, outermost first
    std::vector<tensor_info> tensors_;
    std::vector<place> places_;
    std::vector<staged_file> shards_;
    std::optional<write_queue> queue_; ///< after shards_: it goes first
    enum class phase : unsigned char { fresh, open, done } phase_ = phase::fresh;
    bool resumed_ = false;

    [[nodiscard]] std::string label() const { return files_.single.string(); }
    void expect_phase(phase expected, std::string_view call) const {
        if (phase_ != expected)
            throw error{label().append(": ").append(call).append(phase_ == phase::fresh  ? " before begin"
                                                                 : phase_ == phase::open ? " after begin"
                                                                                         : " after finish")};
    }
    void expect_names() const {
        for (std::size_t i = 1; i < tensors_.size(); ++i)
            if (!(tensors_[i - 1].name < tensors_[i].name))
                reject(label(), "names",
                       "'" + printable(tensors_[i].name) + "' after '" + printable(tensors_[i - 1].name) + "'",
                       "ascending names, each once");
    }
    /// Renaming over a device, a pipe or a folder would destroy it, or fail late.
    void expect_replaceable(std::filesystem::path const & target) const {
        std::error_code code;
        auto const found = std::filesystem::status(target, code);
        if (std::filesystem::exists(found) && !std::filesystem::is_regular_file(found))
            throw io_error{target.string() + ": cannot replace: not a regular file"};
    }
    void make_folder() {
        namespace fs = std::filesystem;
        std::vector<fs::path> missing;
        std::error_code code;
        for (auto folder = folder_of(files_.single); !fs::exists(folder, code); folder = folder_of(folder))
            missing.push_back(folder);
        for (; !missing.empty(); missing.pop_back()) {
            if (::mkdir(missing.back().c_str(), 0777) == 0)
                made_.push_back(missing.back());
            else if (errno != EEXIST)
                fail(missing.back(), "create", errno);
        }
    }
    /// Splits the tensors in the order of their names; never empty.
    [[nodiscard]] std::vector<std::vector<std::size_t>> split() const {
        std::vector<std::vector<std::size_t>> groups(1);
        std::uint64_t size = 0;
        for (std::size_t i = 0; i != tensors_.size(); ++i) {
            std::uint64_t const next = tensors_[i].bytes();
            if (options_.max_shard_size != 0 && !groups.back().empty()
                && (size > options_.max_shard_size || next > options_.max_shard_size - size)) {
                groups.emplace_back();
                size = 0;
            }
            groups.back().push_back(i);
            size += next;
        }
        return groups;
    }
    /// {"metadata": {"total_size": bytes}, "weight_map": {tensor: file}}, as transformers writes it.
    [[nodiscard]] std::string index_text() const {
        std::uint64_t total = 0;
        for (auto const & t : tensors_)
            total += t.bytes();
        auto text =
            "{\n  \"metadata\": {\n    \"total_size\": " + std::to_string(total) + "\n  },\n  \"weight_map\": {";
        for (std::size_t i = 0; i != tensors_.size(); ++i)
            text.append(i == 0 ? "\n" : ",\n")
                .append("    ")
                .append(json_string(tensors_[i].name))
                .append(": ")
                .append(json_string(shards_[places_[i].shard].target().filename().string()));
        return text + "\n  }\n}\n";
    }
    static void remove(std::filesystem::path const & path) {
        if (::unlink(path.c_str()) != 0 && errno != ENOENT)
            fail(path, "remove", errno);
    }
    void remove_old_shards() const {
        std::error_code code;
        std::vector<std::filesystem::path> old;
        std::filesystem::directory_iterator entries{folder_of(files_.single), code};
        for (; !code && entries != std::filesystem::directory_iterator{}; entries.increment(code)) {
            auto const name = entries->path().filename();
            if (files_.is_shard(name.string())
                && std::ranges::none_of(shards_, [&](staged_file const & s) { return s.target().filename() == name; }))
                old.push_back(entries->path());
        }
        for (auto const & path : old)
            remove(path);
    }

public:
    /// Touches nothing yet. \throws option_error for a target named *.json
    explicit safetensors_writer(std::filesystem::path const & path, write_options const & options = {})
        : files_{path}, options_{options} {
        expects_option(files_.single.extension() != ".json", "output", files_.single.string(),
                       "a .safetensors file or a folder");
    }
    ~safetensors_writer() override {
        queue_.reset();
        if (phase_ == phase::done)
            return;
        shards_.clear();
        for (auto folder = made_.rbegin(); folder != made_.rend(); ++folder)
            ::rmdir(folder->c_str()); // fails, rightly, if somebody else put something there
    }

    /// Creates the files at their full size, headers written. \throws io_error, format_error, shape_error
    void begin(std::vector<tensor_info> tensors, std::map<std::string, std::string> metadata) override {
        expect_phase(phase::fresh, "begin");
        tensors_ = std::move(tensors);
        for (auto const & [key, value] : options_.metadata)
            metadata.insert_or_assign(key, value);
        expect_names();
        auto const groups = split();
        auto const single = groups.size() == 1;
        places_.resize(tensors_.size());
        phase_ = phase::open;
        make_folder();
        expect_replaceable(files_.single);
        for (std::size_t g = 0; g != groups.size(); ++g) {
            auto const target = single ? files_.single : files_.shard(g + 1, groups.size());
            std::vector<tensor_info> members;
            for (auto const i : groups[g])
                members.push_back(tensors_[i]);
            auto const layout = lay_out(members, metadata, target.string());
            for (std::size_t k = 0; k != members.size(); ++k)
                places_[groups[g][k]] = {g, layout.offsets[k], {}};
            expect_replaceable(target);
            auto const head = std::as_bytes(std::span{layout.head});
            if (options_.staging.empty())
                shards_.emplace_back(target, options_.sync);
            else {
                auto const at = options_.staging / ("shard-" + std::to_string(g));
                if (std::error_code code;
                    options_.reclaim && !std::filesystem::exists(at, code) && std::filesystem::exists(target, code)
                    && file::open(target).holds(head, layout.file_size) && ::rename(target.c_str(), at.c_str()) != 0)
                    fail(at, "replace", errno);
                auto const & out = shards_.emplace_back(target, at, options_.sync);
                bool const held = out.holds(head, layout.file_size);
                resumed_ = held && (g == 0 || resumed_);
                if (held)
                    continue;
            }
            shards_.back().reserve(layout.file_size);
            shards_.back().write(head, 0);
        }
        if (options_.background)
            queue_.emplace();
    }
    /// After begin, with a staging folder: whether all files were there already, for these tensors. What of them was
    /// written is the caller's to know.
    [[nodiscard]] bool resumed() const noexcept { return resumed_; }
    /// A tensor that an earlier writer has committed, as a whole. \pre resumed()
    void keep(std::size_t index) {
        expect_phase(phase::open, "keep");
        expects_shape(index < tensors_.size() && resumed_, "safetensors_writer::keep: no tensor to keep of that index");
        places_[index].committed.add(0, tensors_[index].bytes());
    }
    /// Returns when all that was committed is written, and with options.sync on the disk. \throws io_error
    void flush() {
        expect_phase(phase::open, "flush");
        if (queue_)
            queue_->drain();
        if (options_.sync)
            for (auto const & s : shards_)
                s.sync();
    }
    /// \throws shape_error; io_error if writing what was committed before has failed
    std::span<std::byte> window(std::size_t index, std::size_t first, std::size_t size,
                                window_buffer & buffer) override {
        expect_phase(phase::open, "window");
        expects_shape(index < tensors_.size(), "safetensors_writer::window: no tensor of that index");
        expects_window(tensors_[index], first, size);
        if (queue_)
            if (auto const lent = queue_->lend(size); !lent.empty())
                return lent;
        return buffer.reserve(size);
    }
    /// `bytes` may also lie elsewhere than window() said. What is committed twice is written twice. \throws as window()
    void commit(std::size_t index, std::size_t first, std::span<std::byte const> bytes) override {
        expect_phase(phase::open, "commit");
        expects_shape(index < tensors_.size(), "safetensors_writer::commit: no tensor of that index");
        expects_window(tensors_[index], first, bytes.size());
        auto & [shard, offset, committed] = places_[index];
        auto & out = shards_[shard];
        if (!queue_ || !queue_->submit(out, offset + first, bytes)) {
            if (queue_)
                queue_->drain(); // in order with what is on its way
            out.write(bytes, offset + first);
        }
        committed.add(first, first + bytes.size());
    }
    /// \throws shape_error if bytes are missing; io_error
    void finish() override {
        expect_phase(phase::open, "finish");
        if (queue_)
            queue_->drain();
        for (std::size_t i = 0; i != tensors_.size(); ++i)
            if (auto const missing = places_[i].committed.first_missing(); missing != tensors_[i].bytes())
                throw shape_error{label() + ": tensor '" + printable(tensors_[i].name) + "': byte "
                                  + std::to_string(missing) + " of " + std::to_string(tensors_[i].bytes())
                                  + " was never written"};
        for (auto & s : shards_)
            s.close();

        std::error_code code;
        bool const had_index = std::filesystem::exists(files_.index(), code);
        if (shards_.size() == 1) {
            shards_.front().publish();
            remove(files_.index());
        } else {
            auto const text = index_text();
            staged_file index{files_.index(), options_.sync};
            index.write(std::as_bytes(std::span{text}), 0);
            index.close();
            remove(files_.index()); // an interruption must not leave it beside shards of the new set
            for (auto & s : shards_)
                s.publish();
            index.publish();
            remove(files_.single);
        }
        if (had_index)
            remove_old_shards();
        phase_ = phase::done;
        if (options_.sync)
            sync_folder(folder_of(files_.single));
    }
};

/// Copies a checkpoint to a sink, `window` bytes at a time, from begin() to finish().
/// Memory: two windows at most. \throws option_error for a window of 0; what either throws
inline void copy(checkpoint & from, checkpoint_sink & to, std::size_t window = std::size_t{4} << 20) {
    expects_option(window != 0, "window", "0", "a number of bytes");
    auto const tensors = from.tensors();
    to.begin({tensors.begin(), tensors.end()}, from.metadata());
    window_buffer in, out;
    for (std::size_t i = 0; i != tensors.size(); ++i) {
        auto const all = tensors[i].bytes();
        for (std::size_t first = 0; first < all; first += window) {
            auto const size = std::min(window, all - first);
            auto const source = from.read(i, first, size, in);
            auto const target = to.window(i, first, size, out);
            std::memcpy(target.data(), source.data(), size);
            to.commit(i, first, target);
        }
    }
    to.finish();
}

/// A checkpoint from files, whole, into memory. \throws as open_checkpoint
inline std::unique_ptr<memory_checkpoint> load(std::filesystem::path const & path) {
    auto const from = open_checkpoint(path);
    auto loaded = std::make_unique<memory_checkpoint>(std::string{from->label()});
    copy(*from, *loaded);
    return loaded;
}
/// Any checkpoint to files, streamed. \throws as safetensors_writer
inline void save(checkpoint & from, std::filesystem::path const & path, write_options const & options = {}) {
    safetensors_writer to{path, options};
    copy(from, to);
}

} // namespace io
LATHE_NAMESPACE_END
