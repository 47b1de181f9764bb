// Pools: how checkpoints are aligned by name, and the loop that streams them: windows, progress, cancellation.
#include <lathe/merge/pool.hpp>
#include <lathe/testing/archetype.hpp>

#include "catch.hpp"
#include "plain_backend.hpp"

#include <atomic>

namespace {
using namespace lathe;
using lathe_test::contains;
using merge::mismatch_policy;
using merge::model_pool;
using merge::pool_options;

/// Adds a tensor of f32 (or of the type given) whose elements count up from `start`.
void add(memory_checkpoint & c, std::string const & name, shape const & extents, float start, dtype type = dtype::f32) {
    std::vector<float> x(count_of(extents));
    for (std::size_t i = 0; i != x.size(); ++i)
        x[i] = start + static_cast<float>(i);
    std::vector<std::byte> bytes(x.size() * size_of(type));
    host::store(type, x.data(), x.size(), bytes.data());
    c.set({name, type, extents}, bytes);
}
void add_integers(memory_checkpoint & c, std::string const & name, std::vector<std::int64_t> const & values) {
    c.set({name, dtype::i64, {values.size()}}, std::as_bytes(std::span{values}));
}
std::vector<std::string> names(model_pool const & pool, bool merged) {
    std::vector<std::string> all;
    for (auto const & r : pool.rows())
        if (r.merged == merged)
            all.push_back(r.info.name);
    return all;
}
std::vector<float> floats(memory_checkpoint const & c, std::string_view name) {
    auto const i = c.find(name).value();
    std::vector<float> x(c.tensors()[i].count());
    host::load(c.tensors()[i].type, c.bytes(i).data(), x.size(), x.data());
    return x;
}
using strings = std::vector<std::string>;

/// The mean of the models.
struct mean {
    static constexpr bool reads_base = false;
    template <class B, class T, class Out>
    void operator()(B & be, merge::pool_reader<B, T> const & in, Out const & out) {
        auto const sum = [](auto const & xs, auto const & share) {
            auto s = share * xs[0];
            for (std::size_t k = 1; k != xs.size(); ++k)
                s = s + share * xs[k];
            return s;
        };
        ops::map<T>(be, sum, out, in.models(), T(1) / static_cast<T>(in.pool().size()));
    }
};
/// base + (model 0 - base) / 2.
struct half_way {
    template <class B, class T, class Out>
    void operator()(B & be, merge::pool_reader<B, T> const & in, Out const & out) {
        ops::map<T>(be, [](auto const & x, auto const & base) { return base + 0.5 * (x - base); }, out, in.model(0),
                    in.base());
    }
};

struct two_models {
    memory_checkpoint base{"base"}, a{"a"}, b{"b"}, out{"out"};
    two_models() {
        for (auto * c : {&base, &a, &b}) {
            float const start = c == &base ? 0.0f : c == &a ? 100.0f : 20.0f;
            add(*c, "w", {5000}, start);
            add(*c, "norm", {3}, start, dtype::bf16);
            add_integers(*c, "ids", {static_cast<std::int64_t>(start), 1});
            add(*c, "empty", {0, 7}, 0);
        }
    }
};
} // namespace

TEST_CASE("a row for every tensor, in order of the names; integers and empty tensors are copied", "[pool]") {
    two_models m;
    model_pool const pool(&m.base, {&m.a, &m.b});
    CHECK(pool.size() == 2);
    CHECK(pool.has_base());
    CHECK(&pool.reference() == &m.base);
    CHECK(names(pool, true) == strings{"norm", "w"});
    CHECK(names(pool, false) == strings{"empty", "ids"});
    CHECK(std::ranges::is_sorted(pool.rows(), {}, [](auto const & r) { return r.info.name; }));
    CHECK(pool.parameters() == 5003);
    CHECK_FALSE(pool.wants_double());
    CHECK(pool.rows()[3].index == std::vector<std::size_t>{3, 3, 3});
    CHECK(pool.output()[2] == tensor_info{"norm", dtype::bf16, {3}});
}

TEST_CASE("a pool needs a model, and says so", "[pool]") {
    two_models m;
    CHECK_THROWS_WITH(model_pool(&m.base, {}), contains("models"));
    CHECK_THROWS_AS(model_pool(nullptr, {}), option_error);
    model_pool const pool(nullptr, {&m.a});
    CHECK_FALSE(pool.has_base());
    CHECK(&pool.reference() == &m.a);
    CHECK_THROWS_WITH(pool.base(), contains("base"));
}

TEST_CASE("the window is rounded up to whole summation blocks", "[pool]") {
    two_models m;
    for (auto const & [asked, given] : {std::pair{0, 1}, {1, 1}, {4096, 1}, {4097, 2}, {10000, 3}})
        CHECK(model_pool(nullptr, {&m.a}, {.window = static_cast<std::size_t>(asked)}).window()
              == static_cast<std::size_t>(given) * 4096);
}

