/// \file  Round trips through files: every type and shape, both ways of reading, shards, folders.
#include "safetensors_files.hpp"

#include <thread>

using namespace lathe_test;
using lathe::io::access_mode;

TEST_CASE("a checkpoint of every type comes back from a file as it was", "[io]") {
    temporary_folder folder;
    lathe::memory_checkpoint original;
    fill_with_everything(original);
    auto const background = GENERATE(false, true);
    auto const access = GENERATE(access_mode::memory_map, access_mode::block_read);
    lathe::io::save(original, folder / "x.safetensors", {.max_shard_size = 0, .sync = false, .background = background});
    CHECK(folder.names() == names{"x.safetensors"});
    auto const read = lathe::io::open_checkpoint(folder / "x.safetensors", {.access = access, .resident_bytes = 1});
    check_same(*read, original, 3);
    CHECK(read->label() == (folder / "x.safetensors").string());
    auto const loaded = lathe::io::load(folder / "x.safetensors");
    check_same(*loaded, original);
}

TEST_CASE("metadata is kept", "[io]") {
    temporary_folder folder;
    lathe::memory_checkpoint original;
    original.begin({}, {{"format", "pt"}, {"", "empty key"}, {"\xc3\xa9", "a \"quote\"\n"}});
    lathe::io::save(original, folder / "x.safetensors");
    CHECK(lathe::io::open_checkpoint(folder / "x.safetensors")->metadata() == original.metadata());
}

TEST_CASE("a checkpoint without tensors is a file", "[io]") {
    temporary_folder folder;
    lathe::memory_checkpoint original;
    lathe::io::save(original, folder / "x.safetensors");
    CHECK(contents_of(folder / "x.safetensors") == file_around("{}      ", ""));
    check_same(*lathe::io::open_checkpoint(folder / "x.safetensors"), original);
}

TEST_CASE("the layout is that of the Python library", "[io]") {
    // Written by safetensors 0.8.0: wide types first, then names by their bytes; data in that order; padded to 8.
    lathe::memory_checkpoint c;
    c.begin({}, {{"format", "pt"}});
    c.set<float>("b", {2}, std::vector<float>{1, 2});
    c.set<double>("a.2", {1}, std::vector<double>{3});
    c.set<double>("a.10", {}, std::vector<double>{4});
    c.set({"u", lathe::dtype::u64, {0}}, {});
    temporary_folder folder;
    lathe::io::save(c, folder / "x.safetensors");
    auto const file = contents_of(folder / "x.safetensors");
    std::string data(24, '\0');
    double const d[] = {4, 3};
    float const f[] = {1, 2};
    std::memcpy(data.data(), d, 16);
    std::memcpy(data.data() + 16, f, 8);
    std::string header =
        R"({"__metadata__":{"format":"pt"},"u":{"dtype":"U64","shape":[0],"data_offsets":[0,0]},)"
        R"("a.10":{"dtype":"F64","shape":[],"data_offsets":[0,8]},"a.2":{"dtype":"F64","shape":[1],"data_offsets":[8,16]},)"
        R"("b":{"dtype":"F32","shape":[2],"data_offsets":[16,24]}})";
    header.append((8 - header.size() % 8) % 8, ' ');
    CHECK(file == file_around(header, data));
}

TEST_CASE("tensors may lie anywhere: unsorted, unaligned, empty ones between", "[io]") {
    temporary_folder folder;
    write_contents(
        folder / "x.safetensors",
        file_around(
            R"({ "z" :{"shape":[3],"data_offsets":[0,3],"dtype":"U8"},"y":{"dtype":"F32","shape":[1,1],"data_offsets":[3,7]},
                       "e":{"dtype":"F64","shape":[2,0],"data_offsets":[3,3]},"__metadata__":{},
                       "later":{"dtype":"I16","shape":[1],"data_offsets":[7,9],"strides":[{"a":[1.5,null]}],"flag":true}} )",
            "abcdefghi"));
    for (auto const access : {access_mode::memory_map, access_mode::block_read}) {
        lathe::io::safetensors_file file{folder / "x.safetensors", {.access = access}};
        REQUIRE(file.tensors().size() == 4);
        CHECK(file.tensors()[0] == lathe::tensor_info{"e", lathe::dtype::f64, {2, 0}});
        CHECK(file.tensors()[1] == lathe::tensor_info{"later", lathe::dtype::i16, {1}});
        CHECK(file.tensors()[2] == lathe::tensor_info{"y", lathe::dtype::f32, {1, 1}});
        CHECK(file.tensors()[3] == lathe::tensor_info{"z", lathe::dtype::u8, {3}});
        lathe::window_buffer buffer;
        auto const text = [&](std::size_t i, std::size_t first, std::size_t size) {
            auto const bytes = file.read(i, first, size, buffer);
            return std::string{reinterpret_cast<char const *>(bytes.data()), bytes.size()};
        };
        CHECK(text(2, 0, 4) == "defg");
        CHECK(text(3, 1, 2) == "bc");
        CHECK(text(1, 1, 1) == "i");
        CHECK(text(0, 0, 0).empty());
        CHECK_THROWS_AS(file.read(2, 1, 4, buffer), lathe::shape_error);
        CHECK_THROWS_AS(file.read(2, 5, 0, buffer), lathe::shape_error);
        CHECK_THROWS_AS(file.read(2, std::size_t(-1), 2, buffer), lathe::shape_error);
        CHECK_THROWS_AS(file.read(4, 0, 0, buffer), lathe::shape_error);
    }
}

