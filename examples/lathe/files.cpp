#include "files.hpp"

#include "flags.hpp"

#include <lathe/random/sha256.hpp>

#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <set>

#include <sys/file.h>
#include <sys/stat.h>

namespace lathe_cli {

using lathe::io::checkpoint_files;
using lathe::io::folder_of;

std::uint64_t input::bytes() const {
    std::uint64_t sum = 0;
    for (auto const & t : file->tensors())
        sum += t.bytes();
    return sum;
}
json input::describe() const {
    return {
        {"path", path}, {"file", std::string{file->label()}}, {"tensors", file->tensors().size()}, {"bytes", bytes()}};
}

std::vector<fs::path> input::files() const {
    auto all = std::vector<fs::path>{fs::path{file->label()}};
    if (auto const * const sharded = dynamic_cast<lathe::io::sharded_checkpoint const *>(file.get()))
        for (std::size_t i = 0; i != sharded->shard_count(); ++i)
            all.emplace_back(sharded->shard(i).label());
    std::error_code code;
    for (std::size_t i = 0, n = all.size(); i != n; ++i)
        if (auto target = fs::canonical(all[i], code); !code && target != all[i])
            all.push_back(std::move(target));
    return all;
}

input open_input(std::string const & path) { return {path, lathe::io::open_checkpoint(path)}; }

std::vector<input> open_inputs(std::span<std::string const> paths) {
    std::vector<input> all;
    for (auto const & path : paths)
        all.push_back(open_input(path));
    return all;
}

std::vector<lathe::checkpoint *> checkpoints_of(std::span<input const> inputs) {
    std::vector<lathe::checkpoint *> all;
    for (auto const & i : inputs)
        all.push_back(i.file.get());
    return all;
}

namespace {
using lathe::random::sha256;

std::vector<fs::path> files_to_hash(fs::path const & path) {
    if (!fs::is_directory(path) && !path.string().ends_with(".index.json"))
        return {path};
    auto const in = lathe::io::open_checkpoint(path);
    std::vector<fs::path> all{fs::path{in->label()}};
    if (auto const * const sharded = dynamic_cast<lathe::io::sharded_checkpoint const *>(in.get()))
        for (std::size_t i = 0; i != sharded->shard_count(); ++i)
            all.emplace_back(sharded->shard(i).label());
    if (auto const config = path / "adapter_config.json"; fs::exists(config))
        all.push_back(config);
    return all;
}
/// Adds bytes of a file, in pieces.
void hash_part(sha256 & hash, lathe::io::file const & in, std::uint64_t first, std::uint64_t size) {
    std::vector<std::byte> part(static_cast<std::size_t>(std::min<std::uint64_t>(size, std::uint64_t{1} << 20)));
    while (size != 0) {
        auto const bytes = std::span{part}.first(static_cast<std::size_t>(std::min<std::uint64_t>(size, part.size())));
        in.read(bytes, first);
        hash.add(std::span{reinterpret_cast<std::uint8_t const *>(bytes.data()), bytes.size()});
        first += bytes.size();
        size -= bytes.size();
    }
}
std::string hexadecimal(sha256::digest const & digest) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string s;
    for (auto const byte : digest)
        s.append(1, digits[byte >> 4]).append(1, digits[byte & 15u]);
    return s;
}
} // namespace

json hash_of(std::string const & path, bool whole) {
    constexpr std::uint64_t block = 4096, blocks = 64;
    if (!fs::exists(path))
        lathe::io::fail(path, "open", ENOENT);
    if (!fs::is_regular_file(path) && !fs::is_directory(path))
        return nullptr;
    std::uint64_t bytes = 0;
    bool sampled = false;
    std::vector<sha256::digest> digests;
    for (auto const & name : files_to_hash(path)) {
        auto const in = lathe::io::file::open(name);
        auto const size = in.size();
        sha256 hash;
        if (whole || size <= block * blocks)
            hash_part(hash, in, 0, size);
        else {
            sampled = true;
            hash.add(size);
            auto const last = size - block, step = last / (blocks - 1), rest = last % (blocks - 1);
            for (std::uint64_t i = 0; i != blocks; ++i)
                hash_part(hash, in, i * step + i * rest / (blocks - 1), block);
        }
        digests.push_back(hash.value());
        bytes += size;
    }
    auto digest = digests.front();
    if (digests.size() != 1) {
        sha256 all;
        for (auto const & d : digests)
            all.add(d);
        digest = all.value();
    }
    return {{"bytes", bytes}, {sampled ? "sha256_samples" : "sha256", hexadecimal(digest)}};
}

