// Objectives that are other programs: what they are given, what they must leave, and how they are ended.
#include <catch.hpp>
#include <temporary_folder.hpp>

#include <lathe/backend/eigen.hpp>
#include <lathe/io/process_objective.hpp>
#include <lathe/merge/frank_wolfe.hpp>
#include <lathe/merge/objectives.hpp>

using namespace lathe;
using lathe_test::contains;
using lathe_test::contents_of;
using lathe_test::temporary_folder;
using lathe_test::write_contents;
using backend = eigen_backend;

namespace {

static_assert(merge::differentiable<io::process_objective, backend, float>);
static_assert(merge::differentiable<io::process_objective, backend, double>);

parameter_layout layout() {
    return parameter_layout({{"a.weight", dtype::f32, {2, 3}}, {"b", dtype::f32, {}}, {"\xc3\xa9", dtype::bf16, {4}}});
}
constexpr std::size_t size = 11;

// f(x) = |x|^2 / 2: the gradient is the parameters. Python without any package.
char const * const half_square = R"(
import array, json, struct, sys
params, gradient, loss = sys.argv[1:4]
raw = open(params, 'rb').read()
n = struct.unpack('<Q', raw[:8])[0]
head, data = json.loads(raw[8:8 + n]), raw[8 + n:]
head.pop('__metadata__', None)
f = 0.0
for t in head.values():
    begin, end = t['data_offsets']
    f += sum(v * v for v in array.array({'F32': 'f', 'F64': 'd'}[t['dtype']], data[begin:end])) / 2
open(gradient, 'wb').write(raw)
json.dump({'note': [1, {'loss': 'not this one'}], 'loss': f}, open(loss, 'w'))
)";

io::process_objective_options python(std::string const & script) {
    return {.command = {"python3", "-c", script, "{params}", "{gradient}", "{loss}"}, .timeout = 60};
}
io::process_objective_options shell(std::string const & line) { return {.shell = line, .timeout = 60}; }

template <class T> std::vector<T> point() {
    std::vector<T> x(size);
    for (std::size_t i = 0; i != size; ++i)
        x[i] = static_cast<T>(0.25 * static_cast<double>(i) - 1);
    return x;
}

double evaluate(io::process_objective & f) {
    backend be;
    auto x = point<float>();
    std::vector<float> g(size);
    return f.value_and_gradient(be, vec_view<float const *>(x.data(), size), vec_view(g.data(), size));
}
double evaluate(io::process_objective_options const & options) {
    io::process_objective f(layout(), options);
    return evaluate(f);
}

/// Whether a process runs: neither gone nor waiting to be taken by its parent.
bool runs(std::string const & id) {
    std::ifstream in{"/proc/" + id + "/stat"};
    std::string text{std::istreambuf_iterator<char>{in}, {}};
    auto const at = text.rfind(')');
    return at != text.npos && at + 2 < text.size() && text[at + 2] != 'Z' && text[at + 2] != 'X';
}
/// Whether it ends soon: a signal takes its time.
bool ends(std::string const & id) {
    for (int i = 0; i != 1000 && runs(id); ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds{5});
    return !runs(id);
}
bool has_children() {
    siginfo_t info{};
    return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}
/// What an evaluation throws.
io::process_error failure(io::process_objective_options const & options) {
    try {
        evaluate(options);
    } catch (io::process_error const & e) {
        CHECK(!has_children());
        return e;
    }
    FAIL("no process_error");
    throw std::logic_error{"unreachable"};
}
/// A program that writes this loss and, as hex pairs for printf, this gradient.
io::process_objective_options leaves(std::string const & loss,
                                     std::string const & gradient = "cp {params} {gradient}") {
    return shell("printf '%s' '" + loss + "' > {loss}; " + gradient);
}
/// Shell that writes a safetensors file of this header and n bytes of data.
std::string file_of(std::string const & header, std::string const & byte, std::size_t n) {
    std::string s = "printf '\\" + [&] {
        std::string octal = "000";
        for (std::size_t i = 0, v = header.size(); i != 3; ++i, v /= 8)
            octal[2 - i] = static_cast<char>('0' + v % 8);
        return octal;
    }() + "\\0\\0\\0\\0\\0\\0\\0%s' '" + header + "' > {gradient}; printf '";
    for (std::size_t i = 0; i != n; ++i)
        s += byte;
    return s + "' >> {gradient}";
}

} // namespace

