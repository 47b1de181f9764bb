// Kernels in both shapes, with lists of any length and sums of any number, and what is compiled when.
#include "support.hpp"

#include "check_conformance.hpp"

namespace {
using namespace lathe_test;

inline constexpr auto moments = [](auto & sums, auto const & x, auto const & y) {
    sums.add(0, x * y);
    sums.add(1, math::abs(x));
    sums.add(3, x / (2 + y));
    sums.add(0, y);
};
inline constexpr auto weighted = [](auto const & xs, auto const & w, auto const & us, auto const & scale) {
    auto sum = scale * xs[0];
    for (std::size_t k = 0; k != xs.size(); ++k)
        sum = sum + w[k] * math::select(us[k] < w[k], xs[k], xs[k] - 1);
    return sum;
};
inline constexpr auto weighted_and_squares = [](auto & sums, auto const & xs, auto const & w, auto const & us,
                                                auto const & scale) {
    for (std::size_t k = 0; k != xs.size(); ++k)
        sums.add(k, xs[k] * xs[k]);
    return weighted(xs, w, us, scale);
};

std::vector<opencl::options> shapes() {
    return {{.shape = kernel_shape::chunks},
            {.shape = kernel_shape::groups},
            {.shape = kernel_shape::groups, .group = 5},
            {.shape = kernel_shape::groups, .group = 1}};
}

/// Rows of elements of several types, at places of all alignments in one buffer.
class stored_rows {
    opencl::buffer<std::byte> buffer_;

public:
    std::vector<storage_view<opencl::pointer<std::byte>>> views;
    std::vector<std::vector<float>> values;

    stored_rows(opencl_backend & be, std::size_t rows, std::size_t n)
        : buffer_(be.allocate<std::byte>(rows * (8 * n + 3))) {
        for (std::size_t k = 0; k != rows; ++k) {
            constexpr std::array types{dtype::f32, dtype::bf16, dtype::f16, dtype::f64};
            auto const type = types[k % 4];
            auto x = numbers<float>(n, static_cast<std::uint32_t>(k));
            std::vector<std::byte> bytes(n * size_of(type));
            host::store(type, x.data(), n, bytes.data());
            host::load(type, bytes.data(), n, x.data());
            auto const place = buffer_.view().sub(k * (8 * n + 3), bytes.size());
            be.upload(std::span<std::byte const>{bytes}, place);
            views.emplace_back(place.data, type, n);
            values.push_back(std::move(x));
        }
    }
};
} // namespace

TEMPLATE_TEST_CASE("both shapes of kernels obey the laws", "[opencl][conformance]", float, double) {
    for (auto const & options :
         {opencl::options{.shape = kernel_shape::groups}, opencl::options{.shape = kernel_shape::groups, .group = 24},
          opencl::options{.shape = kernel_shape::chunks, .parameters = 100, .gather = 1}}) {
        opencl_backend be(options);
        CAPTURE(static_cast<int>(*options.shape), options.group.value_or(0), options.parameters.value_or(0));
        check_conformance<opencl_backend, TestType>(be, {.sizes = {0, 1, 3, 17, 513, 4096, 4097, 12289}});
    }
}