void expect_separate(std::string const & output, std::span<input const> inputs) {
    checkpoint_files const out{output};
    std::error_code code;
    for (auto const & in : inputs)
        for (auto const & file : in.files()) {
            auto const name = file.filename().string();
            bool const same_folder = fs::equivalent(folder_of(file), folder_of(out.single), code);
            bool const same_name =
                name == out.single.filename() || name == out.index().filename() || out.is_shard(name);
            if ((same_folder && same_name) || fs::equivalent(file, out.single, code)
                || fs::equivalent(file, out.index(), code))
                throw usage_error{"output: found " + output + ", which would replace the input " + in.path
                                  + "; choose another path"};
        }
}

bool names_folder(std::string const & path) {
    std::error_code code;
    return fs::is_directory(path, code) || fs::path{path}.extension() != ".safetensors";
}

namespace {
bool is_side_file(fs::path const & path) {
    auto const name = path.filename().string();
    static constexpr std::string_view kinds[] = {".json", ".txt", ".model", ".tiktoken", ".jinja", ".py"};
    return std::ranges::find(kinds, path.extension().string()) != std::end(kinds) && !name.ends_with(".index.json")
           && !name.starts_with('.');
}
} // namespace

std::vector<lathe::io::file> open_side_files(fs::path const & folder) {
    std::error_code code;
    std::vector<fs::path> found;
    fs::directory_iterator entries{folder, code};
    for (; !code && entries != fs::directory_iterator{}; entries.increment(code))
        if (std::error_code ignored; entries->is_regular_file(ignored) && is_side_file(entries->path()))
            found.push_back(entries->path());
    if (code)
        lathe::io::fail(folder, "list", code.value());
    std::ranges::sort(found);
    std::vector<lathe::io::file> opened;
    opened.reserve(found.size());
    for (auto const & path : found)
        opened.push_back(lathe::io::file::open(path));
    return opened;
}

namespace {
/// A configuration as text, with the type it gives for the weights replaced; empty if it gives none.
std::string with_type(lathe::io::file const & config, lathe::dtype type) {
    constexpr std::uint64_t limit = std::uint64_t{1} << 20; // of a file that is read as a whole
    if (config.size() > limit)
        return {};
    std::string text(static_cast<std::size_t>(config.size()), '\0');
    config.read(std::as_writable_bytes(std::span{text}), 0);
    auto all = lathe::reflect::parse_json(text);
    bool changed = false;
    for (auto const * const key : {"torch_dtype", "dtype"})
        if (all.is_object() && all.contains(key)) {
            all[key] = std::string{torch_name(type)};
            changed = true;
        }
    return changed ? all.dump(2) + "\n" : std::string{};
}
} // namespace

std::vector<std::string> copy_side_files(std::span<lathe::io::file const> from, fs::path const & to,
                                         std::optional<lathe::dtype> type) try {
    std::vector<lathe::io::staged_file> copies;
    std::vector<std::byte> part(std::size_t{1} << 18);
    for (auto const & source : from) {
        auto const name = source.path().filename();
        auto & copy = copies.emplace_back(to / name, false);
        auto const text = type && name == "config.json" ? with_type(source, *type) : std::string{};
        if (text.empty()) {
            for (std::uint64_t at = 0, size = source.size(); at != size;) {
                auto const window = std::span{part}.first(std::min<std::uint64_t>(part.size(), size - at));
                source.read(window, at);
                copy.write(window, at);
                at += window.size();
            }
        } else
            copy.write(std::as_bytes(std::span{text}), 0);
        copy.close();
    }
    std::vector<std::string> names;
    for (auto & copy : copies) {
        copy.publish();
        names.push_back(copy.target().filename().string());
    }
    return names;
} catch (lathe::io_error const & e) {
    throw lathe::io_error{std::string{e.what()} + "; the weights in " + to.string()
                          + " are complete, but not all files that belong beside them were copied"};
}

