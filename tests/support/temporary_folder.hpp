#pragma once
/// \file  A folder for the files of one test, gone with the test; whole files as strings.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace lathe_test {

class temporary_folder {
    std::filesystem::path path_;

public:
    temporary_folder() {
        auto name = (std::filesystem::temp_directory_path() / "lathe-test-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr)
            throw std::runtime_error{"no temporary folder"};
        path_ = name;
    }
    temporary_folder(temporary_folder const &) = delete;
    temporary_folder & operator=(temporary_folder const &) = delete;
    ~temporary_folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    [[nodiscard]] std::filesystem::path const & path() const { return path_; }
    [[nodiscard]] std::filesystem::path operator/(std::string const & name) const { return path_ / name; }
    /// Names of everything in it, hidden files too, sorted.
    [[nodiscard]] std::vector<std::string> names() const {
        std::vector<std::string> all;
        for (auto const & e : std::filesystem::directory_iterator{path_})
            all.push_back(e.path().filename().string());
        std::sort(all.begin(), all.end());
        return all;
    }
};

inline std::string contents_of(std::filesystem::path const & path) {
    std::ifstream in{path, std::ios::binary};
    if (!in)
        throw std::runtime_error{"cannot read " + path.string()};
    return {std::istreambuf_iterator<char>{in}, {}};
}
inline void write_contents(std::filesystem::path const & path, std::string const & text) {
    std::ofstream out{path, std::ios::binary | std::ios::trunc};
    out << text;
    if (!out.flush())
        throw std::runtime_error{"cannot write " + path.string()};
}

} // namespace lathe_test
