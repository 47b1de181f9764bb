#pragma once
/// \file  Ctrl-C (and SIGTERM) as a stop token. The second one ends the program at once.

namespace lathe_cli {

/// Models lathe::stop_token.
struct interrupt_token {
    [[nodiscard]] bool stop_requested() const noexcept;
};
void catch_interrupts();

/// What a command throws when it was stopped: exit status 130.
struct interrupted {};

} // namespace lathe_cli
