#pragma once
/// \file  What the fuzz targets share. An input is a letter, which names the reader, and what that reads: the corpora
///        and their mutants stay files that a person can look at.
#include <lathe/core/error.hpp>

#include <temporary_folder.hpp>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace lathe_fuzz {

/// A promise that the library makes about any input.
inline void expect(bool holds, char const * promise) {
    if (!holds) {
        std::fprintf(stderr, "broken: %s\n", promise);
        std::abort();
    }
}

/// Reads; what is refused is refused by an error of ours, in words. Anything else that is thrown ends the program.
template <class F> bool accepted(F && read) {
    try {
        read();
        return true;
    } catch (lathe::error const & e) {
        expect(!std::string_view{e.what()}.empty(), "an error says what is wrong");
        return false;
    }
}

/// Where readers of files find what they read: in memory, where the system has that.
inline lathe_test::temporary_folder & folder() {
    static bool const in_memory =
        ::setenv("TMPDIR", std::filesystem::is_directory("/dev/shm") ? "/dev/shm" : "/tmp", 0) == 0;
    static_cast<void>(in_memory);
    static lathe_test::temporary_folder made;
    return made;
}
/// A file of that name with these bytes; its path.
inline std::string file(std::string const & name, std::string_view bytes) {
    auto path = (folder() / name).string();
    lathe_test::write_contents(path, std::string{bytes});
    return path;
}

/// The letter and the rest, or two empty texts.
struct selected {
    char reader = '\0';
    std::string_view text;
};
inline selected select(unsigned char const * data, std::size_t size) {
    if (size == 0)
        return {};
    std::string_view const all(reinterpret_cast<char const *>(data), size);
    return {all.front(), all.substr(1)};
}

} // namespace lathe_fuzz
