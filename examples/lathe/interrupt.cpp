#include "interrupt.hpp"

#include <csignal>
#include <initializer_list>

namespace lathe_cli {
namespace {
std::sig_atomic_t volatile requested = 0;
}

bool interrupt_token::stop_requested() const noexcept { return requested != 0; }

void catch_interrupts() {
    struct sigaction action{};
    action.sa_handler = [](int) { requested = 1; };
    action.sa_flags = static_cast<int>(SA_RESETHAND); // the next one finds the default: the end
    for (int const signal : {SIGINT, SIGTERM})
        ::sigaction(signal, &action, nullptr);
}

} // namespace lathe_cli
