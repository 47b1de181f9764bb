#pragma once
/// \file  Compiled programs, kept in memory and on disk.
///
/// On disk: `FOLDER/DIGEST.bin`, the digest being that of device, driver, platform, options and source. A file holds
/// the digest of its contents, is written beside its place and renamed, and is made anew if it does not say what it
/// should. A cache that cannot be read or written is no error.
#include <lathe/backend/opencl/device.hpp>
#include <lathe/backend/opencl/digest.hpp>

#include <atomic>
#include <cstdio>
#include <map>
#include <mutex>
#include <optional>

#include <sys/stat.h>
#include <unistd.h>

LATHE_NAMESPACE_BEGIN
namespace opencl {

/// $XDG_CACHE_HOME/lathe, or ~/.cache/lathe; empty (no cache) where neither is an absolute path, or LATHE_OPENCL_CACHE
/// is 0.
inline std::string default_cache_folder() {
    auto const variable = [](char const * name) {
        char const * const value = std::getenv(name);
        return std::string_view{value == nullptr ? "" : value};
    };
    if (variable("LATHE_OPENCL_CACHE") == "0")
        return {};
    if (auto const cache = variable("XDG_CACHE_HOME"); cache.starts_with('/'))
        return std::string{cache}.append("/lathe");
    if (auto const home = variable("HOME"); home.starts_with('/'))
        return std::string{home}.append("/.cache/lathe");
    return {};
}

/// The whole contents of a file, if it can be read.
inline std::optional<std::string> read_file(std::string const & path) {
    auto * const file = std::fopen(path.c_str(), "rb");
    if (file == nullptr)
        return std::nullopt;
    std::string all;
    std::array<char, 4096> part;
    for (std::size_t got; (got = std::fread(part.data(), 1, part.size(), file)) != 0;)
        all.append(part.data(), got);
    bool const failed = std::ferror(file) != 0;
    std::fclose(file);
    return failed ? std::nullopt : std::optional{std::move(all)};
}
/// Makes a file, whole or not at all, and the folders on the way to it. \returns whether it is there
inline bool write_file(std::string const & path, std::string_view contents) {
    for (auto at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1))
        ::mkdir(path.substr(0, at).c_str(), 0777); // fails if it is there, or cannot be: then opening fails
    static std::atomic<unsigned> count{0};
    auto const beside = path + "." + std::to_string(::getpid()) + "." + std::to_string(count++) + ".tmp";
    auto * const file = std::fopen(beside.c_str(), "wb");
    if (file == nullptr)
        return false;
    bool const written = std::fwrite(contents.data(), 1, contents.size(), file) == contents.size();
    bool const closed = std::fclose(file) == 0;
    if (written && closed && std::rename(beside.c_str(), path.c_str()) == 0)
        return true;
    std::remove(beside.c_str());
    return false;
}

/// The programs of one context. May be used by several threads.
class program_cache {
    context_handle context_;
    device device_;
    std::string folder_, options_;
    mutable std::mutex mutex_;
    std::map<std::string, program_handle> programs_; // by digest
    std::size_t built_ = 0, loaded_ = 0;

    /// First line of a file; changes with its format.
    static constexpr std::string_view format = "lathe opencl program 1\n";

    [[nodiscard]] std::string path_of(std::string const & key) const { return folder_ + "/" + key + ".bin"; }

