#pragma once
/// \file  Files as the operating system gives them (POSIX): whole reads and writes, read-only maps of which only a few
///        mebibytes stay resident, and files that appear under their name whole or not at all.
#include <lathe/core/error.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

LATHE_NAMESPACE_BEGIN
namespace io {

static_assert(sizeof(std::size_t) == 8 && sizeof(off_t) == 8, "lathe/io: files larger than memory need 64-bit offsets");

/// "<path>: cannot <action>: <the system's reason>". \throws io_error always
[[noreturn]] inline void fail(std::filesystem::path const & path, std::string_view action, int code) {
    throw io_error{
        path.string().append(": cannot ").append(action).append(": ").append(std::system_category().message(code))};
}

/// An open regular file; closed with the object. Movable. Reading and writing name their offset, so threads may share
/// it.
class file {
    std::filesystem::path path_;
    int descriptor_ = -1;

    file(std::filesystem::path path, int descriptor) : path_{std::move(path)}, descriptor_{descriptor} {}

public:
    /// For reading. \throws io_error if it cannot be opened or is not a regular file
    static file open(std::filesystem::path const & path) {
        // O_NONBLOCK: opening a pipe nobody writes to must fail below, not wait. Without effect on regular files.
        int const descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (descriptor < 0)
            fail(path, "open", errno);
        file opened{path, descriptor};
        if (!S_ISREG(opened.status().st_mode))
            throw io_error{path.string() + ": cannot read: not a regular file"};
        return opened;
    }
    /// For writing; nothing may have that name yet. Empty if something has. \throws io_error
    static std::optional<file> create_new(std::filesystem::path const & path) {
        int const descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (descriptor >= 0)
            return file{path, descriptor};
        if (errno == EEXIST)
            return std::nullopt;
        fail(path, "create", errno);
    }
    /// For reading and writing; made if it is not there. \throws io_error if it is not a regular file
    static file open_or_create(std::filesystem::path const & path) {
        int const descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
        if (descriptor < 0)
            fail(path, "open", errno);
        file opened{path, descriptor};
        if (!S_ISREG(opened.status().st_mode))
            throw io_error{path.string() + ": cannot write: not a regular file"};
        return opened;
    }
    /// The other is closed afterwards.
    file(file && other) noexcept : path_{std::move(other.path_)}, descriptor_{std::exchange(other.descriptor_, -1)} {}
    /// The two change places: what this had open closes with the other.
    file & operator=(file && other) noexcept {
        std::swap(path_, other.path_);
        std::swap(descriptor_, other.descriptor_);
        return *this;
    }
    ~file() {
        if (descriptor_ >= 0)
            ::close(descriptor_);
    }

