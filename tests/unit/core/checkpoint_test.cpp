// Checkpoints in memory, and windows of them as operands: on the host in place, on a device through its memory.
#include <lathe/core/window.hpp>
#include <lathe/testing/archetype.hpp>

#include "catch.hpp"
#include "plain_backend.hpp"

namespace {
using namespace lathe;
using device = testing::archetype<testing::floor::elementwise>;
using wide_device = testing::archetype<testing::floor::elementwise, double>;

template <class S> std::span<std::byte const> bytes_of(std::vector<S> const & v) { return std::as_bytes(std::span{v}); }

/// Elements `first` to `first + count` of tensor `index`, on the host.
template <class B, class T>
std::vector<T> read(B & be, window_reader<B, T> & reader, checkpoint & from, std::size_t index, std::size_t first,
                    std::size_t count) {
    auto const operand = reader.read(be, from, index, first, count);
    auto out = be.template allocate<T>(count);
    ops::map<T>(be, ops::kernels::identity, out.view(), operand);
    std::vector<T> host(count);
    be.download(cvec<B, T>(out.view()), std::span<T>{host});
    return host;
}
} // namespace

TEST_CASE("a checkpoint in memory keeps its tensors in order of their names' bytes", "[checkpoint]") {
    memory_checkpoint c("mine");
    std::vector<float> const x{1, 2, 3};
    for (auto const * name : {"b", "a.10", "a.9", "\xc3\xa9", "B", "a"})
        c.set<float>(name, {3}, x);
    std::vector<std::string> names;
    for (auto const & t : c.tensors())
        names.push_back(t.name);
    CHECK(names == std::vector<std::string>{"B", "a", "a.10", "a.9", "b", "\xc3\xa9"});
    for (std::size_t i = 0; i != names.size(); ++i)
        CHECK(c.find(names[i]) == i);
    CHECK_FALSE(c.find("c"));
    CHECK_FALSE(c.find(""));
    CHECK(c.label() == "mine");
    CHECK(c.metadata().empty());
}

TEST_CASE("setting a tensor again replaces it", "[checkpoint]") {
    memory_checkpoint c;
    std::vector<float> const x{1, 2, 3};
    std::vector<half> const h{half{1}, half{2}};
    c.set<float>("t", {3}, x);
    c.set<float>("u", {1, 3}, x);
    c.set<half>("t", {2, 1}, h);
    REQUIRE(c.tensors().size() == 2);
    CHECK(c.tensors()[0] == tensor_info{"t", dtype::f16, {2, 1}});
    CHECK(std::ranges::equal(std::as_const(c).bytes(0), bytes_of(h)));
    CHECK(std::ranges::equal(c.bytes(1), bytes_of(x)));
    CHECK_THROWS_WITH(c.set<float>("v", {2}, x), lathe_test::contains("'v'"));
    CHECK_THROWS_AS(c.set({"w", dtype::f32, {std::size_t{1} << 62}}, {}), shape_error); // its bytes are 2^64
    CHECK(c.tensors().size() == 2);
}

TEST_CASE("windows stay inside their tensor", "[checkpoint]") {
    memory_checkpoint c;
    std::vector<float> const x{1, 2, 3};
    c.set<float>("t", {3}, x);
    c.set<float>("scalar", {}, std::span{x}.first(1));
    c.set<float>("empty", {0, 4}, std::span<float const>{});
    window_buffer b;
    CHECK(c.read(2, 4, 8, b).size() == 8);
    CHECK(c.read(2, 12, 0, b).empty());
    CHECK(c.read(0, 0, 0, b).empty());
    CHECK(c.tensors()[1].count() == 1);
    CHECK_THROWS_WITH(c.read(2, 8, 8, b), lathe_test::contains("'t'"));
    CHECK_THROWS_AS(c.read(2, 13, 0, b), shape_error);
    CHECK_THROWS_AS(c.read(2, 1, ~std::size_t{0}, b), shape_error);
    CHECK_THROWS_AS(c.window(2, 12, 1, b), shape_error);
    CHECK_THROWS_AS(c.read(0, 0, 1, b), shape_error);
}

TEST_CASE("a checkpoint in memory is a sink", "[checkpoint]") {
    memory_checkpoint c;
    std::vector<float> const old{1};
    c.set<float>("old", {1}, old);
    c.begin({{"a", dtype::f32, {2}}, {"b", dtype::u8, {3}}}, {{"key", "value"}});
    window_buffer buffer;
    std::vector<float> const x{5, 6};
    for (std::size_t i = 0; i != 2; ++i) {
        auto const w = c.window(0, i * 4, 4, buffer);
        std::ranges::copy(bytes_of(x).subspan(i * 4, 4), w.begin());
        c.commit(0, i * 4, w);
    }
    c.finish();
    REQUIRE(c.tensors().size() == 2);
    CHECK(std::ranges::equal(c.bytes(0), bytes_of(x)));
    CHECK(c.metadata().at("key") == "value");
}

TEST_CASE("a window buffer grows and never shrinks", "[checkpoint]") {
    window_buffer b;
    CHECK(b.reserve(0).empty());
    auto const large = b.reserve(100);
    CHECK(large.size() == 100);
    CHECK(b.reserve(10).data() == large.data());
}

