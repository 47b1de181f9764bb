#pragma once
/// \file  Another program that is asked and answers line by line (POSIX), and lives as long as it is asked.
#include <lathe/io/process.hpp>

#include <poll.h>
#include <sys/socket.h>

LATHE_NAMESPACE_BEGIN
namespace io {

/// Which program is asked, and how long it is waited for.
struct line_process_options {
    std::vector<std::string> command{};                 ///< the program and its arguments
    std::string shell{};                                ///< or one line for /bin/sh
    double timeout = 0;                                 ///< seconds for one answer; 0 waits for ever
    double grace = 2;                                   ///< seconds it has to end before it is killed
    std::size_t longest_answer = std::size_t{16} << 20; ///< bytes
};

/// A program that gets a line on its standard input and answers with one line on its standard output, again and again;
/// it has to flush. What it says on standard error is kept for messages. Its input ends with the object; then it has
/// `grace` seconds before it is killed with everything it started.
class line_process {
    line_process_options options_;
    std::function<bool()> stop_;
    scratch_folder work_;
    int channel_ = -1;
    std::optional<child_process> child_;
    std::string name_, read_; // not yet handed out
    using clock = std::chrono::steady_clock;

    [[nodiscard]] std::filesystem::path said() const { return work_.path() / "output.txt"; }
    [[noreturn]] void give_up(std::string const & why, bool late = false) {
        child_.reset();
        auto words = last_lines(said());
        std::replace(words.begin(), words.end(), '\n', ' ');
        throw process_error{printable(name_, 200) + ": " + why
                                + (words.empty() ? "" : "; its last words: " + printable(words, 400)),
                            -1, 0, late, words};
    }
    /// Waits until the channel is ready for `events`. \throws process_error
    void wait(short events, clock::time_point begin) {
        for (;;) {
            ::pollfd p{channel_, events, 0};
            int const ready = ::poll(&p, 1, 20); // milliseconds, after which `stop` is asked
            if (ready > 0)
                return;
            if (ready < 0 && errno != EINTR)
                fail(name_, "wait for an answer of", errno);
            if (stop_ && stop_())
                give_up("stopped");
            if (options_.timeout > 0 && std::chrono::duration<double>(clock::now() - begin).count() >= options_.timeout)
                give_up("took longer than " + std::to_string(options_.timeout) + " seconds and was ended", true);
        }
    }
    /// It has closed its end. \throws process_error always
    [[noreturn]] void gone() {
        try {
            child_->join(); // throws if it ended badly, or does not end
        } catch (...) {
            child_.reset();
            throw;
        }
        give_up("ended without an answer");
    }

public:
    /// Starts it. \param stop asked while an answer is waited for; true ends it \throws option_error, io_error
    explicit line_process(line_process_options options, std::function<bool()> stop = {})
        : options_{std::move(options)}, stop_{std::move(stop)} {
        expects_option(options_.command.empty() != options_.shell.empty(), "command",
                       options_.shell.empty() ? "neither command nor shell" : "both command and shell", "one of them");
        expects_option(options_.timeout >= 0, "timeout", std::to_string(options_.timeout), "at least 0 seconds");
        expects_option(options_.grace >= 0, "grace", std::to_string(options_.grace), "at least 0 seconds");
        auto const argv =
            options_.shell.empty() ? options_.command : std::vector<std::string>{"/bin/sh", "-c", options_.shell};
        name_ = options_.shell.empty() ? options_.command.front() : options_.shell;
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
            fail(name_, "start", errno);
        channel_ = ends[0];
        try {
            child_.emplace(argv, process_options{options_.grace, options_.grace, said(), stop_, ends[1]});
        } catch (...) {
            ::close(ends[1]);
            ::close(channel_);
            throw;
        }
        ::close(ends[1]);
    }
    line_process(line_process const &) = delete;
    line_process & operator=(line_process const &) = delete;
    ~line_process() {
        ::shutdown(channel_, SHUT_WR);
        try {
            if (child_)
                child_->join();
        } catch (...) {} // it has answered all it was asked
        ::close(channel_);
    }

    /// Hands over one line, without its end, and waits for the answer. \throws process_error if it ends, takes too
    /// long, is stopped, or answers more than longest_answer; io_error
    std::string ask(std::string line) {
        if (!child_)
            give_up("is asked after it failed");
        line += '\n';
        auto const begin = clock::now();
        for (std::size_t sent = 0; sent != line.size();) {
            wait(POLLOUT, begin);
            auto const n = ::send(channel_, line.data() + sent, line.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (n >= 0)
                sent += static_cast<std::size_t>(n);
            else if (errno == EPIPE || errno == ECONNRESET)
                gone();
            else if (errno != EINTR && errno != EAGAIN)
                fail(name_, "write to", errno);
        }
        for (;;) {
            if (auto const end = read_.find('\n'); end != read_.npos) {
                auto answer = read_.substr(0, end);
                read_.erase(0, end + 1);
                return answer;
            }
            if (read_.size() > options_.longest_answer)
                give_up("answered more than " + std::to_string(options_.longest_answer)
                        + " bytes without an end of line");
            wait(POLLIN, begin);
            std::array<char, 65536> part;
            auto const n = ::recv(channel_, part.data(), part.size(), MSG_DONTWAIT);
            if (n > 0)
                read_.append(part.data(), static_cast<std::size_t>(n));
            else if (n == 0 || errno == ECONNRESET)
                gone();
            else if (errno != EINTR && errno != EAGAIN)
                fail(name_, "read from", errno);
        }
    }
};

} // namespace io
LATHE_NAMESPACE_END
