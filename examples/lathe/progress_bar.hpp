#pragma once
/// \file  A progress bar on standard error, with throughput and the time that is left. Nothing where it is no terminal.
#include <lathe/core/control.hpp>

#include <chrono>
#include <cstdint>
#include <string>

namespace lathe_cli {

/// "1.2 GB": three digits, decimal units.
std::string human_bytes(double bytes);
/// "850 ms", "12.3 s", "4 min 05 s", "2 h 07 min"
std::string human_seconds(double seconds);

/// Models lathe::observer. A method that streams reports elements done of all, again from the start in every pass; one
/// that iterates reports its objective too.
class progress_bar {
    using clock = std::chrono::steady_clock;
    std::string title_;
    std::uint64_t bytes_;
    bool shown_;
    std::size_t width_ = 0, last_ = 0, pass_ = 1;
    clock::time_point started_ = clock::now(), drawn_ = started_;

    void draw(std::string const & line);

public:
    /// \param bytes that one pass over the inputs reads
    progress_bar(std::string title, std::uint64_t bytes, bool quiet);
    progress_bar(progress_bar const &) = delete;
    progress_bar & operator=(progress_bar const &) = delete;
    ~progress_bar() { clear(); }

    void operator()(lathe::progress const & p);
    /// Takes the bar from the terminal.
    void clear();
};

} // namespace lathe_cli
