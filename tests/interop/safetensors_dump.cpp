/// \file  Shows or copies a checkpoint for the test against the Python library.
///
///   safetensors_dump dump PATH (map|block)           JSON: metadata, and name -> type, shape, FNV-1a of the bytes
///   safetensors_dump copy FROM TO MAX_SHARD_SIZE     streamed; 0 for one file
///   safetensors_dump verdicts PATH                   of each header in a file of records (u64 data size, u64 length, text):
///                                                    a line "ok" or the message
#include <lathe/io/safetensors.hpp>

#include <charconv>
#include <iostream>

namespace {

void dump(char const * path, bool map) {
    auto const access = map ? lathe::io::access_mode::memory_map : lathe::io::access_mode::block_read;
    auto const from = lathe::io::open_checkpoint(path, {.access = access});
    nlohmann::json out{{"metadata", from->metadata()}, {"tensors", nlohmann::json::object()}};
    lathe::window_buffer buffer;
    for (std::size_t i = 0; i != from->tensors().size(); ++i) {
        auto const & t = from->tensors()[i];
        std::uint64_t hash = 0xcbf29ce484222325u;
        for (std::size_t first = 0; first < t.bytes(); first += 4096)
            for (auto const b : from->read(i, first, std::min<std::size_t>(4096, t.bytes() - first), buffer))
                hash = (hash ^ static_cast<std::uint64_t>(b)) * 0x100000001b3u;
        out["tensors"][t.name] = {{"dtype", lathe::name_of(t.type)}, {"shape", t.extents}, {"fnv", hash}};
    }
    std::cout << out.dump() << '\n';
}

void copy(char const * from, char const * to, std::string_view size) {
    std::uint64_t limit = 0;
    if (std::from_chars(size.data(), size.data() + size.size(), limit).ptr != size.data() + size.size())
        throw lathe::option_error{"MAX_SHARD_SIZE: not a number"};
    auto const source = lathe::io::open_checkpoint(from);
    lathe::io::save(*source, to, {.max_shard_size = limit, .background = true});
}

void verdicts(char const * path) {
    auto const in = lathe::io::file::open(path);
    for (std::uint64_t at = 0; at != in.size();) {
        std::uint64_t sizes[2];
        in.read(std::as_writable_bytes(std::span{sizes}), at);
        std::string text(sizes[1], '\0');
        in.read(std::as_writable_bytes(std::span{text}), at + 16);
        at += 16 + sizes[1];
        try {
            lathe::io::parse_header(text, sizes[0], "header");
            std::cout << "ok\n";
        } catch (lathe::format_error const & e) {
            std::cout << e.what() << '\n';
        }
    }
}

} // namespace

int main(int argc, char ** argv) {
    std::string_view const what = argc > 1 ? argv[1] : "";
    try {
        if (what == "dump" && argc == 4)
            dump(argv[2], std::string_view{argv[3]} == "map");
        else if (what == "copy" && argc == 5)
            copy(argv[2], argv[3], argv[4]);
        else if (what == "verdicts" && argc == 3)
            verdicts(argv[2]);
        else
            throw lathe::option_error{
                "usage: safetensors_dump dump PATH (map|block) | copy FROM TO MAX_SHARD_SIZE | verdicts PATH"};
    } catch (std::exception const & e) {
        std::cerr << e.what() << '\n';
        return 1;
    }
}
