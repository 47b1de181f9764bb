// Selection: the same magnitude as sorting gives, on a host with any threads and on a device.
#include <lathe/core/selection.hpp>
#include <lathe/core/window.hpp>
#include <lathe/testing/archetype.hpp>

#include "catch.hpp"
#include "plain_backend.hpp"

#include <random>

namespace {
using namespace lathe;

struct threaded_backend : lathe_test::plain_backend {
    thread_pool pool{3};
    [[nodiscard]] thread_pool & executor() noexcept { return pool; }
};

inline constexpr auto each = [](auto & values, auto const & xs) {
    for (std::size_t k = 0; k != xs.size(); ++k)
        values.add(k, xs[k]);
};

template <class T> struct answer {
    T value;
    std::uint64_t below, equal;
};
/// Smallest first, NaN last. Ranks count from 1.
template <class T> answer<T> by_sorting(std::vector<T> v, std::uint64_t rank) {
    for (auto & x : v)
        x = std::fabs(x);
    std::ranges::sort(v, [](T a, T b) { return a < b || (a == a && b != b); });
    auto const found = v[rank - 1];
    auto const same = [&](T x) { return x == found || (x != x && found != found); };
    auto const first = static_cast<std::uint64_t>(std::ranges::find_if(v, same) - v.begin());
    return {found, first, static_cast<std::uint64_t>(std::ranges::count_if(v, same))};
}

/// Several vectors at once, in windows; their length is announced or not. \returns passes
template <class B, class T>
std::size_t select(B & be, std::vector<std::vector<T>> const & vectors, std::vector<std::uint64_t> const & ranks,
                   std::size_t window, bool announced) {
    std::vector<buffer_t<B, T>> buffers;
    for (auto const & v : vectors) {
        buffers.push_back(be.template allocate<T>(v.size()));
        be.upload(std::span<T const>{v}, buffers.back().view());
    }
    magnitude_selection<B, T> search(ranks, announced ? vectors[0].size() : 0);
    std::size_t passes = 0;
    for (; !search.done(); ++passes) {
        for_each_window(vectors[0].size(), window, [&](std::size_t first, std::size_t count) {
            std::vector<cvec<B, T>> views;
            for (auto & b : buffers)
                views.push_back(b.view().sub(first, count));
            search.add(be, each, list(views));
        });
        search.end_pass();
    }
    for (std::size_t k = 0; k != ranks.size(); ++k) {
        CAPTURE(k, ranks[k]);
        auto const expected = by_sorting(vectors[k], ranks[k]);
        auto const found = search.value(k);
        CHECK((found == expected.value || (found != found && expected.value != expected.value)));
        CHECK(search.below(k) == expected.below);
        CHECK(search.equal(k) == expected.equal);
    }
    return passes;
}
template <class T> std::vector<std::vector<T>> some_vectors(std::size_t n) {
    std::mt19937 random(static_cast<unsigned>(n));
    std::normal_distribution<double> normal;
    std::vector<std::vector<T>> all(4, std::vector<T>(n));
    for (std::size_t i = 0; i != n; ++i) {
        all[0][i] = static_cast<T>(normal(random));
        all[1][i] = static_cast<T>(std::round(4 * normal(random)) / 4); // many equal
        all[2][i] =
            static_cast<T>(std::ldexp(normal(random), static_cast<int>(random() % 200) - 140)); // subnormal floats too
        all[3][i] = i % 7 == 0   ? std::numeric_limits<T>::quiet_NaN()
                    : i % 5 == 0 ? std::numeric_limits<T>::infinity()
                    : i % 3 == 0 ? -T(0)
                                 : static_cast<T>(normal(random));
    }
    return all;
}
/// \returns the most passes it took
template <class B, class T> std::size_t agrees_with_sorting(bool announced) {
    std::size_t most = 0;
    for (std::size_t const n : {1u, 2u, 17u, 513u, 5000u}) {
        B be;
        CAPTURE(n);
        for (std::uint64_t const rank :
             {std::uint64_t{1}, std::uint64_t{n / 5 + 1}, std::uint64_t{n / 2 + 1}, std::uint64_t{n}})
            most = std::max(
                most, select(be, some_vectors<T>(n), {rank, std::uint64_t{n} - rank + 1, rank, rank}, 4096, announced));
    }
    return most;
}
} // namespace

TEST_CASE("selection agrees with sorting on a host", "[selection]") {
    CHECK(agrees_with_sorting<lathe_test::plain_backend, float>(true) == 1);
    CHECK(agrees_with_sorting<lathe_test::plain_backend, double>(true) == 1);
    CHECK(agrees_with_sorting<threaded_backend, float>(true) == 1);
    CHECK(agrees_with_sorting<lathe_test::plain_backend, float>(false) <= 3);
    CHECK(agrees_with_sorting<lathe_test::plain_backend, double>(false) <= 3);
}

