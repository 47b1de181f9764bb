/// \file  Files, maps and their resident pages.
#include "safetensors_files.hpp"

#include <fstream>

using namespace lathe_test;
namespace io = lathe::io;

namespace {

/// Resident pages of mapped files of this process, in bytes.
std::size_t resident_file_bytes() {
    std::ifstream status{"/proc/self/status"};
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("RssFile:"))
            return std::stoul(line.substr(8)) * 1024;
    return 0;
}

} // namespace

TEST_CASE("files are read and written at offsets, whole", "[io]") {
    temporary_folder folder;
    auto out = io::file::create_new(folder / "x");
    REQUIRE(out);
    CHECK(!io::file::create_new(folder / "x"));
    out->reserve(5);
    CHECK(out->size() == 5);
    std::string const text = "abc";
    out->write(std::as_bytes(std::span{text}), 2);
    out->sync();
    out->close();
    out->close();
    CHECK(contents_of(folder / "x") == std::string("\0\0abc", 5));

    auto const in = io::file::open(folder / "x");
    std::string found(2, ' ');
    in.read(std::as_writable_bytes(std::span{found}), 3);
    CHECK(found == "bc");
    CHECK_THROWS_WITH(in.read(std::as_writable_bytes(std::span{found}), 4),
                      contains((folder / "x").string()) && contains("ends at byte 5, 1 more"));
    CHECK_THROWS_WITH(in.write(std::as_bytes(std::span{text}), 0), contains("cannot write: Bad file descriptor"));
    CHECK_THROWS_WITH(io::file::open(folder / "y"), contains("cannot open: No such file or directory"));
    CHECK_THROWS_WITH(io::file::open(folder.path()), contains("not a regular file"));
}

TEST_CASE("a staged file appears when it is published, or never", "[io]") {
    temporary_folder folder;
    std::string const text = "new";
    {
        io::staged_file s{folder / "x", false};
        s.write(std::as_bytes(std::span{text}), 0);
        CHECK(folder.names().size() == 1);
        CHECK(!std::filesystem::exists(folder / "x"));
    }
    CHECK(folder.names().empty());
    {
        std::vector<io::staged_file> moved;
        for (auto const * const name : {"x", "y"})
            moved.emplace_back(folder / name, true).write(std::as_bytes(std::span{text}), 0);
        moved[0].close();
        moved[0].publish();
    }
    CHECK(folder.names() == names{"x"});
    CHECK(contents_of(folder / "x") == "new");
}

TEST_CASE("streaming through a map keeps few of its pages resident", "[io]") {
    constexpr std::size_t size = std::size_t{96} << 20, window = std::size_t{3} << 20, limit = std::size_t{8} << 20;
    temporary_folder folder;
    {
        auto const out = io::file::create_new(folder / "x");
        std::vector<std::byte> block(std::size_t{1} << 20);
        for (std::size_t at = 0; at != size; at += block.size()) {
            std::ranges::fill(block, static_cast<std::byte>(at / block.size()));
            out->write(block, at);
        }
    }
    auto const stream = [&](std::size_t resident) {
        io::resident_window keep{resident};
        io::file_map const map{io::file::open(folder / "x"), size};
        auto const before = resident_file_bytes();
        std::size_t most = 0;
        unsigned long sum = 0;
        for (int pass = 0; pass != 2; ++pass)
            for (std::size_t first = 0; first < size; first += window) {
                auto const part = map.bytes().subspan(first, std::min(window, size - first));
                keep.touch(map.bytes(), part);
                for (std::size_t i = 0; i < part.size(); i += 1024)
                    sum += static_cast<unsigned>(part[i]);
                most = std::max(most, resident_file_bytes() - before);
            }
        CHECK(sum == 2ul * 1024ul * (95ul * 96ul / 2ul));
        keep.forget(map.bytes());
        return most;
    };
    auto const all = stream(0), few = stream(limit);
    CHECK(all >= size);
    CHECK(few <= limit + 2 * window + (std::size_t{4} << 20));
}
