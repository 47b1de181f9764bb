// .npy files: what numpy writes is read, what it would not read is refused, what is written is numpy's.
#include "temporary_folder.hpp"

#include <lathe/io/npy.hpp>

#include <catch.hpp>

#include <cstring>
#include <fstream>

namespace {
using namespace lathe;
using lathe_test::contains;

/// A file of that format, dictionary and data.
std::string npy(std::string const & dictionary, std::string const & data, char major = 1) {
    std::string s = "\x93NUMPY";
    s += major;
    s += '\0';
    auto const n = dictionary.size();
    for (std::size_t i = 0; i != (major == 1 ? 2u : 4u); ++i)
        s += static_cast<char>(static_cast<unsigned char>(n >> (8 * i) & 0xff));
    return s + dictionary + data;
}
std::string const floats = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n";
std::string const six(24, '\1');

struct folder {
    lathe_test::temporary_folder at;
    std::filesystem::path write(std::string const & bytes) const {
        auto const path = at.path() / "a.npy";
        std::ofstream(path, std::ios::binary) << bytes;
        return path;
    }
};
} // namespace

TEST_CASE("all three formats and any order of keys are read", "[npy]") {
    folder f;
    for (char const major : {'\1', '\2', '\3'}) {
        io::npy_file file(f.write(npy(floats, six, major)));
        REQUIRE(file.tensors().size() == 1);
        CHECK(file.tensors()[0] == tensor_info{"array", dtype::f32, {2, 3}});
        window_buffer buffer;
        auto const bytes = file.read(0, 4, 8, buffer);
        CHECK(bytes.size() == 8);
        CHECK(bytes[0] == std::byte{1});
        CHECK_THROWS_AS(file.read(0, 20, 8, buffer), shape_error);
        CHECK(file.find("array") == std::optional<std::size_t>{0});
        CHECK(file.metadata().empty());
    }
    auto const shape_of = [&](std::string const & dictionary, std::size_t bytes) {
        return io::npy_file(f.write(npy(dictionary, std::string(bytes, 'x')))).tensors()[0].extents;
    };
    CHECK(shape_of("{\"shape\":(2,),\"descr\":\"<f8\",\"fortran_order\":False}", 16) == shape{2});
    CHECK(shape_of("{'descr': '<f2', 'fortran_order': False, 'shape': (), }   \n", 2).empty());
    CHECK(shape_of("{'descr': '<i8', 'fortran_order': False, 'shape': (0, 5), }", 0) == shape{0, 5});
    CHECK(shape_of("{'descr': '|b1', 'fortran_order': True, 'shape': (3,), }", 3) == shape{3});
    CHECK(shape_of("{'descr': '<u2', 'fortran_order': False, 'shape': (1, 2, 1,), }", 4) == shape{1, 2, 1});
}

TEST_CASE("what is no such file is refused by name", "[npy]") {
    folder f;
    auto const refuse = [&](std::string const & bytes, std::string const & reason) {
        CHECK_THROWS_WITH(io::npy_file(f.write(bytes)), contains(reason));
        CHECK_THROWS_WITH(io::npy_file(f.write(bytes)), contains("a.npy"));
        CHECK_THROWS_AS(io::npy_file(f.write(bytes)), format_error);
    };
    auto const whole = npy(floats, six);
    for (std::size_t n = 0; n != whole.size(); ++n) // cut anywhere
        CHECK_THROWS_AS(io::npy_file(f.write(whole.substr(0, n))), format_error);
    refuse(whole + "x", "25 bytes of data");
    refuse("PK\3\4" + whole, "x93NUMPY");
    refuse(npy(floats, six, 4), "format 4.0");
    auto minor = whole;
    minor[7] = 1;
    refuse(minor, "format 1.1");
    auto const with = [&](std::string const & dictionary) { return npy(dictionary, six); };
    refuse(with("{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3)}"), "little-endian");
    refuse(with("{'descr': '|O', 'fortran_order': False, 'shape': (2, 3)}"), "descr");
    refuse(with("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 3)}"), "a string");
    refuse(with("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}"), "C order");
    refuse(with("{'descr': '<f4', 'fortran_order': False, 'shape': (2, -3)}"), "shape");
    refuse(with("{'descr': '<f4', 'fortran_order': False, 'shape': (6)}"), "single extent");
    refuse(with("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 3)}"), "64 bits");
    refuse(with("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 6)}"), "2^63");
    refuse(with("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387905, 3)}"), "2^63");
    // An array without elements, of which rows * columns would wrap.
    refuse(with("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 4294967296, 4294967296)}"), "2^63");
    refuse(with("{'descr': '<f4', 'fortran_order': False}"), "no shape");
    refuse(with("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (6,)}"), "twice");
    refuse(with("{'descr': '<f4', 'fortran_order': False, 'shape': (6,), 'x': 1}"), "key");
    refuse(with("{'descr': '<f4', 'fortran_order': False, 'shape': (6,)} x"), "nothing after");
    refuse(with("{'descr: 1}"), "a string with an end");
    refuse(with(""), "'{'");
    auto huge = npy(floats, six, '\2');
    huge[11] = '\x7f';
    refuse(huge, "a header of");
    CHECK_THROWS_AS(io::npy_file(f.at.path() / "none.npy"), io_error);
    CHECK_THROWS_AS(io::npy_file(f.at.path()), io_error);
}

TEST_CASE("what is written is read, and laid out as numpy lays it out", "[npy]") {
    folder f;
    auto const path = f.at.path() / "b.npy";
    for (shape const & extents : {shape{2, 3}, shape{6}, shape{1, 2, 3, 1}}) {
        std::vector<double> const values{1, 2, 3, 4, 5, -0.0};
        io::write_npy<double>(path, extents, values);
        io::npy_file file(path);
        CHECK(file.tensors()[0] == tensor_info{"array", dtype::f64, extents});
        window_buffer buffer;
        auto const bytes = file.read(0, 0, 48, buffer);
        CHECK(std::memcmp(bytes.data(), values.data(), 48) == 0);
        CHECK(reinterpret_cast<std::uintptr_t>(bytes.data()) % 64 == 0); // of a mapped file
    }
    io::write_npy(path, dtype::f16, {}, std::vector<std::byte>(2));
    CHECK(io::npy_file(path).tensors()[0] == tensor_info{"array", dtype::f16, {}});
    CHECK(io::npy_header_of(dtype::f32, {2, 3})
          == std::string("\x93NUMPY\1\0v\0", 10) + "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
                 + std::string(58, ' ') + "\n");
    CHECK_THROWS_AS(io::write_npy(path, dtype::bf16, {1}, std::vector<std::byte>(2)), unsupported_error);
    CHECK_THROWS_AS(io::write_npy(path, dtype::f32, {2}, std::vector<std::byte>(4)), shape_error);
    CHECK_THROWS_AS(io::write_npy(f.at.path() / "no" / "b.npy", dtype::f32, {1}, std::vector<std::byte>(4)), io_error);
}