TEMPLATE_TEST_CASE("a program gives value and gradient", "", float, double) {
    backend be;
    io::process_objective f(layout(), python(half_square));
    auto x = point<TestType>();
    for (int call = 0; call != 2; ++call) { // it may be called again
        std::vector<TestType> g(size);
        double wanted = 0;
        for (auto const v : x)
            wanted += double{v} * double{v} / 2;
        auto const value =
            f.value_and_gradient(be, vec_view<TestType const *>(x.data(), size), vec_view(g.data(), size));
        CHECK(value == Approx(wanted));
        CHECK(g == x);
        for (auto & v : x)
            v += TestType(1) / 3;
    }
}

TEST_CASE("the parameters have the type asked for, and the files lie in a folder that goes with the object") {
    backend be;
    temporary_folder const folder;
    std::filesystem::path work;
    {
        auto options = leaves(R"({"loss": -3})");
        options.directory = folder.path().string();
        options.parameter_type = dtype::bf16;
        io::process_objective f(layout(), options);
        work = f.work();
        CHECK(work.parent_path() == folder.path());
        auto x = point<float>();
        x[0] = 1.0f + 0x1p-9f; // not a bfloat16
        std::vector<float> g(size);
        CHECK(f.value_and_gradient(be, vec_view<float const *>(x.data(), size), vec_view(g.data(), size)) == -3);
        CHECK(g[0] == 1);
        CHECK(g[1] == x[1]);
        io::safetensors_file const written(work / "params.safetensors");
        REQUIRE(written.tensors().size() == 3);
        for (auto const & t : written.tensors())
            CHECK(t.type == dtype::bf16);
    }
    CHECK(!std::filesystem::exists(work));
    CHECK(folder.names().empty());
}

TEST_CASE("paths with blanks and quotes reach a shell whole; other braces stay") {
    temporary_folder const folder;
    auto options = leaves(R"({"loss": 2.5})", "cp {params} {gradient}; printf '%s' '{x}{' > {work}/seen");
    options.directory = (folder / "it's a \"folder\" $HOME").string();
    std::filesystem::create_directory(options.directory);
    io::process_objective f(layout(), options);
    CHECK(evaluate(f) == 2.5);
    CHECK(contents_of(f.work() / "seen") == "{x}{");
}

TEST_CASE("Frank-Wolfe minimises it like an objective of its own process") {
    struct square {
        double value_and_gradient(backend & be, vec_view<double const *> x, vec_view<double *> g) const {
            ops::copy(be, x, g);
            return ops::dot(be, x, x) / 2;
        }
    };
    std::vector<std::vector<double>> data;
    std::vector<vec_view<double const *>> views;
    for (std::uint32_t k = 0; k != 3; ++k) {
        random::uniform_stream const stream{7, k, 0};
        data.emplace_back();
        for (std::size_t i = 0; i != size; ++i)
            data.back().push_back(static_cast<double>(stream[i]) - 0.2);
    }
    for (auto const & d : data)
        views.emplace_back(d.data(), size);
    backend be;
    merge::resident_vertices<backend, double> vertices(views);
    std::vector<double> x(size), y(size);
    io::process_objective f(layout(), python(half_square));
    merge::frank_wolfe_options const options{
        .method = merge::frank_wolfe_method::away, .iters = 5, .gap_tolerance = 1e-9};
    auto const there = merge::frank_wolfe(be, vertices, f, vec_view(x.data(), size), options);
    auto const here = merge::frank_wolfe(be, vertices, square{}, vec_view(y.data(), size), options);
    CHECK(there.gap == Approx(here.gap).margin(1e-9));
    CHECK(there.evaluations == here.evaluations);
    for (std::size_t k = 0; k != 3; ++k)
        CHECK(there.weights[0][k] == Approx(here.weights[0][k]).margin(1e-9));
}

