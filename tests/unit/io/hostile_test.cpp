/// \file  Files that are damaged or made to do harm: each is refused with an exception of ours, or is a valid file.
#include "safetensors_files.hpp"

#include <nlohmann/json.hpp>

using namespace lathe_test;
using lathe::io::access_mode;

namespace {

/// Reads everything there is; tells whether that was possible. Anything but our exceptions fails the test.
bool loads(std::filesystem::path const & path, access_mode access) {
    try {
        lathe::io::safetensors_file file{path, {.access = access}};
        lathe::window_buffer buffer;
        unsigned sum = 0;
        for (std::size_t i = 0; i != file.tensors().size(); ++i)
            for (auto const b : file.read(i, 0, file.tensors()[i].bytes(), buffer))
                sum += static_cast<unsigned>(b);
        CHECK(sum < 1'000'000u);
        return true;
    } catch (lathe::format_error const & e) {
        CHECK(std::string_view{e.what()}.starts_with(path.string()));
    } catch (lathe::io_error const & e) {
        CHECK(std::string_view{e.what()}.starts_with(path.string()));
    }
    return false;
}

std::string small_file() {
    temporary_folder folder;
    lathe::memory_checkpoint c;
    c.begin({}, {{"format", "pt"}});
    add_tensor(c, "w", lathe::dtype::f32, {2, 2});
    add_tensor(c, "b\xc3\xa9", lathe::dtype::u8, {3});
    add_tensor(c, "n", lathe::dtype::i64, {});
    lathe::io::save(c, folder / "x");
    return contents_of(folder / "x");
}

} // namespace

TEST_CASE("the bad files of the recorded cases are refused, the odd ones load", "[io]") {
    auto const folder = std::filesystem::path{LATHE_TEST_DATA} / "merge/badfiles";
    auto const manifest = nlohmann::json::parse(contents_of(folder / "manifest.json"));
    REQUIRE(manifest["inputs"]["files"].size() >= 13);
    REQUIRE(manifest["inputs"]["accept"].size() >= 3);
    for (auto const access : {access_mode::memory_map, access_mode::block_read}) {
        for (auto const & name : manifest["inputs"]["files"]) {
            CAPTURE(name);
            CHECK(!loads(folder / name.get<std::string>(), access));
        }
        for (auto const & name : manifest["inputs"]["accept"]) {
            CAPTURE(name);
            CHECK(loads(folder / name.get<std::string>(), access));
        }
    }
}

TEST_CASE("a file cut short anywhere is refused", "[io]") {
    temporary_folder folder;
    auto const whole = small_file();
    write_contents(folder / "x", whole);
    REQUIRE(loads(folder / "x", access_mode::memory_map));
    for (auto size = whole.size(); size-- != 0;) {
        std::filesystem::resize_file(folder / "x", size);
        CAPTURE(size);
        CHECK(!loads(folder / "x", access_mode::memory_map));
        CHECK(!loads(folder / "x", access_mode::block_read));
    }
    write_contents(folder / "x", whole + '\0');
    CHECK(!loads(folder / "x", access_mode::memory_map));
}

TEST_CASE("any bit of the header may be wrong", "[io]") {
    temporary_folder folder;
    auto const whole = small_file();
    std::uint64_t header = 0;
    std::memcpy(&header, whole.data(), 8);
    write_contents(folder / "x", whole);
    std::size_t refused = 0, flips = 0;
    for (std::size_t at = 0; at != 8 + header; ++at)
        for (unsigned bit = 0; bit != 8; ++bit, ++flips) {
            auto const put = [&](unsigned damage) {
                std::fstream file{folder / "x", std::ios::in | std::ios::out | std::ios::binary};
                file.seekp(static_cast<std::streamoff>(at))
                    .put(static_cast<char>(static_cast<unsigned char>(whole[at]) ^ damage));
            };
            put(1u << bit);
            refused += loads(folder / "x", access_mode::memory_map) ? 0 : 1;
            put(0);
        }
    REQUIRE(contents_of(folder / "x") == whole);
    // A flip in a name or in metadata gives another valid file; most others cannot.
    CHECK(refused > flips / 2);
    CHECK(refused < flips);
}

TEST_CASE("random damage to the text of a header", "[io]") {
    auto const whole = small_file();
    std::uint64_t length = 0;
    std::memcpy(&length, whole.data(), 8);
    std::string const header = whole.substr(8, length);
    auto const data = whole.size() - 8 - length;
    std::string const alphabet = "{}[]\",:0123456789-.eEtrufalsn\\ FIU\x80\xc3\xff";
    std::mt19937 random{7};
    auto const below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>{0, n - 1}(random); };
    std::size_t accepted = 0;
    for (int round = 0; round != 30'000; ++round) {
        auto text = header;
        for (auto changes = 1 + below(4); changes != 0; --changes) {
            auto const at = below(text.size());
            switch (below(4)) {
            case 0: text[at] = alphabet[below(alphabet.size())]; break;
            case 1: text.insert(at, 1, alphabet[below(alphabet.size())]); break;
            case 2: text.erase(at, 1 + below(8)); break;
            default: text.insert(below(text.size()), text.substr(at, below(40))); break;
            }
        }
        try {
            auto const h = lathe::io::parse_header(text, data, "f");
            std::size_t covered = 0;
            for (std::size_t i = 0; i != h.tensors.size(); ++i) {
                covered += h.tensors[i].bytes();
                REQUIRE(h.offsets[i] + h.tensors[i].bytes() <= data);
            }
            REQUIRE(covered == data);
            REQUIRE(std::ranges::is_sorted(h.tensors, {}, &lathe::tensor_info::name));
            ++accepted;
        } catch (lathe::format_error const &) {}
    }
    CHECK(accepted > 100); // names, metadata and padding may change
    CHECK(accepted < 20'000);
}

TEST_CASE("an announced header costs no memory the file does not have", "[io]") {
    temporary_folder folder;
    auto file = small_file();
    for (std::uint64_t const announced :
         {std::uint64_t{99'999'999}, std::uint64_t{1} << 40, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
        std::memcpy(file.data(), &announced, 8);
        write_contents(folder / "x", file);
        CHECK_THROWS_WITH(lathe::io::safetensors_file{folder / "x"},
                          contains("header length: found " + std::to_string(announced)));
    }
}

TEST_CASE("a file that shrinks under block reads is reported", "[io]") {
    temporary_folder folder;
    auto const whole = small_file();
    write_contents(folder / "x", whole);
    lathe::io::safetensors_file file{folder / "x", {.access = access_mode::block_read}};
    std::filesystem::resize_file(folder / "x", whole.size() - 3);
    lathe::window_buffer buffer;
    auto const last = *file.find("b\xc3\xa9");
    CHECK_THROWS_AS(file.read(last, 0, 3, buffer), lathe::io_error);
    CHECK_THROWS_WITH(file.read(last, 0, 3, buffer), contains("truncated"));
}