    [[nodiscard]] std::optional<std::string> load(std::string const & key) const {
        auto file = read_file(path_of(key));
        constexpr auto header = format.size() + 65; // the digest of what follows, and a line's end
        if (!file || file->size() <= header || !file->starts_with(format) || (*file)[header - 1] != '\n'
            || sha256(std::string_view{*file}.substr(header)) != file->substr(format.size(), 64))
            return std::nullopt;
        return file->substr(header);
    }
    void store(std::string const & key, program_handle const & program) const {
        std::size_t size = 0;
        if (clGetProgramInfo(program.get(), CL_PROGRAM_BINARY_SIZES, sizeof size, &size, nullptr) != CL_SUCCESS
            || size == 0)
            return;
        std::string binary(size, '\0');
        char * to = binary.data();
        if (clGetProgramInfo(program.get(), CL_PROGRAM_BINARIES, sizeof to, &to, nullptr) == CL_SUCCESS)
            write_file(path_of(key), std::string{format} + sha256(binary) + "\n" + binary);
    }
    [[nodiscard]] program_handle from_binary(std::string const & binary) const {
        auto const size = binary.size();
        auto const * data = reinterpret_cast<unsigned char const *>(binary.data());
        cl_int each = CL_SUCCESS, status = CL_SUCCESS;
        auto program = program_handle::adopt(
            clCreateProgramWithBinary(context_.get(), 1, &device_.id, &size, &data, &each, &status));
        if (status != CL_SUCCESS || each != CL_SUCCESS
            || clBuildProgram(program.get(), 1, &device_.id, options_.c_str(), nullptr, nullptr) != CL_SUCCESS)
            return {}; // another driver wrote it, perhaps
        return program;
    }
    [[nodiscard]] program_handle from_source(std::string const & source) const {
        char const * text = source.data();
        auto const size = source.size();
        cl_int status = CL_SUCCESS;
        auto program = program_handle::adopt(clCreateProgramWithSource(context_.get(), 1, &text, &size, &status));
        check(status, "clCreateProgramWithSource");
        status = clBuildProgram(program.get(), 1, &device_.id, options_.c_str(), nullptr, nullptr);
        if (status != CL_SUCCESS) {
            std::size_t length = 0;
            clGetProgramBuildInfo(program.get(), device_.id, CL_PROGRAM_BUILD_LOG, 0, nullptr, &length);
            std::string log(length, '\0');
            clGetProgramBuildInfo(program.get(), device_.id, CL_PROGRAM_BUILD_LOG, length, log.data(), nullptr);
            log.resize(std::min(log.size(), log.find('\0')));
            throw device_error{message("a kernel was not built for " + device_.name, status) + ": " + one_line(log),
                               status};
        }
        return program;
    }
    /// Line ends become slashes, so that a message stays one line.
    static std::string one_line(std::string_view log) {
        std::string line;
        for (char const c : log.substr(0, log.find_last_not_of(" \r\n") + 1))
            if (c == '\n')
                line.append(" / ");
            else if (c != '\r')
                line.push_back(c);
        return line;
    }

public:
    /// \param folder of programs on disk; empty: none
    program_cache(context_handle context, device d, std::string folder)
        : context_(std::move(context)), device_(std::move(d)), folder_(std::move(folder)),
          options_(device_.correctly_rounded ? "-w -cl-fp32-correctly-rounded-divide-sqrt" : "-w") {}

    /// The digest of all that a program depends on: the device, its driver, the options and the source.
    [[nodiscard]] std::string key_of(std::string const & source) const {
        std::string all;
        for (auto const * part : {&device_.name, &device_.vendor, &device_.version, &device_.driver,
                                  &device_.platform_name, &device_.platform_version, &options_, &source})
            all.append(std::to_string(part->size())).append(":").append(*part);
        return sha256(all);
    }
    /// Where programs are on disk; empty: nowhere.
    [[nodiscard]] std::string const & folder() const noexcept { return folder_; }
    /// Programs that were compiled from source.
    [[nodiscard]] std::size_t built() const {
        std::lock_guard const lock{mutex_};
        return built_;
    }
    /// Programs that were read from disk.
    [[nodiscard]] std::size_t loaded() const {
        std::lock_guard const lock{mutex_};
        return loaded_;
    }

    /// The program of a source. \throws device_error, whose message ends in the build log, if it does not compile
    program_handle get(std::string const & source) {
        auto const key = key_of(source);
        std::lock_guard const lock{mutex_};
        auto & program = programs_[key];
        if (program)
            return program;
        if (!folder_.empty())
            if (auto const binary = load(key)) {
                program = from_binary(*binary);
                if (program) {
                    ++loaded_;
                    return program;
                }
            }
        program = from_source(source);
        ++built_;
        if (!folder_.empty())
            store(key, program);
        return program;
    }
};

} // namespace opencl
LATHE_NAMESPACE_END
