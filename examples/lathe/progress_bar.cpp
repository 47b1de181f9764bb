#include "progress_bar.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include <sys/ioctl.h>
#include <unistd.h>

namespace lathe_cli {

namespace {
template <class... Values> std::string format(char const * pattern, Values... values) {
    std::array<char, 160> text{};
    auto const n = std::snprintf(text.data(), text.size(), pattern, values...);
    return {text.data(), std::min(static_cast<std::size_t>(std::max(n, 0)), text.size() - 1)};
}
std::size_t terminal_width() {
    winsize size{};
    return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 80;
}
} // namespace

std::string human_bytes(double bytes) {
    constexpr std::array units{"B", "kB", "MB", "GB", "TB", "PB"};
    std::size_t unit = 0;
    while (bytes >= 999.5 && unit + 1 != units.size()) {
        bytes /= 1000;
        ++unit;
    }
    return format(unit == 0 || bytes >= 99.95 ? "%.0f %s" : bytes >= 9.995 ? "%.1f %s" : "%.2f %s", bytes, units[unit]);
}

std::string human_seconds(double seconds) {
    if (seconds < 0.9995)
        return format("%.0f ms", seconds * 1000);
    if (seconds < 59.95)
        return format("%.1f s", seconds);
    auto const whole = std::llround(seconds);
    if (whole < 3600)
        return format("%lld min %02lld s", whole / 60, whole % 60);
    return format("%lld h %02lld min", whole / 3600, whole % 3600 / 60);
}

progress_bar::progress_bar(std::string title, std::uint64_t bytes, bool quiet)
    : title_{std::move(title)}, bytes_{bytes}, shown_{!quiet && ::isatty(STDERR_FILENO) == 1} {}

void progress_bar::operator()(lathe::progress const & p) {
    using namespace std::chrono_literals;
    if (!shown_)
        return;
    auto const now = clock::now();
    if (p.step < last_) { // another pass
        ++pass_;
        started_ = now;
    }
    last_ = p.step;
    if (now - drawn_ < 100ms && p.step != p.total)
        return;
    drawn_ = now;

    auto const part = p.total == 0 ? 1.0 : static_cast<double>(p.step) / static_cast<double>(p.total);
    auto const seconds = std::max(std::chrono::duration<double>(now - started_).count(), 1e-9);
    std::string tail = format(" %3.0f%%", part * 100);
    if (std::isnan(p.objective)) {
        tail += "  " + human_bytes(part * static_cast<double>(bytes_) / seconds) + "/s";
        if (pass_ > 1)
            tail += format("  pass %zu", pass_);
    } else {
        tail += format("  %zu/%zu  f %.6g", p.step, p.total, p.objective);
        if (!std::isnan(p.residual))
            tail += format("  gap %.3g", p.residual);
    }
    if (part > 0 && part < 1)
        tail += "  " + human_seconds(seconds * (1 - part) / part) + " left";

    auto const room = terminal_width() - 1;
    auto line = title_ + " ";
    if (line.size() + tail.size() + 12 < room) {
        auto const bar = std::min<std::size_t>(40, room - line.size() - tail.size() - 2);
        auto const full = static_cast<std::size_t>(std::min(1.0, part) * static_cast<double>(bar));
        line += "[" + std::string(full, '=') + std::string(bar - full, ' ') + "]";
    }
    draw((line + tail).substr(0, room));
}

void progress_bar::draw(std::string const & line) {
    auto const padding = width_ > line.size() ? width_ - line.size() : 0;
    std::fprintf(stderr, "\r%s%s", line.c_str(), std::string(padding, ' ').c_str());
    std::fflush(stderr);
    width_ = line.size();
}

void progress_bar::clear() {
    if (width_ != 0)
        std::fprintf(stderr, "\r%s\r", std::string(width_, ' ').c_str());
    width_ = 0;
}

} // namespace lathe_cli