TEST_CASE("for_each_window covers a tensor in order", "[window]") {
    std::vector<std::pair<std::size_t, std::size_t>> seen;
    auto const note = [&](std::size_t first, std::size_t count) { seen.emplace_back(first, count); };
    for_each_window(10, 4, note);
    CHECK(seen == std::vector<std::pair<std::size_t, std::size_t>>{{0, 4}, {4, 4}, {8, 2}});
    seen.clear();
    for_each_window(8, 4, note);
    CHECK(seen.size() == 2);
    seen.clear();
    for_each_window(0, 4, note);
    CHECK(seen.empty());
}

TEST_CASE("a window on the host is the checkpoint's own memory", "[window]") {
    memory_checkpoint c;
    std::vector<bfloat16> const x(10, bfloat16{0x3f80});
    c.set<bfloat16>("t", {10}, x);
    lathe_test::plain_backend be;
    window_reader<lathe_test::plain_backend, float> reader;
    auto const operand = reader.read(be, c, 0, 3, 4);
    CHECK(operand.data == c.bytes(0).data() + 6);
    CHECK(operand.type == dtype::bf16);
    CHECK(operand.n == 4);
    window_writer<lathe_test::plain_backend, float> writer;
    auto const out = writer.begin(be, c, c.tensors()[0], 0, 5, 2);
    CHECK(out.data == c.bytes(0).data() + 10);
    writer.end(be, c);
}

TEMPLATE_TEST_CASE("windows of every type reach kernels and come back rounded once", "[window]",
                   lathe_test::plain_backend, device) {
    TestType be;
    auto const type = GENERATE(dtype::f64, dtype::f32, dtype::f16, dtype::bf16);
    std::size_t const n = 1000;
    memory_checkpoint in, out;
    std::vector<float> x(n), expected(n);
    std::vector<std::byte> bytes(n * size_of(type));
    for (std::size_t i = 0; i != n; ++i)
        x[i] = static_cast<float>(i) / 7 - 50;
    host::store(type, x.data(), n, bytes.data());
    in.set({"t", type, {n}}, bytes);
    host::load(type, bytes.data(), n, x.data());

    window_reader<TestType, float> reader;
    CHECK(read(be, reader, in, 0, 0, n) == x);
    CHECK(read(be, reader, in, 0, 513, 400) == std::vector<float>(x.begin() + 513, x.begin() + 913));
    CHECK(read(be, reader, in, 0, 7, 1) == std::vector<float>{x[7]});
    CHECK(read(be, reader, in, 0, n, 0).empty());
    CHECK_THROWS_AS(reader.read(be, in, 0, 999, 2), shape_error);

    // A third of it, in windows, into the same type.
    out.begin({{"t", type, {n}}}, {});
    window_writer<TestType, float> writer;
    for_each_window(n, 300, [&](std::size_t first, std::size_t count) {
        ops::map<float>(be, ops::kernels::product, writer.begin(be, out, out.tensors()[0], 0, first, count), 1.0f / 3,
                        reader.read(be, in, 0, first, count));
        writer.end(be, out);
    });
    out.finish();
    for (std::size_t i = 0; i != n; ++i)
        expected[i] = 1.0f / 3 * x[i];
    host::store(type, expected.data(), n, bytes.data());
    CHECK(std::ranges::equal(out.bytes(0), bytes));
}

TEST_CASE("a device holds one window of each operand, however many there are", "[window]") {
    device be;
    memory_checkpoint in;
    std::vector<float> const x(1000, 1.5f);
    in.set<float>("t", {1000}, x);
    window_reader<device, float> reader;
    for (int pass = 0; pass != 3; ++pass)
        for_each_window(1000, 100, [&](std::size_t first, std::size_t count) {
            static_cast<void>(reader.read(be, in, 0, first, count));
        });
    CHECK(be.memory().peak == 100);
    CHECK(be.count("allocate") == 1);
    CHECK(be.count("upload") == 30);
    CHECK(be.host_syncs() == 0);
}

TEST_CASE("a device works in double on f64", "[window]") {
    wide_device be;
    memory_checkpoint in;
    std::vector<double> const x{0.1, 1e300, -1e-300};
    in.set<double>("t", {3}, x);
    window_reader<wide_device, double> reader;
    CHECK(read(be, reader, in, 0, 0, 3) == x);
}

TEMPLATE_TEST_CASE("elements without arithmetic do not become operands", "[window]", lathe_test::plain_backend,
                   device) {
    TestType be;
    memory_checkpoint in;
    std::vector<std::byte> const x(4);
    in.set({"t", dtype::i32, {1}}, x);
    window_reader<TestType, float> reader;
    CHECK_THROWS_AS(read(be, reader, in, 0, 0, 1), unsupported_error);
}

TEST_CASE("a borrowed checkpoint reads arrays where they are", "[checkpoint]") {
    std::vector<float> const weight{1, 2, 3, 4, 5, 6}, bias{7, 8};
    borrowed_checkpoint c("mine");
    c.add<float>("weight", {2, 3}, weight);
    c.add<float>("bias", {2}, bias);
    REQUIRE(c.tensors().size() == 2);
    CHECK(c.tensors()[0].name == "bias"); // by name, whatever the order they came in
    CHECK(c.label() == "mine");
    window_buffer unused;
    auto const window = c.read(1, 4, 8, unused);
    CHECK(window.data() == reinterpret_cast<std::byte const *>(weight.data() + 1));
    CHECK(window.size() == 8);
    CHECK_THROWS_AS(c.read(0, 4, 8, unused), shape_error);
    CHECK_THROWS_AS(c.add<float>("bias", {2}, bias), shape_error);
    CHECK_THROWS_AS(c.add<float>("other", {3}, bias), shape_error);
    CHECK(c.tensors().size() == 2);
}
