/// \file  What a writer leaves behind: everything or nothing, and never two checkpoints under one name.
#include "safetensors_files.hpp"

#include <csignal>
#include <sys/resource.h>

using namespace lathe_test;
using lathe::io::safetensors_writer;
using lathe::io::write_options;

namespace {

std::vector<lathe::tensor_info> const two{{"a", lathe::dtype::u8, {10}}, {"b", lathe::dtype::u8, {6}}};

void commit(safetensors_writer & w, std::size_t index, std::size_t first, std::size_t size, char value = 'x') {
    lathe::window_buffer buffer;
    auto const window = w.window(index, first, size, buffer);
    REQUIRE(window.size() == size);
    std::ranges::fill(window, static_cast<std::byte>(value));
    w.commit(index, first, window);
}
std::unique_ptr<lathe::memory_checkpoint> one(std::string const & name, std::size_t size = 8) {
    auto c = std::make_unique<lathe::memory_checkpoint>();
    add_tensor(*c, name, lathe::dtype::u8, {size});
    return c;
}
/// n tensors, which make n shards of 8 bytes.
std::unique_ptr<lathe::memory_checkpoint> several(std::string const & prefix, std::size_t n) {
    auto c = std::make_unique<lathe::memory_checkpoint>();
    for (std::size_t i = 0; i != n; ++i)
        add_tensor(*c, prefix + std::to_string(i), lathe::dtype::u8, {8});
    return c;
}

} // namespace

TEST_CASE("without finish nothing appears and what was there stays", "[io]") {
    temporary_folder folder;
    write_contents(folder / "x.safetensors", "old");
    auto const background = GENERATE(false, true);
    auto const shard = GENERATE(0, 8);
    {
        safetensors_writer w{folder / "x.safetensors",
                             {.max_shard_size = static_cast<std::uint64_t>(shard), .background = background}};
        CHECK(folder.names() == names{"x.safetensors"});
        w.begin(two, {});
        commit(w, 0, 0, 10);
        commit(w, 1, 0, 6);
        CHECK(folder.names().size() == (shard == 0 ? 2u : 3u));
        CHECK(contents_of(folder / "x.safetensors") == "old");
    }
    CHECK(folder.names() == names{"x.safetensors"});
    CHECK(contents_of(folder / "x.safetensors") == "old");
}

TEST_CASE("finish replaces the target", "[io]") {
    temporary_folder folder;
    write_contents(folder / "x.safetensors", "old");
    auto const c = one("new");
    lathe::io::save(*c, folder / "x.safetensors");
    CHECK(folder.names() == names{"x.safetensors"});
    check_same(*lathe::io::open_checkpoint(folder / "x.safetensors"), *c);
}

TEST_CASE("a file that is being read may be replaced by its successor", "[io]") {
    temporary_folder folder;
    lathe::memory_checkpoint c;
    fill_with_everything(c);
    lathe::io::save(c, folder / "x.safetensors");
    auto const from = lathe::io::open_checkpoint(folder / "x.safetensors");
    lathe::io::save(*from, folder / "x.safetensors");
    check_same(*lathe::io::open_checkpoint(folder / "x.safetensors"), c);
    check_same(*from, c);
}