TEST_CASE("a map is read in place and by several threads at a time", "[io]") {
    temporary_folder folder;
    lathe::memory_checkpoint original;
    for (int i = 0; i != 6; ++i)
        add_tensor(original, "t" + std::to_string(i), lathe::dtype::u8, {3'000'001});
    lathe::io::save(original, folder / "x.safetensors", {.sync = false});
    lathe::io::safetensors_file file{folder / "x.safetensors", {.resident_bytes = std::size_t{2} << 20}};
    lathe::window_buffer buffer;
    auto const whole = file.read(0, 0, 3'000'001, buffer);
    CHECK(file.read(0, 1000, 5, buffer).data() == whole.data() + 1000);

    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t != 3; ++t)
        threads.emplace_back([&, t] {
            lathe::window_buffer own;
            for (std::size_t k = 0; k != 6; ++k) {
                auto const i = t % 2 == 0 ? k : 5 - k;
                for (std::size_t first = 0; first < 3'000'001; first += 700'000) {
                    auto const size = std::min<std::size_t>(700'000, 3'000'001 - first);
                    wrong += std::ranges::equal(file.read(i, first, size, own), original.bytes(i).subspan(first, size))
                                 ? 0
                                 : 1;
                }
            }
        });
    for (auto & t : threads)
        t.join();
    CHECK(wrong == 0);
    CHECK(std::ranges::equal(whole, original.bytes(0))); // given back and read again
}

TEST_CASE("a checkpoint is split into shards of a size", "[io]") {
    temporary_folder folder;
    lathe::memory_checkpoint original;
    original.begin({}, {{"format", "pt"}});
    for (auto const * const name : {"a", "b", "c", "d"})
        add_tensor(original, name, lathe::dtype::f32, {25});
    add_tensor(original, "e", lathe::dtype::f64, {100}); // longer than a shard
    add_tensor(original, "f", lathe::dtype::bf16, {1});
    auto const background = GENERATE(false, true);
    lathe::io::save(original, folder / "m.safetensors", {.max_shard_size = 250, .background = background});
    CHECK(folder.names()
          == names{"m-00001-of-00004.safetensors", "m-00002-of-00004.safetensors", "m-00003-of-00004.safetensors",
                   "m-00004-of-00004.safetensors", "m.safetensors.index.json"});
    auto const index = nlohmann::json::parse(contents_of(folder / "m.safetensors.index.json"));
    CHECK(index["metadata"]["total_size"] == 4 * 100 + 800 + 2);
    CHECK(index["weight_map"].size() == 6);
    CHECK(index["weight_map"]["b"] == "m-00001-of-00004.safetensors");
    CHECK(index["weight_map"]["c"] == "m-00002-of-00004.safetensors");
    CHECK(index["weight_map"]["e"] == "m-00003-of-00004.safetensors");
    CHECK(index["weight_map"]["f"] == "m-00004-of-00004.safetensors");

    for (auto const access : {access_mode::memory_map, access_mode::block_read})
        for (auto const & path : {folder / "m.safetensors.index.json", folder / "m.safetensors", folder.path()})
            check_same(*lathe::io::open_checkpoint(path, {.access = access}), original, 64);
    lathe::io::sharded_checkpoint const set{folder / "m.safetensors.index.json"};
    CHECK(set.shard_count() == 4);
}

TEST_CASE("shards that need not be many are one file", "[io]") {
    temporary_folder folder;
    lathe::memory_checkpoint original;
    add_tensor(original, "a", lathe::dtype::f32, {25});
    add_tensor(original, "b", lathe::dtype::f32, {25});
    lathe::io::save(original, folder / "m.safetensors", {.max_shard_size = 200});
    CHECK(folder.names() == names{"m.safetensors"});
}

TEST_CASE("folders are opened by what is in them", "[io]") {
    temporary_folder folder;
    auto const put = [&](std::string const & name, std::string const & tensor) {
        lathe::memory_checkpoint c;
        add_tensor(c, tensor, lathe::dtype::u8, {2});
        lathe::io::save(c, folder / name);
    };
    auto const opened = [&] { return lathe::io::open_checkpoint(folder.path())->tensors()[0].name; };
    CHECK_THROWS_WITH(opened(), contains("model.safetensors.index.json") && contains("adapter_model.safetensors")
                                    && contains("there is none"));
    put("any.safetensors", "any");
    CHECK(opened() == "any");
    put("other.safetensors", "other");
    CHECK_THROWS_WITH(opened(), contains("there are 2"));
    CHECK_THROWS_AS(opened(), lathe::io_error);
    put("adapter_model.safetensors", "adapter");
    CHECK(opened() == "adapter");
    put("model.safetensors", "single");
    CHECK(opened() == "single");
    put("shard.safetensors", "sharded");
    write_contents(folder / "model.safetensors.index.json", R"({"weight_map":{"sharded":"shard.safetensors"}})");
    CHECK(opened() == "sharded");
}

