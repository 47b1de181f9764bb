#pragma once
/// \file  Other programs (POSIX): run, waited for with a time limit, and ended with everything they started.
#include <lathe/io/file.hpp>
#include <lathe/io/json.hpp>

#include <chrono>
#include <csignal>
#include <functional>
#include <thread>

#include <spawn.h>
#include <sys/wait.h>

/// The environment of programs that are run; POSIX leaves the declaration to the program.
extern "C" char ** environ; // NOLINT(readability-redundant-declaration)

LATHE_NAMESPACE_BEGIN
namespace io {

/// A program that was run did not do its work. what() is one line and ends with the last of what the program said.
struct process_error : error {
    /// The members in their order, behind what().
    process_error(std::string const & what, int code, int signal_number, bool late, std::string said)
        : error{what}, exit_code{code}, signal{signal_number}, timed_out{late}, output{std::move(said)} {}
    int exit_code;      ///< -1 if it did not end by itself
    int signal;         ///< that ended it, or 0
    bool timed_out;     ///< whether we ended it because its time was up
    std::string output; ///< the last lines it wrote to its standard output and error
};

/// A fresh folder for files of this process alone, removed with all it holds. Its name is "lathe-", the number of the
/// process, and six letters: what a process that was killed has left can be told.
class scratch_folder {
    std::filesystem::path path_;

public:
    /// \param parent empty for the system's folder for temporary files. \throws io_error
    explicit scratch_folder(std::filesystem::path const & parent = {}) {
        std::error_code code;
        auto const in = parent.empty() ? std::filesystem::temp_directory_path(code) : parent;
        if (code)
            fail(in, "find the folder for temporary files", code.value());
        auto name = (std::filesystem::absolute(in) / ("lathe-" + std::to_string(::getpid()) + "-XXXXXX")).string();
        if (::mkdtemp(name.data()) == nullptr)
            fail(name, "create", errno);
        path_ = name;
    }
    /// The other has no folder afterwards.
    scratch_folder(scratch_folder && other) noexcept : path_{std::exchange(other.path_, {})} {}
    /// The two change places: what this had is removed with the other.
    scratch_folder & operator=(scratch_folder && other) noexcept {
        std::swap(path_, other.path_);
        return *this;
    }
    ~scratch_folder() {
        std::error_code ignored;
        if (!path_.empty())
            std::filesystem::remove_all(path_, ignored);
    }
    /// Absolute.
    [[nodiscard]] std::filesystem::path const & path() const noexcept { return path_; }
};

/// The last lines of a text file, at most `limit` bytes; empty if it cannot be read.
inline std::string last_lines(std::filesystem::path const & path, std::size_t limit = 2000) {
    try {
        auto const f = file::open(path);
        auto const size = f.size();
        std::string text(static_cast<std::size_t>(std::min<std::uint64_t>(size, limit)), '\0');
        f.read(std::as_writable_bytes(std::span{text}), size - text.size());
        if (text.size() < size)
            text.erase(0, text.find('\n') + 1); // the part of a line; all is kept if it is one line
        while (text.ends_with('\n'))
            text.pop_back();
        return text;
    } catch (io_error const &) {
        return {};
    }
}

/// How a program is run.
struct process_options {
    double timeout = 0;             ///< seconds until it is ended; 0 waits for ever
    double grace = 2;               ///< seconds it has to end after SIGTERM, before SIGKILL
    std::filesystem::path output{}; ///< file for its standard output and error; empty drops them
    std::function<bool()> stop{};   ///< asked while it runs; true ends it
    int channel = -1; ///< a descriptor to be its standard input and output; -1: none. The caller's to close
};

/// A running program at the head of a process group of its own. If it is still there when the object goes, the whole
/// group is killed; in no case is anything of it left, unless it left the group itself.
class child_process {
    ::pid_t id_ = -1;
    std::string name_;
    process_options options_;
    using clock = std::chrono::steady_clock;

