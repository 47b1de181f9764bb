// Executors: every block once, the same bits for any number of threads, exceptions come out.
#include <lathe/core/ops.hpp>

#include "catch.hpp"
#include "plain_backend.hpp"

#include <numeric>
#include <set>

namespace {
using namespace lathe;

struct threaded_backend : lathe_test::plain_backend {
    thread_pool pool;
    explicit threaded_backend(std::size_t threads) : pool(threads) {}
    [[nodiscard]] thread_pool & executor() noexcept { return pool; }
};

template <class E> std::vector<int> visits(E & e, std::size_t count) {
    std::vector<std::atomic<int>> seen(count);
    e.parallel_for(count, [&](std::size_t i) { ++seen[i]; });
    return {seen.begin(), seen.end()};
}

inline constexpr auto rough = [](auto & sums, auto const & x, auto const & y, auto const & u) {
    sums.add(0, x * y);
    sums.add(1, math::sqrt(math::abs(x)) + u);
};
} // namespace

TEST_CASE("every block runs once", "[executor]") {
    for (std::size_t const count : {0u, 1u, 2u, 7u, 1000u}) {
        serial_executor serial;
        CHECK(visits(serial, count) == std::vector<int>(count, 1));
        for (std::size_t const threads : {1u, 2u, 3u, 8u}) {
            thread_pool pool(threads);
            for (int again = 0; again != 3; ++again)
                CHECK(visits(pool, count) == std::vector<int>(count, 1));
        }
    }
}

TEST_CASE("the serial executor goes in order", "[executor]") {
    std::vector<std::size_t> order;
    serial_executor{}.parallel_for(5, [&](std::size_t i) { order.push_back(i); });
    CHECK(order == std::vector<std::size_t>{0, 1, 2, 3, 4});
}

TEST_CASE("a pool uses its threads, the caller's among them", "[executor]") {
    thread_pool pool(3);
    CHECK(pool.threads() == 3);
    CHECK(thread_pool(0).threads() >= 1);
    // Three blocks that wait for one another need three threads.
    std::atomic<int> arrived{0};
    std::mutex mutex;
    std::set<std::thread::id> ids;
    pool.parallel_for(3, [&](std::size_t) {
        {
            std::lock_guard const lock{mutex};
            ids.insert(std::this_thread::get_id());
        }
        for (++arrived; arrived < 3;)
            std::this_thread::yield();
    });
    CHECK(ids.size() == 3);
    CHECK(ids.contains(std::this_thread::get_id()));
}

TEST_CASE("one thread runs everything on the caller", "[executor]") {
    thread_pool pool;
    CHECK(pool.threads() == 1);
    std::set<std::thread::id> ids;
    pool.parallel_for(20, [&](std::size_t) { ids.insert(std::this_thread::get_id()); });
    CHECK(ids == std::set{std::this_thread::get_id()});
}

TEST_CASE("an exception in a block comes out, and the pool goes on working", "[executor]") {
    for (std::size_t const threads : {1u, 2u, 4u}) {
        thread_pool pool(threads);
        for (std::size_t const bad : {0u, 1u, 57u, 99u}) {
            CHECK_THROWS_AS(pool.parallel_for(100,
                                              [&](std::size_t i) {
                if (i == bad)
                    throw shape_error{"block " + std::to_string(i)};
            }),
                            shape_error);
            CHECK(visits(pool, 100) == std::vector<int>(100, 1));
        }
        // All of them fail: one comes out.
        CHECK_THROWS_AS(pool.parallel_for(100, [](std::size_t i) { throw i; }), std::size_t);
        CHECK(visits(pool, 3) == std::vector<int>(3, 1));
    }
    CHECK_THROWS_AS(serial_executor{}.parallel_for(3, [](std::size_t) { throw 1; }), int);
}

TEST_CASE("a call inside a block runs on its thread", "[executor]") {
    thread_pool pool(3);
    std::atomic<int> inner{0};
    pool.parallel_for(1, [&](std::size_t) { pool.parallel_for(4, [&](std::size_t) { ++inner; }); });
    CHECK(inner == 4);
    serial_executor serial;
    serial.parallel_for(2, [&](std::size_t) { pool.parallel_for(4, [&](std::size_t) { ++inner; }); });
    CHECK(inner == 12);
}

TEST_CASE("calls inside every block of a call that has threads run serially from the first", "[executor]") {
    for (int again = 0; again != 100; ++again) {
        thread_pool pool(4); // whose threads are quicker than the caller now and then
        std::atomic<int> inner{0};
        for (int round = 0; round != 3; ++round)
            pool.parallel_for(8, [&](std::size_t) { pool.parallel_for(4, [&](std::size_t) { ++inner; }); });
        REQUIRE(inner == 96);
    }
}

TEST_CASE("a pool moves", "[executor]") {
    thread_pool a(2);
    CHECK(visits(a, 10) == std::vector<int>(10, 1));
    thread_pool b = std::move(a);
    CHECK(visits(b, 10) == std::vector<int>(10, 1));
    a = thread_pool(3);
    CHECK(visits(a, 10) == std::vector<int>(10, 1));
}

TEMPLATE_TEST_CASE("any number of threads gives the same bits", "[executor][map][reduce]", float, double) {
    using T = TestType;
    std::size_t const n = 3 * host::task_elements + 4097;
    std::vector<T> x(n), y(n);
    random::uniform_stream const u{3, 0, 5};
    for (std::size_t i = 0; i != n; ++i) {
        x[i] = static_cast<T>(u[i] - 0.5f);
        y[i] = static_cast<T>(u[n + i]) / 3;
    }
    vec_view<T const *> const vx(x.data(), n), vy(y.data(), n);
    auto const run = [&](auto & be) {
        std::vector<T> out(n);
        ops::map<T>(be, ops::kernels::axpby, vec_view<T *>(out.data(), n), T(0.3), vx, T(-0.7), vy);
        std::array<double, 2> sums{};
        ops::reduce<T>(be, rough, std::span<double>{sums}, vx, vy, u);
        return std::pair{out, sums};
    };
    lathe_test::plain_backend serial;
    auto const expected = run(serial);
    for (std::size_t const threads : {1u, 2u, 3u, 8u}) {
        threaded_backend be(threads);
        for (int again = 0; again != 2; ++again) {
            auto const found = run(be);
            CHECK(std::memcmp(found.first.data(), expected.first.data(), n * sizeof(T)) == 0);
            CHECK(found.second == expected.second);
        }
    }
}

TEST_CASE("an exception in a task of a kernel comes out of map", "[executor][map]") {
    threaded_backend be(2);
    std::vector<std::byte> bytes(4 * host::task_elements);
    std::vector<float> out(4 * host::task_elements);
    auto const integers = storage_of(std::span<std::byte const>{bytes}, dtype::i8);
    CHECK_THROWS_AS(ops::map<float>(be, ops::kernels::identity, view_of(std::span{out}), integers), unsupported_error);
    ops::fill(be, 2.0f, view_of(std::span{out}));
    CHECK(std::ranges::all_of(out, [](float v) { return v == 2; }));
}