TEST_CASE("strict: any difference in names, shapes or kinds is an error that names the tensor and the model",
          "[pool]") {
    two_models m;
    SECTION("a tensor the model lacks") {
        add(m.base, "only.base", {2}, 0);
        CHECK_THROWS_AS(model_pool(&m.base, {&m.a, &m.b}), mismatch_error);
        CHECK_THROWS_WITH(model_pool(&m.base, {&m.a, &m.b}), contains("a: tensor 'only.base'") && contains("missing"));
    }
    SECTION("a tensor only the model has") {
        add(m.b, "only.b", {2}, 0);
        CHECK_THROWS_WITH(model_pool(&m.base, {&m.a, &m.b}), contains("b: tensor 'only.b'") && contains("base"));
        CHECK_THROWS_WITH(model_pool(nullptr, {&m.a, &m.b}), contains("b: tensor 'only.b'"));
    }
    SECTION("another shape, though as many elements") {
        add(m.b, "w", {50, 100}, 0);
        CHECK_THROWS_WITH(model_pool(&m.base, {&m.a, &m.b}),
                          contains("b: tensor 'w'") && contains("[50, 100]") && contains("[5000]"));
    }
    SECTION("an integer where the base has floats") {
        add_integers(m.b, "norm", {1, 2, 3});
        CHECK_THROWS_WITH(model_pool(&m.base, {&m.a, &m.b}), contains("b: tensor 'norm'") && contains("I64"));
    }
    SECTION("another floating type is no difference") {
        add(m.b, "w", {5000}, 0, dtype::f16);
        CHECK_NOTHROW(model_pool(&m.base, {&m.a, &m.b}));
    }
}

TEST_CASE("keep_base: what does not fit is copied from the base", "[pool]") {
    two_models m;
    add(m.base, "only.base", {2}, 7);
    add(m.b, "only.b", {2}, 0);
    add(m.a, "w", {10}, 0);
    model_pool const pool(&m.base, {&m.a, &m.b}, {.policy = mismatch_policy::keep_base});
    CHECK(names(pool, true) == strings{"norm"});
    CHECK(names(pool, false) == strings{"empty", "ids", "only.base", "w"});
    lathe_test::plain_backend be;
    mean recipe;
    CHECK(merge::write<lathe_test::plain_backend, float>(be, pool, recipe, m.out) == status::converged);
    CHECK(floats(m.out, "only.base") == std::vector<float>{7, 8});
    CHECK(floats(m.out, "w") == floats(m.base, "w"));
    CHECK(floats(m.out, "norm") == std::vector<float>{60, 61, 62});
    CHECK_FALSE(m.out.find("only.b"));
}

TEST_CASE("intersect: what does not fit is left out", "[pool]") {
    two_models m;
    add(m.base, "only.base", {2}, 7);
    add(m.a, "w", {10}, 0);
    add(m.b, "only.b", {2}, 0);
    model_pool const pool(&m.base, {&m.a, &m.b}, {.policy = mismatch_policy::intersect});
    CHECK(names(pool, true) == strings{"norm"});
    CHECK(names(pool, false) == strings{"empty", "ids"});
}

TEST_CASE("the result has the types of the base unless told otherwise", "[pool]") {
    two_models m;
    add(m.a, "w", {5000}, 0, dtype::f64);
    model_pool const pool(&m.base, {&m.a, &m.b});
    CHECK(pool.output()[3].type == dtype::f32);
    CHECK(pool.wants_double());
    model_pool const narrow_pool(&m.base, {&m.a, &m.b}, {.output_type = dtype::f16});
    CHECK(narrow_pool.output()[2].type == dtype::f16);
    CHECK(narrow_pool.output()[3].type == dtype::f16);
    CHECK(narrow_pool.output()[1].type == dtype::i64);
    CHECK(narrow_pool.output()[0].type == dtype::f16); // empty, and copied
    // f64 in a row that is only copied calls for nothing
    memory_checkpoint c, d;
    add(c, "x", {0}, 0, dtype::f64);
    CHECK_FALSE(model_pool(nullptr, {&c}).wants_double());
}

TEST_CASE("a copied row is rounded to the type of the result", "[pool]") {
    two_models m;
    add(m.base, "only.base", {3}, 7);
    for (auto const type : {dtype::f64, dtype::f16}) {
        model_pool const pool(&m.base, {&m.a, &m.b},
                              {.policy = mismatch_policy::keep_base, .output_type = type, .window = 1});
        auto const & rows = pool.rows();
        auto const at = std::ranges::find(rows, "only.base", [](auto const & r) { return r.info.name; }) - rows.begin();
        memory_checkpoint out{"out"};
        out.begin(pool.output(), {});
        copy_row(pool, static_cast<std::size_t>(at), out);
        CHECK(out.tensors()[static_cast<std::size_t>(at)].type == type);
        CHECK(floats(out, "only.base") == floats(m.base, "only.base"));
    }
}

