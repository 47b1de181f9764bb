// The writer of safetensors under libFuzzer: tensors of any names, types and shapes, with metadata, in one file or in
// shards, are read back as they were. With LATHE_WRITTEN_CASES=FOLDER in the environment every case stays there, with
// what it should hold, for written_cases.py to read it by the Python library.
#include "fuzzing.hpp"

#include <lathe/io/safetensors.hpp>

#include <fuzzer/FuzzedDataProvider.h>

using namespace lathe_fuzz;

namespace {

/// Any text that is UTF-8: what is not becomes characters that are long, or odd to whoever prints or quotes them.
std::string text_of(FuzzedDataProvider & from) {
    static constexpr std::string_view odd[] = {"\"",
                                               "\\",
                                               "\n",
                                               "\x7f",
                                               "\xc2\x85",
                                               "\xe2\x80\xae",
                                               "\xe2\x80\xa8",
                                               "\xef\xbb\xbf",
                                               "\xef\xbf\xbf",
                                               "\xf0\x9f\x98\x80",
                                               "\xed\x9f\xbf",
                                               "/",
                                               ".",
                                               "..",
                                               "__metadata__",
                                               "e\xcc\x81",
                                               "\xc3\xa9"};
    std::string text;
    for (auto n = from.ConsumeIntegralInRange<std::size_t>(0, 12); n != 0; --n) {
        auto const byte = from.ConsumeIntegral<unsigned char>();
        if (byte < 0x80)
            text.push_back(static_cast<char>(byte));
        else
            text += odd[byte % std::size(odd)];
    }
    if (text.find('\0') != text.npos && from.ConsumeBool())
        std::erase(text, '\0');
    return text;
}

lathe::tensor_info tensor_of(FuzzedDataProvider & from) {
    lathe::tensor_info t;
    t.name = text_of(from);
    t.type = static_cast<lathe::dtype>(from.ConsumeIntegralInRange<std::size_t>(0, lathe::dtypes::table.size() - 1));
    std::size_t count = 1;
    for (auto rank = from.ConsumeIntegralInRange<std::size_t>(0, 4); rank != 0; --rank) {
        auto extent = from.ConsumeIntegralInRange<std::size_t>(0, 9);
        if (extent == 9) // large, if others are zero
            extent = from.ConsumeBool() ? std::size_t{1} << from.ConsumeIntegralInRange(0, 63) : 100;
        t.extents.push_back(extent);
        count = extent == 0 ? 0 : std::min<std::size_t>(count, 10'000) * std::min<std::size_t>(extent, 10'000);
    }
    bool const empty = std::ranges::find(t.extents, 0u) != t.extents.end();
    if (!empty && count > 2000)
        t.extents = {3};
    return t;
}

void fill(lathe::memory_checkpoint & c, FuzzedDataProvider & from) {
    std::map<std::string, std::string> metadata;
    for (auto n = from.ConsumeIntegralInRange<std::size_t>(0, 3); n != 0; --n) {
        auto key = text_of(from);
        metadata.insert_or_assign(std::move(key), text_of(from));
    }
    c.begin({}, metadata);
    for (auto n = from.ConsumeIntegralInRange<std::size_t>(0, 8); n != 0; --n) {
        auto info = tensor_of(from);
        std::vector<std::byte> bytes(info.bytes());
        auto state = from.ConsumeIntegral<std::uint32_t>();
        for (auto & b : bytes) {
            state = state * 1664525u + 1013904223u;
            b = static_cast<std::byte>(state >> 24 & (info.type == lathe::dtype::boolean ? 1u : 0xffu));
        }
        c.set(std::move(info), bytes);
    }
}

void expect_same(lathe::checkpoint & found, lathe::memory_checkpoint & written) {
    expect(found.metadata() == written.metadata(), "metadata are read as written");
    expect(std::ranges::equal(found.tensors(), written.tensors()), "names, types and shapes are read as written");
    lathe::window_buffer buffer;
    for (std::size_t i = 0; i != written.tensors().size(); ++i)
        expect(std::ranges::equal(found.read(i, 0, written.tensors()[i].bytes(), buffer), written.bytes(i)),
               "bytes are read as written");
}

/// A case for Python: the files, and beside them what they hold.
void keep(lathe::memory_checkpoint & written, std::filesystem::path const & files, std::filesystem::path const & to) {
    static std::size_t number = 0;
    auto const target = to / std::to_string(number++);
    std::filesystem::create_directories(target);
    std::filesystem::copy(files, target);
    nlohmann::json about{{"metadata", written.metadata()}, {"tensors", nlohmann::json::array()}};
    for (std::size_t i = 0; i != written.tensors().size(); ++i) {
        auto const & t = written.tensors()[i];
        std::string hexadecimal;
        for (auto const b : written.bytes(i))
            for (auto const digit : {std::to_integer<unsigned>(b) >> 4, std::to_integer<unsigned>(b) & 15u})
                hexadecimal.push_back("0123456789abcdef"[digit]);
        about["tensors"].push_back({t.name, lathe::name_of(t.type), t.extents, hexadecimal});
    }
    lathe_test::write_contents(target / "expected.json", about.dump());
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(unsigned char const * data, std::size_t size) {
    FuzzedDataProvider from(data, size);
    lathe::io::write_options how{.sync = false};
    how.max_shard_size = from.ConsumeBool() ? from.ConsumeIntegralInRange<std::uint64_t>(1, 300) : 0;
    how.background = from.ConsumeIntegralInRange(0, 15) == 0;
    auto const window = from.ConsumeIntegralInRange<std::size_t>(1, 4096);
    lathe::memory_checkpoint written;
    fill(written, from);

    auto const target = folder() / "written";
    std::filesystem::remove_all(target);
    std::filesystem::create_directory(target);
    bool const good = accepted([&] {
        lathe::io::safetensors_writer to(target, how);
        lathe::io::copy(written, to, window);
    });
    bool possible = true; // all that may be refused
    for (auto const & t : written.tensors()) {
        std::uint64_t wide = lathe::size_of(t.type);
        for (auto const e : t.extents) {
            possible = possible && (e == 0 || wide <= (std::uint64_t{1} << 63) / e);
            wide *= std::max<std::uint64_t>(e, 1);
        }
        possible = possible && t.name != "__metadata__";
    }
    expect(good == possible, "what can be written is written, and nothing else");
    if (!good) {
        expect(std::filesystem::is_empty(target), "what is refused leaves nothing");
        return 0;
    }
    expect_same(*lathe::io::open_checkpoint(target), written);
    if (how.max_shard_size == 0)
        expect(std::distance(std::filesystem::directory_iterator{target}, {}) == 1, "one file, if that was asked for");
    if (auto const * const to = std::getenv("LATHE_WRITTEN_CASES"))
        keep(written, target, to);
    return 0;
}
