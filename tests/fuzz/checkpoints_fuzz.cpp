// Readers of checkpoints under libFuzzer. The letters:
//   f  a safetensors file          h  the header of one, around as many bytes as it can be made to fit
//   i  an index of shards          n  a .npy file         d  the dictionary of one
#include "fuzzing.hpp"

#include <lathe/io/npy.hpp>
#include <lathe/io/safetensors.hpp>

using namespace lathe_fuzz;

namespace {

/// All that a checkpoint promises of its tensors, and every byte of them read.
std::uint64_t check_tensors(lathe::checkpoint & from, std::uint64_t file_size) {
    lathe::window_buffer buffer;
    std::uint64_t sum = 0;
    unsigned touched = 0;
    auto const tensors = from.tensors();
    for (std::size_t i = 0; i != tensors.size(); ++i) {
        auto const & t = tensors[i];
        expect(i == 0 || tensors[i - 1].name < t.name, "names ascend");
        expect(from.find(t.name) == i, "a tensor is found by its name");
        expect(!lathe::first_not_utf8(t.name), "names are UTF-8");
        std::uint64_t wide = lathe::size_of(t.type);
        for (auto const e : t.extents) {
            expect(e == 0 || wide <= (std::uint64_t{1} << 63) / e, "no product of extents wraps");
            wide *= std::max<std::uint64_t>(e, 1);
        }
        auto const size = t.bytes();
        expect(size <= file_size, "the bytes of a tensor lie in the file");
        auto const bytes = from.read(i, 0, size, buffer);
        expect(bytes.size() == size, "as many bytes are read as were asked for");
        for (auto const b : bytes)
            touched += static_cast<unsigned>(b);
        sum += size;
    }
    expect(touched <= 255u * file_size && sum <= file_size, "the bytes of all tensors lie in the file");
    return sum;
}

bool same_header(lathe::io::safetensors_header const & a, lathe::io::safetensors_header const & b) {
    return a.tensors == b.tensors && a.metadata == b.metadata;
}

/// What was read can be written, and is read again as it was.
void check_round_trip(lathe::io::safetensors_header const & read, std::uint64_t data_size) {
    auto const layout = lathe::io::lay_out(read.tensors, read.metadata, "written");
    std::string_view const head = layout.head;
    expect(layout.file_size == head.size() + data_size, "the tensors have the same bytes again");
    auto const again = lathe::io::parse_header(head.substr(8), data_size, "written");
    expect(same_header(read, again), "what was written is read as it was");
}

void read_file(std::string_view bytes) {
    using lathe::io::access_mode;
    auto const path = file("f.safetensors", bytes);
    std::optional<bool> before;
    for (auto const access : {access_mode::memory_map, access_mode::block_read}) {
        bool const good = accepted([&] {
            lathe::io::safetensors_file in(path, {.access = access});
            check_tensors(in, bytes.size());
        });
        expect(before.value_or(good) == good, "a map and blocks are read alike");
        before = good;
    }
}

/// The largest numbers of a text that could be the end of the data.
std::uint64_t data_size_of(std::string_view text) {
    std::uint64_t largest = 0, number = 0;
    for (auto const c : text) {
        bool const digit = c >= '0' && c <= '9';
        number = digit ? std::min<std::uint64_t>(number * 10 + static_cast<std::uint64_t>(c - '0'), 1 << 20) : 0;
        if (number <= 4096)
            largest = std::max(largest, number);
    }
    return largest;
}

void read_header(std::string_view text) {
    for (std::uint64_t const size : {data_size_of(text), std::uint64_t{0}}) {
        lathe::io::safetensors_header header;
        if (!accepted([&] { header = lathe::io::parse_header(text, size, "header"); }))
            continue;
        check_round_trip(header, size);
        std::string whole(8, '\0');
        std::uint64_t const length = text.size();
        std::memcpy(whole.data(), &length, 8);
        read_file(whole.append(text).append(size, '\1'));
    }
}

void read_index(std::string_view text) {
    static auto const shard = [](std::string const & name, std::vector<std::string> const & tensors) {
        lathe::memory_checkpoint c;
        for (auto const & t : tensors)
            c.set<float>(t, {2}, std::vector<float>{1, 2});
        lathe::io::save(c, folder() / name, {.sync = false});
        return true;
    };
    static bool const there = shard("a.safetensors", {"x", "y"}) && shard("b.safetensors", {"z"});
    static_cast<void>(there);
    auto const path = file("model.safetensors.index.json", text);
    static_cast<void>(accepted([&] {
        auto const in = lathe::io::open_checkpoint(path);
        expect(check_tensors(*in, 1000) == 8 * in->tensors().size(), "the tensors are those of the shards");
    }));
}

void read_array(std::string_view bytes) {
    auto const path = file("n.npy", bytes);
    static_cast<void>(accepted([&] {
        lathe::io::npy_file in(path);
        expect(in.tensors().size() == 1, "a file of numpy holds one array");
        check_tensors(in, bytes.size());
    }));
}
void read_dictionary(std::string_view text) {
    lathe::io::npy_header header;
    if (!accepted([&] { header = lathe::io::npy_header_parser(text, "header").parse(); }))
        return;
    std::size_t size = 0;
    if (!accepted([&] { size = lathe::count_of(header.extents); }) || size > 4096)
        return;
    size *= lathe::size_of(header.type);
    std::string file = "\x93NUMPY\x02";
    file.push_back('\0');
    for (unsigned shift = 0; shift != 32; shift += 8)
        file.push_back(static_cast<char>(static_cast<unsigned char>(text.size() >> shift)));
    read_array(file.append(text).append(size, '\1'));
    read_array(lathe::io::npy_header_of(header.type, header.extents).append(size, '\1'));
    auto const ours = lathe::io::npy_header_of(header.type, header.extents);
    auto const again = lathe::io::npy_header_parser(std::string_view{ours}.substr(10), "header").parse();
    expect(again.type == header.type && again.extents == header.extents, "a header is read as it was written");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(unsigned char const * data, std::size_t size) {
    auto const [reader, text] = select(data, size);
    switch (reader) {
    case 'f': read_file(text); return 0;
    case 'h': read_header(text); return 0;
    case 'i': read_index(text); return 0;
    case 'n': read_array(text); return 0;
    case 'd': read_dictionary(text); return 0;
    default: return -1;
    }
}