TEST_CASE("selection of long vectors looks at a sample first", "[selection]") {
    threaded_backend be;
    auto const n = 3 * host::task_elements + 11;
    std::vector<std::uint64_t> const ranks{1000, 150000, 77777, n};
    CHECK(select(be, some_vectors<float>(n), ranks, host::task_elements, true) == 2);
    CHECK(select(be, some_vectors<double>(n), ranks, n, true) == 2);
    select(be, some_vectors<float>(n), ranks, 4096, false);
}

TEST_CASE("a sample in which all magnitudes near the rank are the same is counted none the less", "[selection]") {
    // As in two-byte types. The sample leaves one magnitude for every vector, which may be wrong, as the last one's is.
    threaded_backend be;
    std::size_t const n = 200003;
    std::mt19937 random(9);
    std::vector<std::vector<float>> all(3, std::vector<float>(n));
    for (std::size_t i = 0; i != n; ++i) {
        all[0][i] = static_cast<float>(static_cast<int>(random() % 9) - 4) / 64;
        all[1][i] = 0.5f;
        all[2][i] = i == n - 1 ? 2.f : 1.f;
    }
    for (std::uint64_t const rank :
         {std::uint64_t{1}, std::uint64_t{90000}, std::uint64_t{n - 40000}, std::uint64_t{n}})
        CHECK(select(be, all, {rank, rank, rank}, 65536, true) <= 3);
}

TEST_CASE("a sample of few magnitudes, all equal where it matters, is no answer yet", "[selection]") {
    lathe_test::plain_backend be;
    std::vector<float> x(200'000);
    for (std::size_t i = 0; i != x.size(); ++i)
        x[i] = static_cast<float>(i * 2654435761u % 8u);
    std::vector<std::vector<float>> const all{x, std::vector<float>(x.size(), 1)};
    CHECK(select(be, all, {x.size() / 2 + 30'000, x.size()}, x.size(), true) == 2);
}

TEST_CASE("a sample that misleads costs time and nothing else", "[selection]") {
    // Stretches of equal or nearly equal elements: those of a sample are far from independent.
    lathe_test::plain_backend be;
    std::mt19937 random(3);
    for (std::size_t const stretch : {100u, 10000u, 60000u}) {
        std::vector<std::vector<float>> all(2, std::vector<float>(200003));
        for (std::size_t i = 0; i != all[0].size(); ++i) {
            auto const level = static_cast<float>(i / stretch * 7919 % 101);
            all[0][i] = level;
            all[1][i] = level + static_cast<float>(random() % 4096) / 65536;
        }
        for (std::uint64_t const rank : {1u, 40000u, 100002u, 160002u, 200003u})
            CHECK(select(be, all, {rank, rank}, 65536, true) <= 6);
    }
}

TEST_CASE("selection agrees with sorting on a device", "[selection]") {
    using testing::archetype;
    using testing::floor;
    CHECK(agrees_with_sorting<archetype<floor::elementwise, float>, float>(true) == 8);
    CHECK(agrees_with_sorting<archetype<floor::elementwise, double>, double>(false) == 16);
}

TEST_CASE("the nth smallest integer is that of sorting", "[selection]") {
    std::mt19937_64 random(1);
    for (std::size_t const n : {1u, 2u, 255u, 257u, 5000u})
        for (std::uint64_t const range :
             {std::uint64_t{1}, std::uint64_t{7}, std::uint64_t{100000}, std::numeric_limits<std::uint64_t>::max()}) {
            std::vector<std::uint64_t> v(n);
            for (auto & x : v)
                x = range == std::numeric_limits<std::uint64_t>::max() ? random() >> (random() % 64) : random() % range;
            auto sorted = v;
            std::ranges::sort(sorted);
            for (auto const k : {std::size_t{0}, n / 3, n - 1})
                CHECK(nth_smallest(v, k) == sorted[k]);
        }
}

TEST_CASE("selection refuses ranks that are not there", "[selection]") {
    lathe_test::plain_backend be;
    for (std::uint64_t const rank : {std::uint64_t{0}, std::uint64_t{4}}) {
        std::array<std::uint64_t, 1> const ranks{rank};
        magnitude_selection<lathe_test::plain_backend, float> search(ranks, 3);
        std::vector<float> const x{1, 2, 3};
        std::array<vec_view<float const *>, 1> const views{view_of(std::span{x})};
        search.add(be, each, list(views));
        CHECK_THROWS_AS(search.end_pass(), shape_error);
    }
}

TEST_CASE("a search for nothing is done", "[selection]") {
    magnitude_selection<lathe_test::plain_backend, float> search;
    CHECK(search.done());
    search.start({});
    CHECK(search.done());
}
