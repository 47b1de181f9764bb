// Compiled programs on disk: found again, made again when damaged, told apart by all that they depend on.
#include "support.hpp"

#include <filesystem>
#include <fstream>

namespace {
using namespace lathe_test;
namespace fs = std::filesystem;

std::vector<fs::path> files_in(fs::path const & folder) {
    std::vector<fs::path> all;
    for (auto const & f : fs::recursive_directory_iterator(folder))
        if (f.is_regular_file())
            all.push_back(f.path());
    return all;
}
inline constexpr auto triple_and_one = [](auto const & x) { return 3 * x + 1; };

/// Runs a kernel on a backend of its own. \returns programs built, and found on disk
std::pair<std::size_t, std::size_t> run_with(std::string const & folder) {
    opencl_backend be(opencl::options{.cache = folder});
    auto const x = be.allocate<float>(10);
    ops::fill(be, 2, x.view());
    ops::map<float>(be, triple_and_one, x.view(), x.view());
    CHECK(download(be, x.view()) == std::vector<float>(10, 7));
    ops::map<float>(be, triple_and_one, x.view(), x.view()); // known by now
    return {be.programs().built(), be.programs().loaded()};
}
} // namespace

TEST_CASE("SHA-256 of known texts", "[opencl]") {
    CHECK(opencl::sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(opencl::sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(opencl::sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")
          == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK(opencl::sha256(std::string(1'000'000, 'a'))
          == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("programs are kept on disk", "[opencl]") {
    temporary_folder const folder;
    auto const cache = (folder.path() / "not" / "yet" / "there").string();
    CHECK(run_with(cache) == std::pair{std::size_t{2}, std::size_t{0}});
    auto const files = files_in(cache);
    REQUIRE(files.size() == 2); // and nothing left beside them
    for (auto const & f : files)
        CHECK(f.extension() == ".bin");
    CHECK(run_with(cache) == std::pair{std::size_t{0}, std::size_t{2}});

    auto const contents = opencl::read_file(files[0].string()).value();
    auto const spoil = [&](std::string const & with) {
        std::ofstream(files[0], std::ios::binary | std::ios::trunc) << with;
        CHECK(run_with(cache) == std::pair{std::size_t{1}, std::size_t{1}});
        CHECK(opencl::read_file(files[0].string()).value().size() > 100); // made anew
        CHECK(run_with(cache) == std::pair{std::size_t{0}, std::size_t{2}});
    };
    spoil("");
    spoil("something else");
    spoil(contents.substr(0, contents.size() / 2));
    spoil(contents.substr(0, contents.size() - 1));
    auto flipped = contents;
    flipped[contents.size() / 2] = static_cast<char>(flipped[contents.size() / 2] ^ 1);
    spoil(flipped);
    // Sealed, but no program: from a driver that said the same of itself, say.
    std::string const nonsense(1000, 'x');
    spoil("lathe opencl program 1\n" + opencl::sha256(nonsense) + "\n" + nonsense);
}

TEST_CASE("without a cache, or with one that cannot be written, programs are built", "[opencl]") {
    CHECK(run_with("") == std::pair{std::size_t{2}, std::size_t{0}});
    temporary_folder const folder;
    auto const file = (folder.path() / "file").string();
    std::ofstream(file) << "in the way";
    CHECK(run_with(file) == std::pair{std::size_t{2}, std::size_t{0}});
    CHECK(run_with("/proc/nowhere") == std::pair{std::size_t{2}, std::size_t{0}});
}

TEST_CASE("a program's key is made of device, driver, platform, options and source", "[opencl]") {
    auto const d = opencl::choose_device();
    auto const key = [](opencl::device const & of, std::string const & source) {
        return opencl::program_cache({}, of, "").key_of(source);
    };
    auto const one = key(d, "source");
    CHECK(one.size() == 64);
    CHECK(key(d, "source") == one);
    CHECK(key(d, "source ") != one);
    for (auto const part :
         {&opencl::device::name, &opencl::device::vendor, &opencl::device::version, &opencl::device::driver,
          &opencl::device::platform_name, &opencl::device::platform_version}) {
        auto other = d;
        other.*part += "2";
        CHECK(key(other, "source") != one);
    }
    auto rounded = d;
    rounded.correctly_rounded = !d.correctly_rounded;
    CHECK(key(rounded, "source") != one);
    // The same letters, divided otherwise.
    auto left = d, right = d;
    left.name = "ab", left.vendor = "c";
    right.name = "a", right.vendor = "bc";
    CHECK(key(left, "source") != key(right, "source"));
}

TEST_CASE("the folder of the cache follows the XDG rules", "[opencl]") {
    struct keeper {
        char const * name;
        std::optional<std::string> value;
        explicit keeper(char const * n) : name(n) {
            if (auto const * const v = std::getenv(n); v != nullptr)
                value = v;
        }
        keeper(keeper const &) = delete;
        keeper & operator=(keeper const &) = delete;
        ~keeper() { value ? ::setenv(name, value->c_str(), 1) : ::unsetenv(name); }
    };
    keeper const xdg("XDG_CACHE_HOME"), home("HOME"), off("LATHE_OPENCL_CACHE");
    ::unsetenv("LATHE_OPENCL_CACHE");
    ::setenv("HOME", "/home/somebody", 1);
    ::setenv("XDG_CACHE_HOME", "/elsewhere", 1);
    CHECK(opencl::default_cache_folder() == "/elsewhere/lathe");
    ::setenv("XDG_CACHE_HOME", "relative/does/not/count", 1);
    CHECK(opencl::default_cache_folder() == "/home/somebody/.cache/lathe");
    ::unsetenv("XDG_CACHE_HOME");
    CHECK(opencl::default_cache_folder() == "/home/somebody/.cache/lathe");
    ::unsetenv("HOME");
    CHECK(opencl::default_cache_folder().empty());
    ::setenv("XDG_CACHE_HOME", "/elsewhere", 1);
    ::setenv("LATHE_OPENCL_CACHE", "0", 1);
    CHECK(opencl::default_cache_folder().empty());
}