    static void check(int code, std::string const & name, std::string_view action) {
        if (code != 0)
            fail(name, action, code);
    }
    /// Whether it has ended; it stays a zombie, and so its group's number its own.
    [[nodiscard]] bool ended() const {
        siginfo_t info{};
        while (::waitid(P_PID, static_cast<::id_t>(id_), &info, WEXITED | WNOHANG | WNOWAIT) != 0)
            if (errno != EINTR)
                fail(name_, "wait for", errno);
        return info.si_pid == id_;
    }
    /// Waits until it has ended, asks `give_up`, or a number of seconds has passed (0: for ever). \returns whether it
    /// ended
    template <class F> bool wait(double seconds, F && give_up) const {
        auto const begin = clock::now();
        auto pause = std::chrono::microseconds{200};
        while (!ended()) {
            if (give_up() || (seconds > 0 && std::chrono::duration<double>(clock::now() - begin).count() >= seconds))
                return ended();
            std::this_thread::sleep_for(pause);
            pause = std::min<std::chrono::microseconds>(pause * 2, std::chrono::milliseconds{10});
        }
        return true;
    }
    /// Kills what is left of the group and takes the exit status.
    int reap() noexcept {
        ::kill(-id_, SIGKILL);
        int status = 0;
        while (::waitpid(id_, &status, 0) < 0 && errno == EINTR) {}
        id_ = -1;
        return status;
    }

public:
    /// Starts argv[0], looked for in PATH. \throws option_error for no words; io_error if it cannot be started
    explicit child_process(std::vector<std::string> const & argv, process_options options = {})
        : options_{std::move(options)} {
        expects_option(!argv.empty(), "command", "no words", "a program and its arguments");
        name_ = argv.front();
        std::vector<char *> words;
        words.reserve(argv.size() + 1);
        for (auto const & word : argv)
            words.push_back(const_cast<char *>(word.c_str()));
        words.push_back(nullptr);

        struct resources {
            posix_spawn_file_actions_t files;
            posix_spawnattr_t attributes;
            resources() {
                ::posix_spawn_file_actions_init(&files);
                ::posix_spawnattr_init(&attributes);
            }
            ~resources() {
                ::posix_spawn_file_actions_destroy(&files);
                ::posix_spawnattr_destroy(&attributes);
            }
        } r;
        auto const * const output = options_.output.empty() ? "/dev/null" : options_.output.c_str();
        check(::posix_spawn_file_actions_addopen(&r.files, 2, output, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600),
              name_, "start");
        if (options_.channel < 0) {
            check(::posix_spawn_file_actions_addopen(&r.files, 0, "/dev/null", O_RDONLY, 0), name_, "start");
            check(::posix_spawn_file_actions_adddup2(&r.files, 2, 1), name_, "start");
        } else
            for (int const standard : {0, 1})
                check(::posix_spawn_file_actions_adddup2(&r.files, options_.channel, standard), name_, "start");
        ::sigset_t none, ours; // what this program may block or ignore is no business of the other
        ::sigemptyset(&none);
        ::sigemptyset(&ours);
        for (int const signal : {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM, SIGCHLD})
            ::sigaddset(&ours, signal);
        check(::posix_spawnattr_setsigmask(&r.attributes, &none), name_, "start");
        check(::posix_spawnattr_setsigdefault(&r.attributes, &ours), name_, "start");
        check(::posix_spawnattr_setpgroup(&r.attributes, 0), name_, "start");
        check(::posix_spawnattr_setflags(&r.attributes,
                                         POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF),
              name_, "start");
        check(::posix_spawnp(&id_, words.front(), &r.files, &r.attributes, words.data(), environ), name_, "start");
    }
    child_process(child_process const &) = delete;
    child_process & operator=(child_process const &) = delete;
    ~child_process() {
        if (id_ > 0)
            reap();
    }
    /// Returns when it has ended with status 0; what it left running is killed.
    /// \throws process_error if it ends otherwise, takes too long, or is stopped; what `stop` throws
    void join() {
        bool stopped = false;
        bool const by_itself = wait(options_.timeout, [&] { return stopped = options_.stop && options_.stop(); });
        if (!by_itself) {
            ::kill(-id_, SIGTERM);
            wait(options_.grace, [] { return false; });
        }
        int const status = reap();
        auto said = options_.output.empty() ? std::string{} : last_lines(options_.output);
        if (by_itself && WIFEXITED(status) && WEXITSTATUS(status) == 0)
            return;
        int const code = by_itself && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        int const signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        auto what = printable(name_, 200);
        if (stopped)
            what += ": stopped";
        else if (!by_itself)
            what += ": took longer than " + std::to_string(options_.timeout) + " seconds and was ended";
        else if (code >= 0)
            what += ": ended with status " + std::to_string(code);
        else
            what += ": ended by signal " + std::to_string(signal);
        if (!said.empty()) {
            auto line = said.substr(said.size() > 400 ? said.size() - 400 : 0);
            for (auto at = line.find('\n'); at != line.npos; at = line.find('\n', at))
                line.replace(at, 1, " | ");
            what += "; its last words: " + printable(line, 1600);
        }
        throw process_error{what, code, signal, !by_itself && !stopped, std::move(said)};
    }
};

} // namespace io
LATHE_NAMESPACE_END