TEST_CASE("windows may come in any order and overlap, but must be all", "[io]") {
    temporary_folder folder;
    auto const background = GENERATE(false, true);
    auto const path = folder / "x.safetensors";
    SECTION("all") {
        safetensors_writer w{path, {.background = background}};
        w.begin(two, {});
        commit(w, 1, 3, 3, '3');
        commit(w, 0, 4, 2, '2');
        commit(w, 0, 0, 4, '1');
        commit(w, 0, 9, 1, '9');
        commit(w, 0, 5, 5, '5');
        commit(w, 1, 0, 3, '0');
        commit(w, 1, 6, 0);
        std::string const own = "mine";
        w.commit(0, 6, std::as_bytes(std::span{own}));
        w.finish();
        CHECK(contents_of(path).ends_with("111125mine000333"));
        lathe::window_buffer buffer;
        CHECK_THROWS_WITH(w.finish(), contains("finish after finish"));
        CHECK_THROWS_AS(w.commit(0, 0, std::as_bytes(std::span{own})), lathe::error);
        CHECK_THROWS_AS(w.window(0, 0, 1, buffer), lathe::error);
    }
    auto const incomplete = [&](std::vector<std::array<std::size_t, 3>> const & windows, std::string const & message) {
        {
            safetensors_writer w{path, {.background = background}};
            w.begin(two, {});
            for (auto const & [index, first, size] : windows)
                commit(w, index, first, size);
            CHECK_THROWS_WITH(w.finish(), contains(path.string()) && contains(message));
        }
        CHECK(folder.names().empty());
    };
    SECTION("some missing") {
        incomplete({}, "tensor 'a': byte 0 of 10 was never written");
        incomplete({{0, 0, 10}}, "tensor 'b': byte 0 of 6");
        incomplete({{0, 0, 10}, {1, 0, 5}}, "tensor 'b': byte 5 of 6");
        incomplete({{0, 0, 4}, {0, 5, 5}, {1, 0, 6}}, "tensor 'a': byte 4 of 10");
        incomplete({{0, 1, 9}, {1, 0, 6}}, "tensor 'a': byte 0 of 10");
        incomplete({{0, 5, 5}, {0, 0, 3}, {0, 2, 2}, {1, 0, 6}}, "tensor 'a': byte 4 of 10");
    }
    SECTION("too long") {
        safetensors_writer w{path, {.background = background}};
        w.begin(two, {});
        lathe::window_buffer buffer;
        std::array<std::byte, 20> const bytes{};
        CHECK_THROWS_AS(w.window(0, 0, 11, buffer), lathe::shape_error);
        CHECK_THROWS_AS(w.window(2, 0, 0, buffer), lathe::shape_error);
        CHECK_THROWS_AS(w.commit(1, 5, std::span{bytes}.first(2)), lathe::shape_error);
        CHECK_THROWS_AS(w.commit(2, 0, std::span{bytes}.first(2)), lathe::shape_error);
    }
}

TEST_CASE("more windows than the queue has buffers may be out", "[io]") {
    temporary_folder folder;
    std::vector<lathe::tensor_info> const tensors{{"a", lathe::dtype::u8, {100}}};
    safetensors_writer w{folder / "x.safetensors", {.background = true}};
    w.begin(tensors, {});
    std::array<lathe::window_buffer, 10> buffers;
    std::vector<std::span<std::byte>> windows;
    for (std::size_t i = 0; i != 10; ++i) {
        windows.push_back(w.window(0, 10 * i, 10, buffers[i]));
        std::ranges::fill(windows.back(), static_cast<std::byte>('0' + i));
    }
    for (std::size_t i = 10; i-- != 0;)
        w.commit(0, 10 * i, windows[i]);
    w.finish();
    std::string expected;
    for (char d = '0'; d <= '9'; ++d)
        expected.append(10, d);
    CHECK(contents_of(folder / "x.safetensors").ends_with(expected));
}

TEST_CASE("calls out of order are refused", "[io]") {
    temporary_folder folder;
    safetensors_writer w{folder / "x.safetensors"};
    lathe::window_buffer buffer;
    CHECK_THROWS_WITH(w.window(0, 0, 0, buffer), contains("window before begin"));
    CHECK_THROWS_WITH(w.commit(0, 0, {}), contains("commit before begin"));
    CHECK_THROWS_WITH(w.finish(), contains("finish before begin"));
    w.begin({}, {});
    CHECK_THROWS_WITH(w.begin({}, {}), contains("begin after begin"));
    safetensors_writer unsorted{folder / "y.safetensors"};
    CHECK_THROWS_WITH(unsorted.begin({two[1], two[0]}, {}), contains("names: found 'a' after 'b'"));
    safetensors_writer twice{folder / "y.safetensors"};
    CHECK_THROWS_AS(twice.begin({two[0], two[0]}, {}), lathe::format_error);
}

