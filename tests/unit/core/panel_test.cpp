// Panels: products of rows with a few vectors, and weighted sums of rows, for every shape.
#include <lathe/core/panel.hpp>
#include <lathe/random/philox.hpp>

#include <catch.hpp>

#include <numeric>

using namespace lathe;

TEMPLATE_TEST_CASE("products and weighted sums of panels are right for every shape", "[panel]", float, double) {
    using T = TestType;
    auto const rows = GENERATE(std::size_t{1}, std::size_t{11}, std::size_t{13}, host::panel_rows);
    auto const count = GENERATE(std::size_t{1}, std::size_t{7}, std::size_t{8}, std::size_t{9}, std::size_t{33});
    auto const cols = GENERATE(std::size_t{1}, std::size_t{15}, std::size_t{16}, std::size_t{300}, std::size_t{513});
    auto const ld = cols + 3;
    random::uniform_stream const u{5};
    // Exactly as long as the view reaches: what reads further is found by a sanitizer.
    std::vector<T> x((rows - 1) * ld + cols), v(count * host::panel_rows);
    for (std::size_t i = 0; i != x.size(); ++i)
        x[i] = static_cast<T>(u[i]) - T(0.5);
    for (std::size_t i = 0; i != v.size(); ++i)
        v[i] = static_cast<T>(u[i + 7000]);
    mat_view<T const *> const view(x.data(), rows, cols, ld);
    host::packed_vectors<T> c(count, cols);
    for (std::size_t j = 0; j != count; ++j)
        for (std::size_t k = 0; k != cols; ++k)
            c(j, k) = static_cast<T>(u[j * cols + k + 90000]) - T(0.5);
    double const tolerance =
        40 * static_cast<double>(std::numeric_limits<T>::epsilon()) * static_cast<double>(cols + rows);

    std::vector<double> products(count * host::panel_rows, -7.0);
    host::panel_products<T>(view, c, products.data());
    for (std::size_t j = 0; j != count; ++j)
        for (std::size_t i = 0; i != host::panel_rows; ++i) {
            double expected = 0;
            for (std::size_t k = 0; k != cols && i < rows; ++k)
                expected += static_cast<double>(view.row(i).data[k]) * static_cast<double>(c(j, k));
            auto const found = products[j * host::panel_rows + i];
            REQUIRE((i < rows ? std::abs(found - expected) < tolerance : found == -7.0));
        }

    host::weighted_rows<T> sums(count, cols);
    sums.add(view, v.data());
    sums.add(view, v.data());
    sums.add_row(count - 1, x.data(), 0.25);
    for (std::size_t j = 0; j != count; ++j) {
        std::vector<double> found(cols, 1.0);
        sums.add_to(j, found.data());
        for (std::size_t k = 0; k != cols; ++k) {
            double expected = 1 + (j + 1 == count ? 0.25 * static_cast<double>(x[k]) : 0.0);
            for (std::size_t i = 0; i != rows; ++i)
                expected +=
                    2 * static_cast<double>(v[j * host::panel_rows + i]) * static_cast<double>(view.row(i).data[k]);
            REQUIRE(std::abs(found[k] - expected) < tolerance);
        }
    }
    sums.clear();
    std::vector<double> zero(cols);
    sums.add_to(0, zero.data());
    CHECK(std::accumulate(zero.begin(), zero.end(), 0.0) == 0);
}

TEMPLATE_TEST_CASE("the sum of the lanes", "[panel]", float, double) {
    std::array<TestType, host::packet_size<TestType>> lanes;
    std::iota(lanes.begin(), lanes.end(), TestType(1));
    auto const n = static_cast<TestType>(lanes.size());
    CHECK(host::sum_of_lanes(host::packet<TestType>::load(lanes.data())) == n * (n + 1) / 2);
}