namespace {
using clock_time = std::chrono::sys_time<std::chrono::nanoseconds>;

/// When a process began, by /proc; unknown where there is none.
std::optional<clock_time> beginning_of(::pid_t process) {
    std::unique_ptr<std::FILE, int (*)(std::FILE *)> const in{
        std::fopen(("/proc/" + std::to_string(process) + "/stat").c_str(), "rbe"), &std::fclose};
    std::array<char, 1024> text{};
    if (!in || std::fread(text.data(), 1, text.size() - 1, in.get()) == 0)
        return std::nullopt;
    // "number (name) state ...": the 22nd is what is wanted, and names may have any characters.
    auto const * at = std::strrchr(text.data(), ')');
    for (int field = 2; at != nullptr && field != 22; ++field)
        at = std::strchr(at + 1, ' ');
    std::uint64_t ticks = 0;
    timespec up{};
    if (at == nullptr || std::from_chars(at + 1, text.data() + text.size(), ticks).ec != std::errc{}
        || ::clock_gettime(CLOCK_BOOTTIME, &up) != 0)
        return std::nullopt;
    std::chrono::duration<double> const since_boot{static_cast<double>(ticks)
                                                   / static_cast<double>(::sysconf(_SC_CLK_TCK))};
    auto const ago = std::chrono::seconds{up.tv_sec} + std::chrono::nanoseconds{up.tv_nsec} - since_boot;
    return std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now() - ago);
}
/// Whether somebody may be at work on a file or folder whose name has the number of a process.
bool is_in_use(fs::path const & path, ::pid_t process) {
    if (int const descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK); descriptor >= 0) {
        bool const locked = ::flock(descriptor, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
        ::close(descriptor);
        if (locked)
            return true;
    }
    if (::kill(process, 0) != 0 && errno == ESRCH)
        return false;
    struct stat found{};
    if (::lstat(path.c_str(), &found) != 0)
        return true; // it is gone
    auto const began = beginning_of(process);
    clock_time const written{std::chrono::seconds{found.st_mtim.tv_sec}
                             + std::chrono::nanoseconds{found.st_mtim.tv_nsec}};
    return !began || *began < written + std::chrono::seconds{2};
}
/// Entries of a folder that are named BEGINNING PROCESS - ... END and that nobody uses.
std::vector<std::string> abandoned(fs::path const & folder, std::string_view beginning, std::string_view end) {
    std::error_code code;
    std::vector<std::string> found;
    fs::directory_iterator entries{folder, code};
    for (; !code && entries != fs::directory_iterator{}; entries.increment(code)) {
        auto const name = entries->path().filename().string();
        if (!name.starts_with(beginning) || !name.ends_with(end))
            continue;
        ::pid_t process = 0;
        auto const [stop, problem] =
            std::from_chars(name.data() + beginning.size(), name.data() + name.size(), process);
        if (problem == std::errc{} && process > 0 && *stop == '-' && !is_in_use(entries->path(), process))
            found.push_back(name);
    }
    std::ranges::sort(found);
    return found;
}
std::string note_on(fs::path const & folder, std::vector<std::string> const & found, std::string_view unless) {
    if (found.empty())
        return {};
    return folder.string() + ": " + found.front()
           + (found.size() == 1 ? " is" : " and " + std::to_string(found.size() - 1) + " more like it are")
           + " left of a run that was killed; remove " + (found.size() == 1 ? "it" : "them") + std::string{unless};
}
} // namespace

std::string note_on_abandoned(fs::path const & folder) {
    return note_on(folder, abandoned(folder, ".lathe-", ".tmp"), " if nothing elsewhere writes to this folder");
}

std::string note_on_abandoned_exchange() {
    std::error_code code;
    auto const folder = fs::temp_directory_path(code);
    if (code)
        return {};
    auto found = abandoned(folder, "lathe-", "");
    std::erase_if(found, [&](std::string const & name) { return !fs::is_directory(folder / name, code); });
    return note_on(folder, found, "");
}

void report_abandoned(fs::path const & output, bool exchange, bool quiet) {
    if (quiet)
        return;
    for (auto const & note :
         {note_on_abandoned(folder_of(output)), exchange ? note_on_abandoned_exchange() : std::string{}})
        if (!note.empty())
            std::fprintf(stderr, "lathe: note: %s\n", lathe::io::printable(note, 1000).c_str());
}

