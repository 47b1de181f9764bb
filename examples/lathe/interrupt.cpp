#include "interrupt.hpp"

#include <lathe/io/file.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <initializer_list>
#include <string>
#include <string_view>

#include <unistd.h>

namespace lathe_cli {
namespace {
std::sig_atomic_t volatile requested = 0;

std::array<char, 4096 + 32> staged{}; ///< the beginning of the names of staged files, with room for the rest
std::size_t staged_length = 0;

/// Mapped pages that cannot be read. Only calls that signal handlers may make.
[[noreturn]] void give_up(int) {
    constexpr std::string_view text = "lathe: error: an input cannot be read any more (was it shortened, or is its "
                                      "disk failing?); nothing was written\n";
    for (unsigned i = 0; staged_length != 0 && i != lathe::io::staged_file::names_taken(); ++i) {
        auto * const end = std::to_chars(staged.data() + staged_length, staged.data() + staged.size() - 5, i).ptr;
        std::ranges::copy(std::string_view{".tmp\0", 5}, end);
        ::unlink(staged.data());
    }
    static_cast<void>(::write(STDERR_FILENO, text.data(), text.size()) == 0);
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
    action.sa_handler = &give_up;
    ::sigaction(SIGBUS, &action, nullptr);
}

} // namespace lathe_cli
