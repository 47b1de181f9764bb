#pragma once
/// \file  Ctrl-C (and SIGTERM, and the end of the terminal) as a stop token. The second one ends the program at once.
#include <filesystem>

namespace lathe_cli {

/// Models lathe::stop_token.
struct interrupt_token {
    [[nodiscard]] bool stop_requested() const noexcept;
};
/// From now on. Also ends the program with one line where a mapped input can no longer be read, and leaves nothing
/// where a library aborts.
/// \param output the folder of what is being written, in which nothing is to be left behind; empty if nothing is
void catch_interrupts(std::filesystem::path const & output = {});

/// What a command throws when it was stopped: exit status 130.
struct interrupted {
    char const * left = "nothing was written"; ///< what is left of the work
};

} // namespace lathe_cli