TEMPLATE_TEST_CASE("sums are the same bits in both shapes and in groups of any size", "[opencl]", float, double) {
    using T = TestType;
    for (std::size_t const n : {1u, 63u, 64u, 65u, 4095u, 4096u, 4099u, 100'000u}) {
        std::vector<std::array<double, 4>> found;
        for (auto const & options : shapes()) {
            opencl_backend be(options);
            device_vectors<T> on(be);
            auto const x = on.add(numbers<T>(n, 1)), y = on.add(numbers<T>(n, 2));
            std::array<double, 4> sums{0, 0, 7, 0};
            ops::reduce<T>(be, moments, std::span<double>{sums}, x, y);
            CHECK(sums[2] == 7); // to which nothing is added
            found.push_back(sums);
        }
        for (auto const & sums : found)
            CHECK(sums == found[0]);
    }
}

TEST_CASE("lists of any length", "[opencl]") {
    std::size_t const n = 13'001;
    for (std::size_t const rows : {3u, 24u})
        for (auto options : shapes()) {
            if (rows == 24 && options.group)
                continue;
            CAPTURE(rows, static_cast<int>(*options.shape), options.group.value_or(0));
            // As many arguments as it takes; then so few that the lists go through a buffer, in parts of one and of
            // several blocks.
            std::vector<std::vector<float>> outputs;
            std::vector<std::vector<double>> totals;
            for (auto const & [parameters, gather] : {std::pair{std::size_t{1} << 20, std::size_t{0}},
                                                      {std::size_t{64}, std::size_t{0}},
                                                      {std::size_t{64}, rows * 8 * 8192}}) {
                options.parameters = parameters;
                options.gather = gather;
                opencl_backend be(options);
                stored_rows const xs(be, rows, n);
                auto w = numbers<float>(rows, 5000);
                std::vector<random::uniform_stream> us;
                for (std::uint32_t k = 0; k != rows; ++k)
                    us.push_back({9, k, std::uint64_t{1} << 33});
                auto const y = be.allocate<float>(n);
                std::vector<double> sums(rows, 1.0);
                ops::map_reduce<float>(be, weighted_and_squares, y.view(), std::span<double>{sums}, list(xs.views),
                                       list(w), list(us), 0.5f);
                outputs.push_back(download(be, y.view()));
                totals.push_back(sums);
                if (outputs.size() != 1)
                    continue;
                std::vector<vec_view<float const *>> host;
                for (auto const & x : xs.values)
                    host.emplace_back(x.data(), n);
                std::vector<double> expected(n), squares(rows, 1.0);
                testing::reference<double>::map(weighted, std::tuple{vec_view(expected.data(), n)}, list(host), list(w),
                                                list(us), 0.5);
                for (std::size_t i = 0; i < n; i += 97)
                    CHECK(outputs[0][i] == Approx(expected[i]).margin(1e-7 * static_cast<double>(rows * rows)));
                for (std::size_t k = 0; k != rows; ++k) {
                    for (auto const x : xs.values[k])
                        squares[k] += static_cast<double>(x) * static_cast<double>(x);
                    CHECK(sums[k] == Approx(squares[k]).epsilon(1e-6));
                }
            }
            CHECK(outputs[1] == outputs[0]);
            CHECK(outputs[2] == outputs[0]);
            CHECK(totals[1] == totals[0]);
            CHECK(totals[2] == totals[0]);
        }
}

TEST_CASE("more vectors than a kernel takes as arguments", "[opencl]") {
    std::size_t const n = 4099, rows = 90;
    opencl_backend be; // with the device's own limit; some 60 vectors on PoCL
    device_vectors<float> on(be);
    std::vector<cvec<opencl_backend, float>> xs;
    std::vector<std::vector<float>> host;
    for (std::uint32_t k = 0; k != rows; ++k) {
        host.push_back(numbers<float>(n, k));
        xs.push_back(on.add(host.back()));
    }
    auto const y = on.add(std::vector<float>(n, 1));
    std::vector<double> sums(rows);
    ops::dot_many(be, std::span<cvec<opencl_backend, float> const>{xs}, y, std::span<double>{sums});
    for (std::size_t k = 0; k != rows; ++k) {
        double expected = 0;
        for (auto const x : host[k])
            expected += static_cast<double>(x);
        CHECK(sums[k] == Approx(expected).margin(1e-3));
    }
}

TEST_CASE("more sums than a group can hold", "[opencl]") {
    std::size_t const n = 5000, rows = 17;
    // All products of pairs, in place: the output is written when all sums are done.
    auto const kernel = [](auto & sums, auto const & xs) {
        std::size_t s = 0;
        for (std::size_t i = 0; i != xs.size(); ++i)
            for (std::size_t j = 0; j != xs.size(); ++j)
                sums.add(s++, xs[i] * xs[j]);
        return xs[0] + xs[1];
    };
    for (auto const & options : shapes()) {
        opencl_backend be(options);
        device_vectors<float> on(be);
        std::vector<cvec<opencl_backend, float>> xs;
        std::vector<std::vector<float>> host;
        for (std::uint32_t k = 0; k != rows; ++k) {
            host.push_back(numbers<float>(n, k));
            xs.push_back(on.add(host.back()));
        }
        std::vector<double> sums(rows * rows);
        auto const out =
            vec<opencl_backend, float>(opencl::pointer<float>(opencl::memory_handle::share(xs[0].data.memory())), n);
        ops::map_reduce<float>(be, kernel, out, std::span<double>{sums}, list(xs));
        for (std::size_t i = 0; i != rows; ++i)
            for (std::size_t j = 0; j != rows; ++j) {
                double expected = 0;
                for (std::size_t e = 0; e != n; ++e)
                    expected += static_cast<double>(host[i][e]) * static_cast<double>(host[j][e]);
                CHECK(sums[i * rows + j] == Approx(expected).margin(1e-3));
            }
        auto const found = download(be, out);
        for (std::size_t e = 0; e != n; ++e)
            REQUIRE(found[e] == host[0][e] + host[1][e]);
        std::vector<double> few(rows);
        CHECK_THROWS_AS(ops::reduce<float>(be, ops::kernels::sums_of<std::remove_cvref_t<decltype(kernel)>>{},
                                           std::span<double>{few}, list(xs)),
                        shape_error);
    }
}

TEST_CASE("a kernel is compiled once for each kind of operands", "[opencl]") {
    opencl_backend be(opencl::options{.cache = ""});
    device_vectors<float> on(be);
    auto const x = on.add(numbers<float>(1000, 1)), y = on.add(numbers<float>(1000, 2));
    ops::axpy(be, 1.0f, x, y);
    CHECK(be.programs().built() == 1);
    for (int step = 0; step != 10; ++step)
        ops::axpy(be, static_cast<float>(step) / 7, x.sub(1, 900), y.sub(3, 900));
    CHECK(be.programs().built() == 1); // neither numbers nor extents nor places are in its source
    ops::axpy(be, 1.0, be.allocate<double>(5).view(), be.allocate<double>(5).view());
    CHECK(be.programs().built() == 2);
    auto other = be.fork(); // which shares them
    ops::axpy(other, 2.0f, x, y);
    CHECK(be.programs().built() == 2);
}

TEST_CASE("f64 elements in kernels of float, to the bit", "[opencl]") {
    // Without arithmetic in double: every exponent, ties and their neighbours, what overflows and what is subnormal.
    std::vector<double> x;
    for (int e = -1074; e != 1024; ++e)
        for (double const m :
             {1.0, 1 + 0x1p-24, 1 + 0x1p-23, 1 + 0x3p-24, 1.5, 2 - 0x1p-24, 2 - 0x1p-25, 2 - 0x1p-52, 1 + 0x1p-52})
            for (double const sign : {1.0, -1.0})
                x.push_back(sign * std::ldexp(m, e));
    for (double const special : {0.0, -0.0, std::numeric_limits<double>::infinity(),
                                 -std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()})
        x.push_back(special);
    auto const same = [](auto a, auto b) { return a == b ? std::signbit(a) == std::signbit(b) : a != a && b != b; };
    for (auto const & options : shapes())
        for (std::size_t const odd : {0u, 3u}) {
            opencl_backend be(options);
            auto const buffer = be.allocate<std::byte>(8 * x.size() + odd);
            auto const place = buffer.view().sub(odd, 8 * x.size());
            be.upload(std::as_bytes(std::span<double const>{x}), place);
            storage_view<opencl::pointer<std::byte>> const stored(place.data, dtype::f64, x.size());
            auto const narrow = be.allocate<float>(x.size());
            ops::map<float>(be, ops::kernels::identity, narrow.view(), stored);
            auto const found = download(be, narrow.view());
            for (std::size_t i = 0; i != x.size(); ++i) {
                CAPTURE(x[i], found[i]);
                REQUIRE(same(found[i], static_cast<float>(x[i])));
            }
            ops::map<float>(be, ops::kernels::identity, stored, narrow.view());
            std::vector<double> wide(x.size());
            be.download(vec_view<opencl::pointer<std::byte const>>(place), std::as_writable_bytes(std::span{wide}));
            for (std::size_t i = 0; i != x.size(); ++i)
                REQUIRE(same(wide[i], static_cast<double>(found[i])));
        }
}

TEST_CASE("elements without arithmetic are refused", "[opencl]") {
    opencl_backend be;
    auto const bytes = be.allocate<std::byte>(64);
    auto const x = be.allocate<float>(8);
    storage_view<opencl::pointer<std::byte>> const integers(bytes.view().data, dtype::i64, 8);
    CHECK_THROWS_AS(ops::map<float>(be, ops::kernels::identity, x.view(), integers), unsupported_error);
    CHECK_THROWS_AS(ops::map<float>(be, ops::kernels::identity, integers, x.view()), unsupported_error);
}