TEST_CASE("a folder gets model.safetensors; folders are made, and unmade", "[io]") {
    temporary_folder folder;
    auto const c = one("t");
    lathe::io::save(*c, folder.path());
    CHECK(folder.names() == names{"model.safetensors"});
    lathe::io::save(*c, folder / "new/deep/");
    check_same(*lathe::io::open_checkpoint(folder / "new/deep"), *c);
    CHECK(std::filesystem::exists(folder / "new/deep/model.safetensors"));
    {
        safetensors_writer w{folder / "other/deep/x.safetensors"};
        CHECK(folder.names() == names{"model.safetensors", "new"});
        w.begin({}, {});
        CHECK(std::filesystem::exists(folder / "other/deep"));
    }
    CHECK(folder.names() == names{"model.safetensors", "new"});
}

TEST_CASE("one name never stands for two checkpoints", "[io]") {
    temporary_folder folder;
    auto const target = folder.path();
    write_contents(folder / "other-00001-of-00001.safetensors", "not ours");
    write_contents(folder / "model-1-of-2.safetensors", "not a shard");
    names const others{"model-1-of-2.safetensors", "other-00001-of-00001.safetensors"};
    auto const with_others = [&](names files) {
        files.insert(files.end(), others.begin(), others.end());
        std::ranges::sort(files);
        return files;
    };
    auto const check = [&](lathe::checkpoint & c, names const & files) {
        CHECK(folder.names() == with_others(files));
        check_same(*lathe::io::open_checkpoint(target), c);
        check_same(*lathe::io::open_checkpoint(folder / "model.safetensors"), c);
    };
    auto const a = one("a");
    auto const b = several("b", 3), c = several("c", 2), d = several("d", 2);
    names const of_two{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                       "model.safetensors.index.json"};
    lathe::io::save(*a, target);
    check(*a, {"model.safetensors"});
    lathe::io::save(*b, target, {.max_shard_size = 8}); // single, then sharded
    check(*b, {"model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
               "model-00003-of-00003.safetensors", "model.safetensors.index.json"});
    lathe::io::save(*c, target, {.max_shard_size = 8}); // another number of shards
    check(*c, of_two);
    lathe::io::save(*d, target, {.max_shard_size = 8}); // the same number
    check(*d, of_two);
    lathe::io::save(*a, target); // and single again
    check(*a, {"model.safetensors"});
}

TEST_CASE("targets that must not be replaced are not", "[io]") {
    temporary_folder folder;
    auto const c = one("t");
    REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
    CHECK_THROWS_WITH(lathe::io::save(*c, folder / "pipe"), contains("not a regular file"));
    CHECK_THROWS_WITH(lathe::io::save(*c, "/dev/null"), contains("not a regular file"));
    CHECK_THROWS_AS(lathe::io::save(*c, folder / "x.safetensors.index.json"), lathe::option_error);
    CHECK_THROWS_AS(lathe::io::save(*c, ""), lathe::option_error);
    CHECK(folder.names() == names{"pipe"});
    // A link is replaced, what it points to is not touched.
    write_contents(folder / "blob", "old");
    std::filesystem::create_symlink("blob", folder / "link.safetensors");
    lathe::io::save(*c, folder / "link.safetensors");
    CHECK(contents_of(folder / "blob") == "old");
    check_same(*lathe::io::open_checkpoint(folder / "link.safetensors"), *c);
}

