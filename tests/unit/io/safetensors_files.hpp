#pragma once
/// \file  What the tests of io/ share: checkpoints of every type, and their comparison.
#include <lathe/io/safetensors.hpp>

#include <catch.hpp>
#include <temporary_folder.hpp>

#include <random>

namespace lathe_test {

using names = std::vector<std::string>;

/// A safetensors file around a header given as text.
inline std::string file_around(std::string const & header, std::string const & data) {
    std::string file(8, '\0');
    std::uint64_t const length = header.size();
    std::memcpy(file.data(), &length, 8);
    return file + header + data;
}

/// A tensor of arbitrary bytes, the same for the same name.
inline void add_tensor(lathe::memory_checkpoint & to, std::string const & name, lathe::dtype type,
                       lathe::shape extents) {
    lathe::tensor_info info{name, type, std::move(extents)};
    std::mt19937 random{static_cast<unsigned>(std::hash<std::string>{}(name))};
    std::vector<std::byte> bytes(info.bytes());
    for (auto & b : bytes)
        b = static_cast<std::byte>(random());
    to.set(std::move(info), bytes);
}

inline std::vector<lathe::dtype> all_types() {
    std::vector<lathe::dtype> types;
    for (std::size_t i = 0; i != lathe::dtypes::table.size(); ++i)
        types.push_back(static_cast<lathe::dtype>(i));
    return types;
}

/// Every type as a scalar, empty, odd, and in three dimensions; names in several scripts.
inline void fill_with_everything(lathe::memory_checkpoint & to) {
    for (auto const type : all_types()) {
        auto const t = std::string{lathe::name_of(type)};
        add_tensor(to, "scalar." + t, type, {});
        add_tensor(to, "empty." + t, type, {0, 3});
        add_tensor(to, "a.10." + t, type, {7});
        add_tensor(to, "a.2." + t, type, {2, 3, 5});
    }
    add_tensor(to, "\xe6\xa8\xa1\xe5\x9e\x8b/\xc3\xbc \"quoted\\\" \n\x01\x7f \xf0\x9f\x98\x80", lathe::dtype::u8, {3});
    add_tensor(to, "", lathe::dtype::i8, {1});
}

/// Name, type, shape, bytes and metadata, read in windows of `window` bytes.
inline void check_same(lathe::checkpoint & found, lathe::checkpoint & expected, std::size_t window = 1000) {
    CHECK(found.metadata() == expected.metadata());
    REQUIRE(found.tensors().size() == expected.tensors().size());
    lathe::window_buffer a, b;
    for (std::size_t i = 0; i != expected.tensors().size(); ++i) {
        auto const & info = expected.tensors()[i];
        REQUIRE(found.tensors()[i] == info);
        CHECK(found.find(info.name) == i);
        bool same = found.read(i, info.bytes(), 0, a).empty();
        for (std::size_t first = 0; first < info.bytes(); first += window) {
            auto const size = std::min(window, info.bytes() - first);
            same = same && std::ranges::equal(found.read(i, first, size, a), expected.read(i, first, size, b));
        }
        CAPTURE(info.name);
        CHECK(same);
    }
}

} // namespace lathe_test
