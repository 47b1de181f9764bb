/// \file  Every rule of the format has its own message, naming file, rule, what was found and what was expected.
#include "safetensors_files.hpp"

using namespace lathe_test;
using lathe::io::parse_header;

namespace {

std::string entry(std::string const & name, std::string const & fields) { return '"' + name + "\":{" + fields + '}'; }
std::string const four = R"("dtype":"F32","shape":[4],"data_offsets":[0,16])";

struct rule {
    std::string header;
    std::uint64_t data;
    std::string message;
};

} // namespace

TEST_CASE("every rule of a header is enforced with its own message", "[io]") {
    auto const & [header, data, message] = GENERATE_COPY(values<rule>({
        // JSON
        {"", 0, "no text, expected an object, '{' first"},
        {" {}", 0, "text that starts with ' '"},
        {"[]", 0, "text that starts with '['"},
        {"\xef\xbb\xbf{}", 0, "starts with '\\xef'"},
        {"{\"a\":", 0, "JSON: parse error"},
        {"{}x", 0, "JSON: parse error"},
        {std::string("{}\0", 3), 0, "JSON: found a zero byte at 2"},
        {"{}{}", 0, "JSON: parse error"},
        {"{/**/}", 0, "JSON: parse error"},
        {"{\"a\":NaN}", 0, "JSON: parse error"},
        {"{\"\\ud800\":{" + four + "}}", 16, "JSON: parse error"},
        {"{\"\xff\":{" + four + "}}", 16, "encoding: found a byte at 2"},
        {"{\"a\xc3\":{" + four + "}}", 16, "encoding: found a byte at 3"},
        {"{} \x80", 0, "encoding: found a byte at 3"},
        // names
        {'{' + entry("a", four) + ',' + entry("a", four) + '}', 16, "names: found tensor 'a' twice"},
        {'{' + entry("a", four) + R"(,"\u0061":{)" + four + "}}", 16, "names: found tensor 'a' twice"},
        {R"({"__metadata__":{},"__metadata__":{}})", 0, "names: found __metadata__ twice"},
        // metadata
        {R"({"__metadata__":null})", 0, "__metadata__: found null, expected an object"},
        {R"({"__metadata__":[]})", 0, "__metadata__: found an array, expected an object"},
        {R"({"__metadata__":"x"})", 0, "__metadata__: found the string 'x', expected an object"},
        {R"({"__metadata__":7})", 0, "__metadata__: found 7, expected an object"},
        {R"({"__metadata__":{"k":7}})", 0, "__metadata__ 'k': found 7, expected a string"},
        {R"({"__metadata__":{"k":true}})", 0, "__metadata__ 'k': found boolean true, expected a string"},
        {R"({"__metadata__":{"k":{}}})", 0, "__metadata__ 'k': found an object, expected a string"},
        {R"({"__metadata__":{"k":["x"]}})", 0, "__metadata__ 'k': found an array, expected a string"},
        {R"({"__metadata__":{"k":"1","k":"1"}})", 0, "__metadata__: found 'k' twice"},
        // entries
        {R"({"a":1})", 0, "tensor 'a': found 1, expected an object"},
        {R"({"a":["F32",[4],[0,16]]})", 16, "tensor 'a': found an array, expected an object"},
        {R"({"a":{}})", 0, "tensor 'a': found no dtype"},
        {R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", 4, "tensor 'a': found no shape"},
        {R"({"a":{"dtype":"F32","shape":[1]}})", 4, "tensor 'a': found no data_offsets"},
        {'{' + entry("a", four + R"(,"dtype":"F32")") + '}', 16, "tensor 'a': dtype: found the field twice"},
        {'{' + entry("a", four + R"(,"shape":[4])") + '}', 16, "tensor 'a': shape: found the field twice"},
        // dtype
        {R"({"a":{"dtype":"F33","shape":[4],"data_offsets":[0,16]}})", 16,
         "tensor 'a': dtype: found 'F33', expected one of F64, F32, F16, BF16"},
        {R"({"a":{"dtype":"f32","shape":[4],"data_offsets":[0,16]}})", 16, "tensor 'a': dtype: found 'f32'"},
        {R"({"a":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}})", 2,
         "found 'F4', which is not supported, expected one of"},
        {R"({"a":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}})", 3, "found 'F6_E2M3', which is not supported"},
        {R"({"a":{"dtype":"F8_E8M0","shape":[4],"data_offsets":[0,4]}})", 4, "found 'F8_E8M0', which is not supported"},
        {R"({"a":{"dtype":"C64","shape":[4],"data_offsets":[0,32]}})", 32, "found 'C64', which is not supported"},
        {R"({"a":{"dtype":1,"shape":[4],"data_offsets":[0,16]}})", 16, "dtype: found 1, expected a string"},
        {R"({"a":{"dtype":["F32"],"shape":[4],"data_offsets":[0,16]}})", 16,
         "dtype: found an array, expected a string"},
        // shape
        {R"({"a":{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}})", 16,
         "shape: found number -4, expected non-negative integers"},
        {R"({"a":{"dtype":"F32","shape":[-0],"data_offsets":[0,0]}})", 0,
         "shape: found number 0, expected non-negative integers"},
        {R"({"a":{"dtype":"F32","shape":[4.0],"data_offsets":[0,16]}})", 16, "shape: found number 4.0"},
        {R"({"a":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,16]}})", 16,
         "shape: found number 18446744073709551616"},
        {R"({"a":{"dtype":"F32","shape":["4"],"data_offsets":[0,16]}})", 16, "shape: found the string '4'"},
        {R"({"a":{"dtype":"F32","shape":[null],"data_offsets":[0,16]}})", 16, "shape: found null"},
        {R"({"a":{"dtype":"F32","shape":[[4]],"data_offsets":[0,16]}})", 16,
         "shape: found an array, expected non-negative integers"},
        {R"({"a":{"dtype":"F32","shape":4,"data_offsets":[0,16]}})", 16, "shape: found 4, expected an array"},
        {R"({"a":{"dtype":"F32","shape":{},"data_offsets":[0,16]}})", 16, "shape: found an object, expected an array"},
        {R"({"a":{"dtype":"F32","shape":[4611686018427387904,8],"data_offsets":[0,16]}})", 16,
         "shape: found [4611686018427387904, 8], expected at most 2^63 bytes"},
        {R"({"a":{"dtype":"F32","shape":[4611686018427387904,8,0],"data_offsets":[0,0]}})", 0,
         "expected at most 2^63 bytes"},
        {R"({"a":{"dtype":"F64","shape":[18446744073709551615],"data_offsets":[0,16]}})", 16,
         "expected at most 2^63 bytes"},
        // data_offsets
        {R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[16,0]}})", 16,
         "data_offsets: found [16, 0], expected begin not after end"},
        {R"({"a":{"dtype":"F32","shape":[8],"data_offsets":[0,32]}})", 16,
         "data_offsets: found [0, 32], expected at most 16"},
        {R"({"a":{"dtype":"F32","shape":[5],"data_offsets":[0,16]}})", 16,
         "found [0, 16], 16 bytes, expected 20 bytes for shape [5] of F32"},
        {R"({"a":{"dtype":"F32","shape":[0,9],"data_offsets":[0,16]}})", 16, "expected 0 bytes for shape [0, 9]"},
        {R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0]}})", 16, "data_offsets: found 1 numbers, expected two"},
        {R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[]}})", 16, "data_offsets: found 0 numbers, expected two"},
        {R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16,16]}})", 16, "data_offsets: found more numbers"},
        {R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[-1,15]}})", 16, "data_offsets: found number -1"},
        {R"({"a":{"dtype":"F32","shape":[4],"data_offsets":"0,16"}})", 16,
         "data_offsets: found the string '0,16', expected an array"},
        {R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[18446744073709551600,18446744073709551615]}})", 16,
         "expected at most 16"},
        // the data as a whole
        {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
         12, "tensor 'b': data_offsets: found begin 4 inside tensor 'a', an overlap, expected 8"},
        {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
         8, "an overlap"},
        {R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"b":{"dtype":"U8","shape":[0],"data_offsets":[8,8]}})",
         16, "an overlap"},
        {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})",
         12, "tensor 'b': data_offsets: found begin 8, a hole of 4 bytes before it, expected 4"},
        {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, "a hole of 4 bytes"},
        {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 16,
         "data section: found 16 bytes, 12 of them trailing, expected 4"},
        {"{}", 1, "data section: found 1 bytes"},
    }));
    CAPTURE(header);
    CHECK_THROWS_AS(parse_header(header, data, "some/file"), lathe::format_error);
    CHECK_THROWS_WITH(parse_header(header, data, "some/file"),
                      Catch::Matchers::StartsWith("some/file: ") && contains(message));
}