TEST_CASE("a program that fails is quoted") {
    SECTION("with a status") {
        auto const e = failure(python("import sys; print('out'); sys.exit('no such layer')"));
        CHECK(e.exit_code == 1);
        CHECK(e.signal == 0);
        CHECK(!e.timed_out);
        CHECK((e.output == "out\nno such layer" || e.output == "no such layer\nout"));
        CHECK_THAT(e.what(), contains("python3: ended with status 1") && contains("no such layer"));
        CHECK(std::string_view{e.what()}.find('\n') == std::string_view::npos);
    }
    SECTION("with an exception, of which the end is kept") {
        auto const e = failure(python("for i in range(9999): print('line', i)\nraise ValueError('shape')"));
        CHECK(e.exit_code == 1);
        CHECK(e.output.size() <= 2000);
        CHECK(e.output.ends_with("ValueError: shape"));
    }
    SECTION("by a signal") {
        auto const e = failure(shell("echo {params} > /dev/null; kill -SEGV $$"));
        CHECK(e.exit_code == -1);
        CHECK(e.signal == SIGSEGV);
        CHECK_THAT(e.what(), contains("signal " + std::to_string(SIGSEGV)));
    }
    SECTION("before it starts") {
        CHECK_THROWS_AS(evaluate({.command = {"/no/such/program", "{params}"}}), io_error);
        CHECK_THROWS_WITH(evaluate({.command = {"/no/such/program", "{params}"}}), contains("/no/such/program"));
    }
    CHECK(!has_children());
}

TEST_CASE("a program that takes too long is ended, with all it started, however deaf") {
    temporary_folder const folder;
    auto const ids = folder / "ids";
    auto options = shell("trap '' TERM INT HUP; sleep 1000 & echo $! >> '" + ids.string() + "'; echo $$ >> '"
                         + ids.string() + "'; echo working; true {params}; while :; do sleep 1; done");
    options.timeout = 0.4;
    options.grace = 0.3;
    auto const begin = std::chrono::steady_clock::now();
    auto const e = failure(options);
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds{30});
    CHECK(e.timed_out);
    CHECK(e.signal == SIGKILL);
    CHECK(e.exit_code == -1);
    CHECK_THAT(e.what(), contains("took longer") && contains("working"));
    std::ifstream in{ids};
    std::size_t count = 0;
    for (std::string id; in >> id; ++count)
        CHECK(ends(id));
    CHECK(count == 2);
}

TEST_CASE("a program that hears SIGTERM may tidy up") {
    temporary_folder const folder;
    auto const mark = folder / "tidy";
    auto options =
        shell("trap 'echo done > " + mark.string() + "; exit 0' TERM; true {params}; while :; do sleep 0.01; done");
    options.timeout = 0.3;
    options.grace = 30;
    auto const e = failure(options);
    CHECK(e.timed_out);
    CHECK(e.signal == 0);
    CHECK(contents_of(mark) == "done\n");
}

TEST_CASE("a program can be stopped from outside") {
    int asked = 0;
    auto options = shell("true {params}; sleep 1000");
    io::process_objective f(layout(), options, [&] { return ++asked == 3; });
    try {
        evaluate(f);
        FAIL("not stopped");
    } catch (io::process_error const & e) {
        CHECK(!e.timed_out);
        CHECK_THAT(e.what(), contains("stopped"));
    }
    CHECK(!has_children());
    // and what `stop` throws comes through, with nothing left behind
    io::process_objective g(layout(), options, []() -> bool { throw std::runtime_error{"enough"}; });
    CHECK_THROWS_WITH(evaluate(g), "enough");
    CHECK(!has_children());
}

TEST_CASE("what a program leaves running when it ends well is ended, and it has no input") {
    temporary_folder const folder;
    auto const ids = folder / "ids";
    CHECK(evaluate(leaves(R"({"loss": 1})", "cp {params} {gradient}; sleep 1000 & echo $! > '" + ids.string()
                                                + "'; read line && exit 9; exit 0"))
          == 1);
    std::ifstream in{ids};
    std::string id;
    REQUIRE(in >> id);
    CHECK(ends(id));
}

