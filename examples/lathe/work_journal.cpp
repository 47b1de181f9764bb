#include "work_journal.hpp"

#include "flags.hpp"

#include <lathe/random/philox.hpp>

#include <array>
#include <cstdio>

#include <sys/file.h>

namespace lathe_cli {

namespace {
constexpr std::string_view journal_name = "journal";

/// Names of what runs leave in the folder.
bool is_ours(std::string const & name) {
    return name == journal_name || name.starts_with("shard-") || name.starts_with("piece")
           || (name.starts_with(".lathe-") && name.ends_with(".tmp"));
}
} // namespace

work_journal::work_journal(fs::path folder, std::string const & digest, bool restart) : folder_{std::move(folder)} {
    std::error_code code;
    fs::create_directories(folder_, code);
    if (code)
        lathe::io::fail(folder_, "create", code.value());
    for (auto const & entry : fs::directory_iterator(folder_))
        if (auto const name = entry.path().filename().string(); !is_ours(name))
            throw lathe::io_error{folder_.string() + ": cannot use as a folder for work that is not finished: it holds "
                                  + lathe::io::printable(name)};
    file_.emplace(lathe::io::file::open_or_create(folder_ / journal_name));
    if (::flock(file_->descriptor(), LOCK_EX | LOCK_NB) != 0)
        throw lathe::io_error{folder_.string() + ": another run is at work here"};
    auto const head = json{{"lathe", "unfinished work"}, {"digest", digest}}.dump();
    if (!restart)
        read(head);
    if (end_ == 0) {
        remove_files(false);
        file_->reserve(0);
        try {
            append(json::parse(head));
        } catch (lathe::io_error const &) { // a full disk: no work has begun, and none is left
            finish();
            throw;
        }
    }
    found_ = done_.size();
}

void work_journal::read(std::string const & head) {
    std::string text(file_->size(), '\0');
    file_->read(std::as_writable_bytes(std::span{text}), 0);
    for (std::size_t at = 0; at != text.size();) {
        auto const stop = text.find('\n', at);
        if (stop == text.npos)
            break; // torn: it was being written
        auto const line = text.substr(at, stop - at);
        if (at == 0) {
            if (line != head)
                return;
        } else {
            auto const entry = lathe::reflect::parse_json(line);
            if (!entry.is_object() || !entry.contains("item") || !entry["item"].is_string()
                || !entry.contains("report"))
                break;
            done_[entry["item"].get<std::string>()] = entry["report"];
        }
        at = end_ = stop + 1;
    }
    file_->reserve(end_);
}

void work_journal::append(json const & line) {
    auto const text = line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
    file_->write(std::as_bytes(std::span{text}), end_);
    file_->sync();
    end_ += text.size();
}

json const * work_journal::done(std::string const & item) const {
    auto const at = done_.find(item);
    return at == done_.end() ? nullptr : &at->second;
}

void work_journal::record(std::string const & item, json const & report) {
    append({{"item", item}, {"report", report}});
    done_[item] = report;
}

void work_journal::forget() {
    std::string first(end_, '\0');
    file_->read(std::as_writable_bytes(std::span{first}), 0);
    end_ = first.find('\n') + 1;
    file_->reserve(end_);
    done_.clear();
    found_ = 0;
}

void work_journal::remove_files(bool journal_too) const {
    std::vector<fs::path> all;
    for (auto const & entry : fs::directory_iterator(folder_))
        if (auto const name = entry.path().filename().string(); is_ours(name) && (journal_too || name != journal_name))
            all.push_back(entry.path());
    // The journal first: it must not outlive what it says is done.
    std::ranges::partition(all, [](fs::path const & path) { return path.filename() == journal_name; });
    for (auto const & path : all)
        fs::remove(path);
}

void work_journal::finish() {
    if (!file_)
        return;
    remove_files(true);
    file_.reset();
    std::error_code code;
    fs::remove(folder_, code);
}

fs::path journal_folder(std::string const & output) {
    auto path = fs::path{output}.lexically_normal();
    if (!path.has_filename())
        path = path.parent_path();
    return path.string() + ".unfinished";
}

std::string digest_of(std::string const & text) {
    std::array<char, 24> out{};
    std::snprintf(out.data(), out.size(), "%016llx", static_cast<unsigned long long>(lathe::random::fnv1a(text)));
    return out.data();
}

json identity_of(input const & in) {
    auto all = json::array();
    for (auto const & path : in.files()) {
        std::error_code code;
        auto const size = fs::file_size(path, code);
        auto const time = fs::last_write_time(path, code).time_since_epoch().count();
        all.push_back({fs::absolute(path).lexically_normal().string(), size, time});
    }
    return all;
}

} // namespace lathe_cli