TEST_CASE("what cannot be opened says why", "[io]") {
    temporary_folder folder;
    auto const open = [&](std::filesystem::path const & p) { return lathe::io::open_checkpoint(p); };
    CHECK_THROWS_AS(open(folder / "none.safetensors"), lathe::io_error);
    CHECK_THROWS_WITH(open(folder / "none.safetensors"),
                      contains("none.safetensors: cannot open: No such file or directory"));
    CHECK_THROWS_WITH(open(folder / "none.json"), contains("No such file or directory"));
    CHECK_THROWS_AS(open(""), lathe::option_error);
    REQUIRE(::mkfifo((folder / "pipe.safetensors").c_str(), 0600) == 0);
    CHECK_THROWS_WITH(open(folder / "pipe.safetensors"), contains("not a regular file"));
    CHECK_THROWS_WITH(open("/dev/null"), contains("not a regular file"));
}

TEST_CASE("an index that does not fit its shards is refused", "[io]") {
    temporary_folder folder;
    lathe::memory_checkpoint a, b;
    add_tensor(a, "a", lathe::dtype::u8, {2});
    add_tensor(b, "b", lathe::dtype::u8, {2});
    lathe::io::save(a, folder / "1.safetensors");
    lathe::io::save(b, folder / "2.safetensors");
    std::filesystem::create_directory(folder / "sub");
    lathe::io::save(b, folder / "sub/2.safetensors");
    auto const index = folder / "x.safetensors.index.json";
    auto const open = [&](std::string const & text) {
        write_contents(index, text);
        return lathe::io::open_checkpoint(index)->tensors().size();
    };
    auto const map = [](std::string const & text) {
        return R"({"metadata":{"total_size":4.0},"weight_map":{)" + text + "}}";
    };
    CHECK(open(map(R"("a":"1.safetensors","b":"2.safetensors")")) == 2);
    CHECK(open(R"({"x":[[1]],"weight_map":{},"y":"z","z":3})") == 0);

    struct bad {
        std::string text, message;
    };
    auto const & [text, message] = GENERATE_COPY(values<bad>({
        {map(R"("a":"1.safetensors")") + "x", "JSON"},
        {"[]", "an object"},
        {"", "an object"},
        {R"({"metadata":{}})", "no weight_map"},
        {R"({"weight_map":{},"weight_map":{}})", "weight_map twice"},
        {R"({"weight_map":[]})", "an array, expected an object"},
        {R"({"weight_map":3})", "found 3, expected an object"},
        {R"({"weight_map":"a"})", "a string, expected an object"},
        {map(R"("a":1)"), "tensor 'a': found 1"},
        {map(R"("a":null)"), "tensor 'a': found null"},
        {map(R"("a":{})"), "tensor 'a': found an object"},
        {map(R"("a":"1.safetensors","a":"2.safetensors")"), "tensor 'a' twice"},
        {map(R"("a":"1.safetensors","b":"sub/2.safetensors")"), "the name of a file"},
        {map(R"("a":"1.safetensors","b":"../2.safetensors")"), "found '../2.safetensors', expected the name of a file"},
        {map(R"("a":"1.safetensors","b":"/etc/passwd")"), "found '/etc/passwd', expected the name of a file"},
        {map(R"("a":"1.safetensors","b":"..\\2.safetensors")"), "the name of a file"},
        {map(R"("a":"1.safetensors","b":"..")"), "found '..'"},
        {map(R"("a":"1.safetensors","b":"")"), "found ''"},
        {map(R"("a":"1.safetensors","b":"2.safetensors\u0000x")"), "found '2.safetensors\\x00x'"},
        {map(R"("a":"1.safetensors","b":"2.safetensors","c":"2.safetensors")"),
         "tensor 'c' placed in 2.safetensors, expected a tensor that this shard holds"},
        {map(R"("a":"1.safetensors","aa":"2.safetensors","b":"2.safetensors")"), "tensor 'aa' placed in 2.safetensors"},
        {map(R"("a":"1.safetensors","c":"2.safetensors")"), "no tensor 'b'"},
        {map(R"("a":"2.safetensors","b":"1.safetensors")"), "tensor 'a' placed in 2.safetensors, expected"},
    }));
    CAPTURE(text);
    CHECK_THROWS_AS(open(text), lathe::format_error);
    CHECK_THROWS_WITH(open(text), contains(index.string()) && contains(message));
    CHECK_THROWS_AS(open(map(R"("a":"1.safetensors","b":"3.safetensors")")), lathe::io_error);
    add_tensor(b, "a", lathe::dtype::u8, {2}); // now in both
    lathe::io::save(b, folder / "2.safetensors");
    CHECK_THROWS_WITH(open(map(R"("a":"1.safetensors","b":"2.safetensors")")),
                      contains("no tensor 'a'") && contains("(again)"));
}
