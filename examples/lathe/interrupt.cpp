#include "interrupt.hpp"

#include <lathe/io/file.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

namespace lathe_cli {
namespace {
std::sig_atomic_t volatile requested = 0;

std::array<char, 4096 + 32> staged{}; ///< the beginning of the names of staged files, with room for the rest
std::size_t staged_length = 0;

/// Lines of a file, for signal handlers: no memory is allocated. Lines that are longer than a path can be are dropped.
class plain_lines {
    int descriptor_;
    std::array<char, 4096 + 128> text_; ///< a path, and what /proc/self/maps has before it
    std::size_t begin_ = 0, end_ = 0;

public:
    explicit plain_lines(char const * path) : descriptor_{::open(path, O_RDONLY | O_CLOEXEC)} {}
    plain_lines(plain_lines const &) = delete;
    plain_lines & operator=(plain_lines const &) = delete;
    ~plain_lines() {
        if (descriptor_ >= 0)
            ::close(descriptor_);
    }
    /// The next line without its end; empty when there are no more. Valid until the next call.
    std::string_view next() {
        for (;;) {
            std::string_view const rest{text_.data() + begin_, end_ - begin_};
            if (auto const stop = rest.find('\n'); stop != rest.npos) {
                begin_ += stop + 1;
                return rest.substr(0, stop);
            }
            if (rest.size() == text_.size())
                end_ = begin_ = 0; // dropped
            std::copy(text_.begin() + static_cast<std::ptrdiff_t>(begin_),
                      text_.begin() + static_cast<std::ptrdiff_t>(end_), text_.begin());
            end_ -= begin_;
            begin_ = 0;
            auto const n = descriptor_ < 0 ? 0 : ::read(descriptor_, text_.data() + end_, text_.size() - end_);
            if (n <= 0)
                return {};
            end_ += static_cast<std::size_t>(n);
        }
    }
};

void say(std::string_view text) { static_cast<void>(::write(STDERR_FILENO, text.data(), text.size()) == 0); }

/// Writes the path of the file that is mapped at an address; "an input" where that is not known.
/// A line is "begin-end rights offset device inode      path", in hexadecimal.
void say_file_at(std::uintptr_t address) {
    plain_lines maps("/proc/self/maps");
    for (auto line = maps.next(); !line.empty(); line = maps.next()) {
        std::uintptr_t begin = 0, end = 0;
        auto const * const stop = line.data() + line.size();
        auto const [dash, bad] = std::from_chars(line.data(), stop, begin, 16);
        if (bad != std::errc{} || dash == stop || std::from_chars(dash + 1, stop, end, 16).ec != std::errc{})
            continue;
        auto const path = line.find('/');
        if (address >= begin && address < end && path != line.npos) {
            say(line.substr(path));
            return;
        }
    }
    say("an input");
}

void remove_staged() {
    for (unsigned i = 0; staged_length != 0 && i != lathe::io::staged_file::names_taken(); ++i) {
        auto * const end = std::to_chars(staged.data() + staged_length, staged.data() + staged.size() - 5, i).ptr;
        std::ranges::copy(std::string_view{".tmp\0", 5}, end);
        ::unlink(staged.data());
    }
}

/// A library calls abort: PoCL does where it finds no linker. The program ends as it would without this.
void aborted(int) {
    remove_staged();
    say("lathe: error: a library that the program uses has ended it; nothing was written\n");
}

/// Mapped pages that cannot be read. Only calls that signal handlers may make. The first thread that comes here ends
/// the program, others that read the same file wait for that.
[[noreturn]] void give_up(int, siginfo_t * info, void *) {
    static std::atomic_flag entered = ATOMIC_FLAG_INIT;
    while (entered.test_and_set())
        ::pause();
    remove_staged();
    say("lathe: error: ");
    say_file_at(reinterpret_cast<std::uintptr_t>(info->si_addr));
    say(" cannot be read any more (was it shortened, or is its disk failing?); nothing was written\n");
    ::_exit(1);
}
} // namespace

bool interrupt_token::stop_requested() const noexcept { return requested != 0; }

void catch_interrupts(std::filesystem::path const & output) {
    struct sigaction action{};
    action.sa_handler = [](int) { requested = 1; };
    action.sa_flags = static_cast<int>(SA_RESETHAND); // the next one finds the default: the end
    for (int const signal : {SIGINT, SIGTERM})
        ::sigaction(signal, &action, nullptr);
    // A terminal that goes away ends the program too, unless it was started to outlive it (nohup).
    struct sigaction hangup{};
    if (::sigaction(SIGHUP, nullptr, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
        ::sigaction(SIGHUP, &action, nullptr);

    auto const prefix = output.empty() ? std::string{} : lathe::io::staged_file::prefix(output);
    if (prefix.size() < staged.size() - 32) {
        std::ranges::copy(prefix, staged.begin());
        staged_length = prefix.size();
    }
    struct sigaction abort{};
    abort.sa_handler = &aborted;
    abort.sa_flags = static_cast<int>(SA_RESETHAND);
    ::sigaction(SIGABRT, &abort, nullptr);
    struct sigaction fault{};
    fault.sa_sigaction = &give_up;
    fault.sa_flags = SA_SIGINFO;
    ::sigaction(SIGBUS, &fault, nullptr);
}

} // namespace lathe_cli