TEST_CASE("where nothing can be written the path and the reason are named", "[io]") {
    temporary_folder folder;
    auto const c = one("t");
    CHECK_THROWS_AS(lathe::io::save(*c, "/proc/lathe.safetensors"), lathe::io_error);
    CHECK_THROWS_WITH(lathe::io::save(*c, "/proc/lathe.safetensors"), contains("/proc/") && contains("cannot create"));
    write_contents(folder / "file", "");
    CHECK_THROWS_WITH(lathe::io::save(*c, folder / "file/x.safetensors"),
                      contains((folder / "file").string()) && contains("Not a directory"));
    if (::geteuid() != 0) { // nothing is read-only for root
        std::filesystem::create_directory(folder / "locked");
        std::filesystem::permissions(folder / "locked",
                                     std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
        CHECK_THROWS_WITH(lathe::io::save(*c, folder / "locked/x.safetensors"),
                          contains("locked") && contains("Permission denied"));
        std::filesystem::permissions(folder / "locked", std::filesystem::perms::owner_all);
    }
}

TEST_CASE("a full disk is noticed, at the start where it can be", "[io]") {
    // The limit on the size of a file stands in for the disk.
    struct limited {
        rlimit old{};
        void (*handler)(int);
        explicit limited(rlim_t bytes) : handler{std::signal(SIGXFSZ, SIG_IGN)} {
            ::getrlimit(RLIMIT_FSIZE, &old);
            auto now = old;
            now.rlim_cur = bytes;
            ::setrlimit(RLIMIT_FSIZE, &now);
        }
        ~limited() {
            ::setrlimit(RLIMIT_FSIZE, &old);
            std::signal(SIGXFSZ, handler);
        }
    };
    temporary_folder folder;
    auto const c = one("t", 100'000);
    auto const background = GENERATE(false, true);
    write_options const options{.background = background};
    std::string at_begin, later;
    {
        limited const disk{50'000};
        safetensors_writer w{folder / "x.safetensors", options};
        try {
            w.begin({c->tensors().begin(), c->tensors().end()}, {});
        } catch (lathe::io_error const & e) {
            at_begin = e.what();
        }
    }
    {
        safetensors_writer w{folder / "x.safetensors", options};
        w.begin({c->tensors().begin(), c->tensors().end()}, {});
        limited const disk{50'000};
        try {
            for (std::size_t first = 0; first != 100'000; first += 1000)
                commit(w, 0, first, 1000);
            w.finish();
        } catch (lathe::io_error const & e) {
            later = e.what();
        }
    }
    CHECK_THAT(at_begin, contains("cannot reserve") && contains("File too large"));
    CHECK_THAT(later, contains("cannot write: File too large"));
    CHECK(folder.names().empty());
}

TEST_CASE("with a staging folder a later writer goes on where one stopped", "[io]") {
    temporary_folder folder;
    auto const target = folder / "x.safetensors";
    auto const shards = GENERATE(std::uint64_t{0}, std::uint64_t{8});
    write_options options{.max_shard_size = shards};
    options.staging = folder / "staging";
    std::filesystem::create_directory(options.staging);
    {
        safetensors_writer w(target, options);
        w.begin(two, {});
        CHECK(!w.resumed());
        CHECK_THROWS_AS(w.keep(0), lathe::shape_error);
        commit(w, 0, 0, 10, 'p');
        w.flush();
        commit(w, 1, 0, 3, 'q'); // half of it
    }
    CHECK(!std::filesystem::exists(target));
    {
        safetensors_writer w(target, options);
        w.begin(two, {});
        REQUIRE(w.resumed());
        w.keep(0);
        CHECK_THROWS_AS(w.finish(), lathe::shape_error); // b is not there
    }
    {
        safetensors_writer w(target, options);
        w.begin(two, {});
        REQUIRE(w.resumed());
        w.keep(0);
        commit(w, 1, 0, 6, 'r');
        w.finish();
    }
    auto const back = lathe::io::load(target);
    CHECK(std::ranges::all_of(back->bytes(0), [](std::byte b) { return b == std::byte{'p'}; }));
    CHECK(std::ranges::all_of(back->bytes(1), [](std::byte b) { return b == std::byte{'r'}; }));
    CHECK(std::filesystem::is_empty(options.staging));

    // Files of other tensors are not gone on with.
    {
        safetensors_writer w(target, options);
        w.begin(two, {});
        commit(w, 0, 0, 10);
    }
    safetensors_writer other(target, options);
    other.begin({{"a", lathe::dtype::u8, {9}}, {"b", lathe::dtype::u8, {6}}}, {});
    CHECK(!other.resumed());
}