std::uint64_t parse_size(std::string_view flag, std::string_view text) {
    double number = 0;
    auto const [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    auto unit = text.substr(static_cast<std::size_t>(end - text.data()));
    unit.remove_prefix(std::min(unit.find_first_not_of(' '), unit.size()));
    static constexpr std::pair<std::string_view, double> units[] = {
        {"", 1},     {"B", 1},   {"kB", 1e3},  {"KB", 1e3},     {"K", 1e3},      {"MB", 1e6},     {"M", 1e6},
        {"GB", 1e9}, {"G", 1e9}, {"TB", 1e12}, {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40}};
    auto const scale = std::ranges::find(units, unit, &std::pair<std::string_view, double>::first);
    auto const bytes = scale == std::end(units) ? -1 : number * scale->second;
    if (problem != std::errc{} || !(bytes >= 0 && bytes < 0x1p63))
        throw usage_error{std::string{flag}
                              .append(": found '")
                              .append(text)
                              .append("', expected a size such as 5GB, 500MB, 2GiB or a number of bytes")};
    return static_cast<std::uint64_t>(bytes);
}

namespace {
struct float_name {
    lathe::dtype type;
    std::string_view torch;
};
constexpr float_name float_names[] = {{lathe::dtype::f64, "float64"},
                                      {lathe::dtype::f32, "float32"},
                                      {lathe::dtype::f16, "float16"},
                                      {lathe::dtype::bf16, "bfloat16"}};
} // namespace

std::string_view torch_name(lathe::dtype type) {
    auto const at = std::ranges::find(float_names, type, &float_name::type);
    return at == std::end(float_names) ? lathe::name_of(type) : at->torch;
}

lathe::dtype parse_float_type(std::string_view flag, std::string_view text) {
    std::string upper{text};
    for (auto & c : upper)
        c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    for (auto const & name : float_names)
        if (upper == lathe::name_of(name.type) || text == name.torch)
            return name.type;
    throw usage_error{
        std::string{flag}.append(": found '").append(text).append("', expected one of F64, F32, F16, BF16")};
}

std::string read_text(fs::path const & path) {
    constexpr std::size_t limit = std::size_t{16} << 20;
    std::unique_ptr<std::FILE, int (*)(std::FILE *)> const in{std::fopen(path.c_str(), "rb"), &std::fclose};
    if (!in)
        lathe::io::fail(path, "open", errno);
    std::string text;
    for (std::array<char, 4096> part; auto const n = std::fread(part.data(), 1, part.size(), in.get());) {
        text.append(part.data(), n);
        if (text.size() > limit)
            throw lathe::format_error{path.string() + ": file length: found more than 16 MiB, expected less"};
    }
    if (std::ferror(in.get()) != 0)
        lathe::io::fail(path, "read", errno);
    return text;
}

json parse_json_text(std::string const & text, std::string const & label) {
    std::vector<std::set<std::string>> keys; // of the objects that are open
    auto const watch = [&](int depth, json::parse_event_t event, json & found) {
        using enum json::parse_event_t;
        if (depth > 64)
            throw lathe::format_error{label + ": JSON: nested deeper than 64 levels"};
        if (event == object_start)
            keys.emplace_back();
        else if (event == object_end)
            keys.pop_back();
        else if (event == key && !keys.back().insert(found.get<std::string>()).second)
            throw lathe::format_error{label + ": JSON: key " + lathe::reflect::shown(found) + " twice"};
        return true;
    };
    try {
        return json::parse(text, watch);
    } catch (json::exception const & e) {
        std::string_view what = e.what();
        what.remove_prefix(std::min(what.find("] ") + 2, what.size()));
        throw lathe::format_error{label + ": JSON: " + lathe::io::printable(what, 300)};
    }
}
json read_json_file(fs::path const & path) { return parse_json_text(read_text(path), path.string()); }

std::string read_large_text(fs::path const & path) {
    constexpr std::uint64_t limit = std::uint64_t{1} << 30;
    auto const in = lathe::io::file::open(path);
    if (in.size() > limit)
        lathe::io::reject(path.string(), "file length", "more than 1 GiB", "less");
    std::string text(in.size(), '\0');
    in.read(std::as_writable_bytes(std::span{text}), 0);
    return text;
}
std::vector<numbered_line> lines_of(std::string_view text) {
    std::vector<numbered_line> lines;
    std::size_t number = 0;
    for (std::size_t begin = 0; begin < text.size();) {
        auto const end = std::min(text.find('\n', begin), text.size());
        auto const line = text.substr(begin, end - begin);
        ++number;
        if (line.find_first_not_of(" \t\r") != line.npos)
            lines.push_back({number, line});
        begin = end + 1;
    }
    return lines;
}
std::vector<json> read_json_lines(fs::path const & path) {
    auto const text = read_large_text(path);
    std::vector<json> records;
    for (auto const & line : lines_of(text))
        records.push_back(
            parse_json_text(std::string{line.text}, path.string() + ": line " + std::to_string(line.number)));
    return records;
}

} // namespace lathe_cli