TEMPLATE_TEST_CASE("a merge writes every row, on a host and on a device", "[pool]", lathe_test::plain_backend,
                   testing::archetype<testing::floor::elementwise>) {
    two_models m;
    m.base.begin({m.base.tensors().begin(), m.base.tensors().end()}, {{"license", "free"}});
    for (std::size_t i = 0; i != m.a.tensors().size(); ++i)
        std::ranges::fill(m.base.bytes(i), std::byte{0});
    TestType be;
    model_pool const pool(&m.base, {&m.a, &m.b}, {.window = 1});
    SECTION("without the base") {
        mean recipe;
        CHECK(merge::write<TestType, float>(be, pool, recipe, m.out) == status::converged);
        auto const w = floats(m.out, "w");
        for (std::size_t i = 0; i != w.size(); ++i)
            CHECK(w[i] == 60 + static_cast<float>(i));
    }
    SECTION("with the base") {
        half_way recipe;
        CHECK(merge::write<TestType, float>(be, pool, recipe, m.out) == status::converged);
        auto const w = floats(m.out, "w");
        for (std::size_t i = 0; i != w.size(); ++i)
            CHECK(w[i] == 50 + static_cast<float>(i) / 2);
    }
    CHECK(std::ranges::equal(m.out.bytes(1), m.base.bytes(1)));
    CHECK(m.out.tensors()[0] == m.base.tensors()[0]);
    CHECK(m.out.metadata().at("license") == "free");
}

TEST_CASE("a device holds one window of each checkpoint and of the result", "[pool]") {
    two_models m;
    testing::archetype<testing::floor::elementwise> be;
    model_pool const pool(&m.base, {&m.a, &m.b}, {.window = 1});
    mean recipe;
    merge::write<decltype(be), float>(be, pool, recipe, m.out);
    CHECK(be.memory().now == 0);
    CHECK(be.memory().peak <= 3 * 4096 + 3 * 3); // while a window grows, the smaller one is still there
    CHECK(be.host_syncs() == 3);                 // one a window: two of w, one of norm
    be.clear_log();
    half_way other;
    merge::write<decltype(be), float>(be, pool, other, m.out);
    CHECK(be.memory().peak <= 4 * 4096 + 4 * 3);
}

TEST_CASE("progress counts the elements", "[pool][control]") {
    two_models m;
    lathe_test::plain_backend be;
    model_pool const pool(&m.base, {&m.a, &m.b}, {.window = 1});
    std::vector<std::size_t> steps;
    auto const note = [&](progress const & p) {
        CHECK(p.total == 5003);
        CHECK(p.objective != p.objective);
        steps.push_back(p.step);
    };
    mean recipe;
    CHECK(merge::write<lathe_test::plain_backend, float>(be, pool, recipe, m.out, control(note)) == status::converged);
    CHECK(steps == std::vector<std::size_t>{3, 4099, 5003});
}

namespace {
/// Stops after so many questions.
struct impatient {
    std::atomic<int> * patience;
    [[nodiscard]] bool stop_requested() const { return (*patience)-- <= 0; }
};
/// Notices whether the result became visible.
class watched_sink final : public checkpoint_sink {
    memory_checkpoint inner_;

public:
    bool finished = false;
    void begin(std::vector<tensor_info> tensors, std::map<std::string, std::string> metadata) override {
        inner_.begin(std::move(tensors), std::move(metadata));
    }
    std::span<std::byte> window(std::size_t index, std::size_t first, std::size_t size,
                                window_buffer & buffer) override {
        return inner_.window(index, first, size, buffer);
    }
    void commit(std::size_t index, std::size_t first, std::span<std::byte const> bytes) override {
        inner_.commit(index, first, bytes);
    }
    void finish() override { finished = true; }
};
} // namespace

TEST_CASE("a merge that is stopped says so and shows nothing", "[pool][control]") {
    two_models m;
    lathe_test::plain_backend be;
    model_pool const pool(&m.base, {&m.a, &m.b}, {.window = 1});
    mean recipe;
    for (int const windows : {0, 1, 2}) {
        std::atomic<int> patience = windows;
        std::size_t done = 0;
        watched_sink sink;
        auto const result = merge::write<lathe_test::plain_backend, float>(
            be, pool, recipe, sink, control([&](progress const & p) { done = p.step; }, impatient{&patience}));
        CHECK(result == status::stopped);
        CHECK_FALSE(sink.finished);
        CHECK(done == std::array<std::size_t, 3>{0, 3, 4099}[static_cast<std::size_t>(windows)]);
    }
    watched_sink sink;
    CHECK(merge::write<lathe_test::plain_backend, float>(be, pool, recipe, sink) == status::converged);
    CHECK(sink.finished);
}

TEST_CASE("a merge that fails shows nothing", "[pool]") {
    two_models m;
    lathe_test::plain_backend be;
    model_pool const pool(&m.base, {&m.a, &m.b});
    auto recipe = [](lathe_test::plain_backend &, auto const &, auto const &) { throw non_finite_error{"no"}; };
    watched_sink sink;
    CHECK_THROWS_AS((merge::write<lathe_test::plain_backend, float>(be, pool, recipe, sink)), non_finite_error);
    CHECK_FALSE(sink.finished);
}