    /// As it was opened.
    [[nodiscard]] std::filesystem::path const & path() const noexcept { return path_; }
    /// Of the system, for as long as this is open; -1 of what is closed.
    [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
    /// Bytes, asked anew each time. \throws io_error
    [[nodiscard]] std::uint64_t size() const { return static_cast<std::uint64_t>(status().st_size); }

    /// Whether it has that size, and begins so. \throws io_error
    [[nodiscard]] bool holds(std::span<std::byte const> head, std::uint64_t size) const {
        if (this->size() != size || head.size() > size)
            return false;
        std::vector<std::byte> found(head.size());
        read(found, 0);
        return std::ranges::equal(found, head);
    }
    /// Fills `bytes` from `offset` on. \throws io_error, also where the file ends before
    void read(std::span<std::byte> bytes, std::uint64_t offset) const {
        while (!bytes.empty()) {
            auto const n = ::pread(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
            if (n < 0) {
                if (errno == EINTR)
                    continue;
                fail(path_, "read", errno);
            }
            if (n == 0)
                throw io_error{path_.string() + ": cannot read: the file ends at byte " + std::to_string(offset) + ", "
                               + std::to_string(bytes.size()) + " more were expected (was it truncated while in use?)"};
            bytes = bytes.subspan(static_cast<std::size_t>(n));
            offset += static_cast<std::uint64_t>(n);
        }
    }
    /// Writes all of `bytes` from `offset` on. \throws io_error
    void write(std::span<std::byte const> bytes, std::uint64_t offset) const {
        while (!bytes.empty()) {
            auto const n = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
            if (n < 0) {
                if (errno == EINTR)
                    continue;
                fail(path_, "write", errno);
            }
            bytes = bytes.subspan(static_cast<std::size_t>(n));
            offset += static_cast<std::uint64_t>(n);
        }
    }
    /// Gives the file its size and, where the file system can, its blocks: a full disk is found here, not hours later.
    /// \throws io_error
    void reserve(std::uint64_t size) const {
#ifdef __linux__
        int code = 0;
        while (size != 0 && ::fallocate(descriptor_, 0, 0, static_cast<off_t>(size)) != 0) {
            code = errno;
            if (code != EINTR)
                break;
            code = 0;
        }
        if (code != 0 && code != EOPNOTSUPP && code != ENOSYS && code != EINVAL)
            fail(path_, "reserve " + std::to_string(size) + " bytes", code);
#endif
        if (::ftruncate(descriptor_, static_cast<off_t>(size)) != 0)
            fail(path_, "reserve " + std::to_string(size) + " bytes", errno);
    }
    /// Starts sending what was written to the disk, without waiting, so that sync() finds little left. A hint.
    void start_writeback() const noexcept {
#ifdef __linux__
        static_cast<void>(::sync_file_range(descriptor_, 0, 0, SYNC_FILE_RANGE_WRITE));
#endif
    }
    /// Returns when what was written is on the disk. \throws io_error
    void sync() const {
        while (::fsync(descriptor_) != 0)
            if (errno != EINTR)
                fail(path_, "write to disk", errno);
    }
    /// Some file systems report a failed write only here. \throws io_error
    void close() {
        if (int const descriptor = std::exchange(descriptor_, -1);
            descriptor >= 0 && ::close(descriptor) != 0 && errno != EINTR)
            fail(path_, "close", errno);
    }

private:
    [[nodiscard]] struct stat status() const {
        struct stat s{};
        if (::fstat(descriptor_, &s) != 0)
            fail(path_, "examine", errno);
        return s;
    }
};

/// A file mapped for reading; unmapped with the object. The file itself need not stay open.
class file_map {
    std::span<std::byte const> bytes_;

public:
    file_map() = default;
    /// The first `size` bytes. \throws io_error
    file_map(file const & f, std::uint64_t size) {
        if (size == 0)
            return;
        void * const at = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, f.descriptor(), 0);
        if (at == MAP_FAILED)
            fail(f.path(), "map", errno);
        bytes_ = {static_cast<std::byte const *>(at), size};
        static_cast<void>(
            ::madvise(at, size, MADV_SEQUENTIAL)); // a hint: reads ahead further when the file is not cached
    }
    /// The other maps nothing afterwards.
    file_map(file_map && other) noexcept : bytes_{std::exchange(other.bytes_, {})} {}
    /// The two change places: what this had mapped is unmapped with the other.
    file_map & operator=(file_map && other) noexcept {
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    ~file_map() {
        if (!bytes_.empty())
            ::munmap(const_cast<std::byte *>(bytes_.data()), bytes_.size());
    }
    /// All that is mapped, for as long as it is; empty for no bytes.
    [[nodiscard]] std::span<std::byte const> bytes() const noexcept { return bytes_; }
};

/// Keeps the pages of mapped files that stay resident few: remembers the last stretches that were handed out and gives
/// older ones back. Giving back is always safe: pages of a read-only map come again from the file when they are read.
///
/// A stretch is 2 MiB aligned by address, because the kernel maps pages around a fault in aligned groups: unaligned
/// stretches would leave some of each behind. Threads may share one; the maps must outlive it or be forgotten.
class resident_window {
    static constexpr std::uintptr_t stretch = std::uintptr_t{2} << 20;
    struct range {
        std::uintptr_t first, last;
    };
    std::mutex mutex_;
    std::vector<range> recent_; ///< oldest first
    std::size_t limit_;

    static std::uintptr_t address(std::byte const * p) noexcept { return reinterpret_cast<std::uintptr_t>(p); }

public:
    /// About `bytes` stay resident beside the window being read; 0 keeps all that was read.
    explicit resident_window(std::size_t bytes) : limit_{bytes == 0 ? 0 : std::max<std::size_t>(1, bytes / stretch)} {}

    /// `window`, a part of `map`, is going to be read. Time: O(limit) and one system call for each 2 MiB given back.
    void touch(std::span<std::byte const> map, std::span<std::byte const> window) {
        if (limit_ == 0 || window.empty())
            return;
        auto const map_first = address(map.data()), map_last = map_first + map.size();
        auto const first = address(window.data()), last = first + window.size();
        std::lock_guard const lock{mutex_};
        if (last - first > limit_ * stretch)
            release(recent_.size()); // longer than the limit: nothing older is worth looking for
        std::size_t current = 0;
        for (auto at = first / stretch * stretch; at < last; at += stretch, ++current) {
            range const r{std::max(at, map_first), std::min(at + stretch, map_last)};
            auto const known = std::ranges::find(recent_, r.first, &range::first);
            if (known != recent_.end())
                std::rotate(known, known + 1, recent_.end());
            else
                recent_.push_back(r);
        }
        if (auto const keep = std::max(limit_, current); recent_.size() > keep)
            release(recent_.size() - keep);
    }
    /// `map` is about to go.
    void forget(std::span<std::byte const> map) noexcept {
        auto const first = address(map.data()), last = first + map.size();
        std::lock_guard const lock{mutex_};
        std::erase_if(recent_, [&](range const & r) { return r.first >= first && r.first < last; });
    }

private:
    void release(std::size_t oldest) noexcept {
        for (std::size_t i = 0; i != oldest; ++i)
            ::madvise(reinterpret_cast<void *>(recent_[i].first), recent_[i].last - recent_[i].first, MADV_DONTNEED);
        recent_.erase(recent_.begin(), recent_.begin() + static_cast<std::ptrdiff_t>(oldest));
    }
};

/// Makes renames in a folder durable. File systems that cannot are forgiven. \throws io_error
inline void sync_folder(std::filesystem::path const & folder) {
    int const descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        fail(folder, "open", errno);
    int const code = ::fsync(descriptor) == 0 ? 0 : errno;
    ::close(descriptor);
    if (code != 0 && code != EINVAL && code != EROFS)
        fail(folder, "write to disk", code);
}

/// The folder a path lies in; "." for a bare name.
inline std::filesystem::path folder_of(std::filesystem::path const & path) {
    auto const folder = path.parent_path();
    return folder.empty() ? std::filesystem::path{"."} : folder;
}

/// A file that is written beside its target and takes the target's name when published; removed if it never is.
class staged_file {
    static constexpr std::uint64_t writeback_step = std::uint64_t{32} << 20;
    std::filesystem::path target_;
    file file_;
    bool durable_, published_ = false;
    std::uint64_t since_writeback_ = 0;

    static inline std::atomic<unsigned> names_{0}; ///< taken so far

    static file create_beside(std::filesystem::path const & target) {
        for (;;) // a name left by a process that was killed is passed over
            if (auto created = file::create_new(prefix(folder_of(target)) + std::to_string(names_++) + ".tmp")) {
                static_cast<void>(::flock(created->descriptor(), LOCK_EX | LOCK_NB)); // goes with the process
                return std::move(*created);
            }
    }

public:
    /// Staged files of this process in a folder have this name, a number below names_taken(), and ".tmp": for signal
    /// handlers, which must remove them without help from here. They are locked (flock) until they are closed, where
    /// the file system can: whoever finds one can tell whether somebody writes it, on any machine and in any container.
    static std::string prefix(std::filesystem::path const & folder) {
        return (folder / (".lathe-" + std::to_string(::getpid()) + '-')).string();
    }
    /// Numbers given out so far, whatever the folder; never fewer than before.
    static unsigned names_taken() noexcept { return names_; }

    /// \param durable what is written shall be on the disk before it is published
    /// \throws io_error
    staged_file(std::filesystem::path target, bool durable)
        : target_{std::move(target)}, file_{create_beside(target_)}, durable_{durable} {}
    /// Written at `at`, which an earlier run may have left there, and which stays if this is never published.
    /// \throws io_error
    staged_file(std::filesystem::path target, std::filesystem::path const & at, bool durable)
        : target_{std::move(target)}, file_{file::open_or_create(at)}, durable_{durable}, published_{true} {}
    /// The other removes nothing any more.
    staged_file(staged_file && other) noexcept
        : target_{std::move(other.target_)}, file_{std::move(other.file_)}, durable_{other.durable_},
          published_{std::exchange(other.published_, true)}, since_writeback_{other.since_writeback_} {}
    staged_file & operator=(staged_file &&) = delete;
    ~staged_file() {
        if (!published_)
            ::unlink(file_.path().c_str());
    }
    /// The path it will have.
    [[nodiscard]] std::filesystem::path const & target() const noexcept { return target_; }
    /// As file::holds. \throws io_error
    [[nodiscard]] bool holds(std::span<std::byte const> head, std::uint64_t size) const {
        return file_.holds(head, size);
    }
    /// What was written is on the disk when this returns. \throws io_error
    void sync() const { file_.sync(); }
    /// As file::reserve. \throws io_error
    void reserve(std::uint64_t size) const { file_.reserve(size); }
    /// Writes at an offset; the disk gets to work while more is prepared. Not for two threads at once. \throws io_error
    void write(std::span<std::byte const> bytes, std::uint64_t offset) {
        file_.write(bytes, offset);
        since_writeback_ += bytes.size();
        if (durable_ && since_writeback_ >= writeback_step) {
            file_.start_writeback();
            since_writeback_ = 0;
        }
    }
    /// No more will be written. \throws io_error
    void close() {
        if (durable_)
            file_.sync();
        file_.close();
    }
    /// Gives it the target's name; what had it before is gone. \throws io_error
    void publish() {
        if (::rename(file_.path().c_str(), target_.c_str()) != 0)
            fail(target_, "replace", errno);
        published_ = true;
    }
};

} // namespace io
LATHE_NAMESPACE_END