TEST_CASE("what a program must leave") {
    std::string const good = R"({"loss": 0.5})";
    CHECK(evaluate(leaves(good)) == 0.5);
    CHECK(evaluate(leaves(R"({"loss": -1e-3, "rows": [[[1]]], "name": "loss"})")) == -1e-3);

    SECTION("both files, fresh ones") {
        auto const e = failure(leaves(good, "echo not today"));
        CHECK(e.exit_code == 0);
        CHECK(e.output == "not today");
        CHECK_THAT(e.what(), contains("did not write gradient.safetensors"));
        CHECK_THAT(failure(shell("cp {params} {gradient}")).what(), contains("did not write loss.json"));
        // writes on its first call only
        io::process_objective f(
            layout(),
            leaves(good, "cp {params} {gradient}; [ ! -e {work}/again ] || rm {gradient} {loss}; touch {work}/again"));
        CHECK(evaluate(f) == 0.5);
        CHECK_THROWS_AS(evaluate(f), io::process_error);
    }
    SECTION("a number") {
        for (auto const * const loss :
             {"", "0.5", "[0.5]", "{}", "{\"los\": 1}", "{\"loss\": \"0.5\"}", "{\"loss\": null}", "{\"loss\": true}",
              "{\"loss\": [1]}", "{\"loss\": {\"loss\": 1}}", "{\"loss\": NaN}", "{\"loss\": 1", "{\"loss\": 1} x"}) {
            INFO(loss);
            CHECK_THROWS_AS(evaluate(leaves(loss)), format_error);
            CHECK_THROWS_WITH(evaluate(leaves(loss)), contains("loss"));
        }
        CHECK_THROWS_AS(evaluate(leaves("{\"loss\": 1e999}")), lathe::error);
        CHECK_THROWS_AS(evaluate(shell("cp {params} {gradient}; head -c 2000000 /dev/zero > {loss}")), format_error);
        CHECK_THROWS_AS(evaluate(shell("cp {params} {gradient}; mkdir {loss}")), io_error);
    }
    SECTION("a gradient by every parameter, and nothing else") {
        std::string const a = R"("a.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]})",
                          b = R"("b":{"dtype":"F32","shape":[],"data_offsets":[24,28]})",
                          c = "\"\xc3\xa9\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[28,44]}";
        auto const header = [](std::initializer_list<std::string> parts) {
            std::string h = "{";
            for (auto const & p : parts)
                h += (h.size() > 1 ? "," : "") + p;
            return h + "}";
        };
        CHECK(evaluate(leaves(good, file_of(header({a, b, c}), "\\0", 44))) == 0.5);
        CHECK(evaluate(leaves(good, file_of(header({b, c, a}), "\\0", 44))) == 0.5);

        auto const missing = leaves(good, file_of(header({a, b}), "\\0", 28));
        CHECK_THROWS_AS(evaluate(missing), mismatch_error);
        CHECK_THROWS_WITH(evaluate(missing), contains("\xc3\xa9"));
        auto const extra = leaves(
            good, file_of(header({a, b, c, R"("z":{"dtype":"F32","shape":[0],"data_offsets":[44,44]})"}), "\\0", 44));
        CHECK_THROWS_AS(evaluate(extra), mismatch_error);
        CHECK_THROWS_WITH(evaluate(extra), contains("'z'"));
        auto const shape =
            leaves(good, file_of(header({R"("a.weight":{"dtype":"F32","shape":[3,2],"data_offsets":[0,24]})", b, c}),
                                 "\\0", 44));
        CHECK_THROWS_AS(evaluate(shape), mismatch_error);
        CHECK_THROWS_WITH(evaluate(shape), contains("[3, 2]") && contains("a.weight"));
        auto const integers = leaves(
            good, file_of(header({a, R"("b":{"dtype":"I32","shape":[],"data_offsets":[24,28]})", c}), "\\0", 44));
        CHECK_THROWS_AS(evaluate(integers), mismatch_error);
        CHECK_THROWS_WITH(evaluate(integers), contains("'b'") && contains("I32"));
        auto const nan = leaves(good, file_of(header({a, b, c}), "\\377", 44));
        CHECK_THROWS_AS(evaluate(nan), non_finite_error);
        CHECK_THROWS_WITH(evaluate(nan), contains("a.weight"));
        CHECK_THROWS_AS(evaluate(leaves(good, "echo hello > {gradient}")), format_error);
        CHECK_THROWS_AS(evaluate(leaves(good, ": > {gradient}")), format_error);
        CHECK_THROWS_AS(evaluate(leaves(good, file_of(header({a, b, c}), "\\0", 40))), format_error);
        CHECK_THROWS_AS(evaluate(leaves(good, "mkdir {gradient}")), io_error);
    }
    CHECK(!has_children());
}