TEST_CASE("the announced length of a header is held against the file first", "[io]") {
    auto const length = [](std::uint64_t announced, std::uint64_t file_size) {
        std::array<std::byte, 8> first{};
        std::memcpy(first.data(), &announced, 8);
        return lathe::io::header_length(first, file_size, "f");
    };
    CHECK(length(0, 8) == 0);
    CHECK(length(92, 100) == 92);
    CHECK(length(100'000'000, 200'000'000) == 100'000'000);
    CHECK_THROWS_WITH(length(93, 100), contains("header length: found 93 bytes, expected at most 92"));
    CHECK_THROWS_WITH(length(std::uint64_t{1} << 63, 100), contains("expected at most 100000000"));
    CHECK_THROWS_WITH(length(~std::uint64_t{0}, 100), contains("expected at most 100000000"));
    CHECK_THROWS_WITH(length(100'000'001, 1'000'000'000), contains("expected at most 100000000"));
    CHECK_THROWS_WITH(length(0, 7), contains("file length: found 7 bytes, expected at least 8"));
}

TEST_CASE("nesting, extents and messages are bounded", "[io]") {
    std::string const deep(1'000'000, '[');
    CHECK_THROWS_WITH(parse_header(R"({"a":{"x":)" + deep, 0, "f"),
                      contains("nesting of JSON: found more than 16 levels"));
    CHECK_THROWS_WITH(parse_header("{\"a\":" + deep, 0, "f"), contains("tensor 'a': found an array"));
    std::string objects;
    for (int i = 0; i != 100'000; ++i)
        objects += R"({"x":)";
    CHECK_THROWS_WITH(parse_header(R"({"a":{"x":)" + objects, 0, "f"), contains("nesting of JSON"));

    std::string ones;
    for (int i = 0; i != 63; ++i)
        ones += "1,";
    CHECK(
        parse_header('{' + entry("a", R"("dtype":"U8","shape":[)" + ones + R"(1],"data_offsets":[0,1])") + '}', 1, "f")
            .tensors[0]
            .extents.size()
        == 64);
    CHECK_THROWS_WITH(
        parse_header('{' + entry("a", R"("dtype":"U8","shape":[)" + ones + R"(1,1],"data_offsets":[0,1])") + '}', 1,
                     "f"),
        contains("shape: found more extents, expected at most 64"));

    CHECK(lathe::io::printable("a\x80\xc3\xa9\xc2\x9b\xc3 \x7f\xe6\xa8\xa1")
          == "a\\x80\xc3\xa9\\xc2\\x9b\\xc3 \\x7f\xe6\xa8\xa1");
    // What turns the direction of a line, ends it, or cannot be seen; and what only looks odd.
    for (char32_t const c : {U'\u061c', U'\u200e', U'\u200f', U'\u2028', U'\u2029', U'\u202a', U'\u202e', U'\u2066',
                             U'\u2069', U'\u200b', U'\ufeff', U'\U000e0041', U'\x80', U'\x9f'})
        CHECK(!lathe::io::is_plain(c));
    for (char32_t const c : {U'\u00a0', U'\u200d', U'\u2027', U'\u202f', U'\u2070', U'\u05d0', U'\U0001f600'})
        CHECK(lathe::io::is_plain(c));
    CHECK(lathe::io::printable("w\xe2\x80\xaegnp.exe") == "w\\xe2\\x80\\xaegnp.exe");
    // A hostile name must not fill the terminal or steer it.
    try {
        parse_header("{\"\\u001b[2J\\n\xc2\x9b" + std::string(100'000, 'x') + "\":1}", 0, "f");
        FAIL("accepted");
    } catch (lathe::format_error const & e) {
        std::string const what = e.what();
        CHECK(what.size() < 300);
        CHECK(what.find("tensor '\\x1b[2J\\x0a\\xc2\\x9bxxx") != what.npos);
    }
    try {
        parse_header("{\"a\":{\"dtype\":\"F32\"" + std::string(100'000, 'x') + "}}", 0, "f");
        FAIL("accepted");
    } catch (lathe::format_error const & e) {
        CHECK(std::string{e.what()}.size() < 400);
    }
}

TEST_CASE("there is a bound on the number of tensors", "[io]") {
    std::string header = "{";
    for (std::size_t i = 0; i <= lathe::io::safetensors_limits::tensors; ++i)
        header.append(i == 0 ? "" : ",")
            .append(1, '"')
            .append(std::to_string(i))
            .append(R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})");
    REQUIRE(header.size() < lathe::io::safetensors_limits::header_bytes);
    CHECK_THROWS_WITH(parse_header(header + '}', 0, "f"), contains("number of tensors"));
}

TEST_CASE("UTF-8 is checked as Unicode defines it", "[io]") {
    using lathe::io::first_not_utf8;
    for (auto const * const good : {"", "a", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                                    "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"})
        CHECK(!first_not_utf8(good));
    for (auto const * const bad :
         {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2\x7f", "\xc2\xc0", "\xe0\x9f\xbf", "\xe0\xa0",
          "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf0\x90\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff",
          "\xe1\x80\x7f", "\xf1\x80\x80\xc0"}) {
        CHECK(first_not_utf8(bad) == 0u);
        CHECK(first_not_utf8("a\xc3\xa9" + std::string{bad}) == 3u);
    }
}

TEST_CASE("what is laid out is read back, whatever the order of the types", "[io]") {
    lathe::memory_checkpoint c;
    fill_with_everything(c);
    auto const layout = lathe::io::lay_out(c.tensors(), {{"k", "v"}}, "f");
    CHECK(layout.head.size() % 8 == 0);
    auto const header =
        parse_header(std::string_view{layout.head}.substr(8), layout.file_size - layout.head.size(), "f");
    CHECK(std::ranges::equal(header.tensors, c.tensors()));
    CHECK(header.metadata == std::map<std::string, std::string>{{"k", "v"}});
    for (std::size_t i = 0; i != header.offsets.size(); ++i) {
        CHECK(header.offsets[i] + layout.head.size() == layout.offsets[i]);
        CHECK(layout.offsets[i] % lathe::size_of(header.tensors[i].type) == 0); // what the order by width is for
    }
}

TEST_CASE("what the format cannot hold is not written", "[io]") {
    auto const lay_out = [](lathe::tensor_info t, std::map<std::string, std::string> const & m = {}) {
        return lathe::io::lay_out(std::span{&t, 1}, m, "f");
    };
    CHECK_THROWS_WITH(lay_out({"__metadata__", lathe::dtype::u8, {1}}),
                      contains("f: tensor name: found '__metadata__'"));
    CHECK_THROWS_WITH(lay_out({"\xff", lathe::dtype::u8, {1}}), contains("expected UTF-8"));
    CHECK_THROWS_WITH(lay_out({"a", lathe::dtype::u8, {1}}, {{"k", "\xc3"}}),
                      contains("__metadata__ 'k'") && contains("expected UTF-8"));
    CHECK_THROWS_WITH(lay_out({"a", lathe::dtype::u8, lathe::shape(65, 1)}), contains("65 extents"));
    CHECK_THROWS_AS(lay_out({"a", lathe::dtype::u8, {std::size_t{1} << 63, 2}}), lathe::shape_error);
    CHECK_THROWS_AS(lay_out({"a", lathe::dtype::f64, {std::size_t{1} << 62}}), lathe::format_error);
    // What would not be read is not written, though it has no bytes.
    CHECK_THROWS_WITH(lay_out({"a", lathe::dtype::f32, {std::size_t{1} << 62, 8, 0}}),
                      contains("tensor 'a': shape: found [4611686018427387904, 8, 0], expected at most 2^63 bytes"));
    CHECK_THROWS_WITH(lay_out({"a", lathe::dtype::u8, {1}}, {{"k", std::string(100'000'000, 'x')}}),
                      contains("header length"));
}