TEST_CASE("options of objectives are checked") {
    auto const make = [](io::process_objective_options const & o) { io::process_objective f(layout(), o); };
    CHECK_THROWS_WITH(make({}), contains("command: found neither"));
    CHECK_THROWS_WITH(make({.command = {"a", "{params}"}, .shell = "a {params}"}), contains("command: found both"));
    CHECK_THROWS_WITH(make({.command = {"a", "b"}}), contains("{params}"));
    CHECK_THROWS_WITH(make({.shell = "a b"}), contains("shell: found no {params}"));
    CHECK_THROWS_WITH(make({.shell = "a {work}", .timeout = -1}), contains("timeout"));
    CHECK_THROWS_WITH(make({.shell = "a {work}", .timeout = std::nan("")}), contains("timeout"));
    CHECK_THROWS_WITH(make({.shell = "a {work}", .grace = -1}), contains("grace"));
    CHECK_THROWS_WITH(make({.shell = "a {work}", .parameter_type = dtype::i8}), contains("parameter_type: found I8"));
    CHECK_THROWS_AS(make({.shell = "a {work}", .directory = "/no/such/folder"}), io_error);
}

TEST_CASE("the example in numpy agrees with the classifier here") {
    if (!std::filesystem::exists(LATHE_TEST_PYTHON)) {
        WARN("left out: there is no " LATHE_TEST_PYTHON);
        return;
    }
    std::filesystem::path const examples = std::filesystem::path{LATHE_TEST_DATA} / "../../examples";
    parameter_layout const mlp({{"hidden.weight", dtype::f32, {12, 64}},
                                {"hidden.bias", dtype::f32, {12}},
                                {"output.weight", dtype::f32, {10, 12}},
                                {"output.bias", dtype::f32, {10}}});
    std::vector<float> x, inputs;
    std::vector<std::size_t> labels;
    random::uniform_stream const stream{1, 0, 0};
    for (std::size_t i = 0; i != mlp.size(); ++i)
        x.push_back(stream[i] - 0.5f);
    std::ifstream csv{examples / "data" / "optdigits.csv"};
    std::string line;
    for (std::size_t row = 0; row != 50 && std::getline(csv, line); ++row) {
        if (row < 10)
            continue;
        std::istringstream in{line};
        for (int i = 0, value = 0; in >> value; ++i, in.ignore())
            i < 64 ? inputs.push_back(static_cast<float>(value) / 16)
                   : labels.push_back(static_cast<std::size_t>(value));
    }
    REQUIRE(labels.size() == 40);
    backend be;
    std::vector<float> g(x.size()), h(x.size());
    vec_view<float const *> const at(x.data(), x.size());
    merge::classifier_objective<backend, float> ours(
        mlp, {{"hidden.weight", "hidden.bias"}, {"output.weight", "output.bias"}});
    ours.set_rows(be, inputs, labels);
    io::process_objective theirs(mlp,
                                 {.command = {LATHE_TEST_PYTHON, (examples / "objective_numpy.py").string(), "{params}",
                                              "{gradient}", "{loss}", "--first", "10", "--rows", "40"}});
    auto const here = ours.value_and_gradient(be, at, vec_view(g.data(), g.size()));
    auto const there = theirs.value_and_gradient(be, at, vec_view(h.data(), h.size()));
    CHECK(there == Approx(here).epsilon(1e-5));
    for (std::size_t i = 0; i != g.size(); ++i)
        CHECK(h[i] == Approx(g[i]).margin(1e-6));
}
