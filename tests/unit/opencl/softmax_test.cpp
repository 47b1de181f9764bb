// Row-wise softmax, in groups of every kind, against the host.
#include "support.hpp"

#include <lathe/core/softmax.hpp>

using namespace lathe_test;

TEMPLATE_TEST_CASE("softmax of rows on OpenCL", "[opencl][softmax]", float, double) {
    auto const options = GENERATE(values<opencl::options>({{.shape = kernel_shape::chunks},
                                                           {.shape = kernel_shape::groups},
                                                           {.shape = kernel_shape::groups, .group = 5},
                                                           {.shape = kernel_shape::groups, .group = 1}}));
    opencl_backend be(options);
    if (!be.supports<TestType>())
        return;
    for (auto const & [rows, cols] :
         {std::pair<std::size_t, std::size_t>{1, 1}, {3, 2}, {7, 63}, {1030, 10}, {2, 5000}}) {
        auto const ld = cols + 3, n = rows * ld;
        auto values = numbers<TestType>(n, 9);
        for (auto & v : values)
            v *= 30;
        auto buffer = be.allocate<TestType>(n);
        be.upload(std::span<TestType const>{values}, buffer.view());
        ops::softmax_rows(be, mat_view(buffer.view().data + 1, rows, cols, ld));
        auto const found = download(be, buffer.view());
        auto expected = values;
        for (std::size_t i = 0; i != rows; ++i)
            host::softmax(std::span<TestType>{expected.data() + 1 + i * ld, cols});
        auto const eps = static_cast<double>(std::numeric_limits<TestType>::epsilon());
        for (std::size_t i = 0; i != n; ++i)
            if (std::fabs(static_cast<double>(found[i] - expected[i]))
                > (16 + static_cast<double>(cols)) * eps * static_cast<double>(std::fabs(expected[i])))
                FAIL(rows << " x " << cols << ", element " << i << ": found " << found[i] << ", expected "
                          << expected[i]);
    }
}

TEST_CASE("softmax of rows that are not finite, and of nothing, on OpenCL", "[opencl][softmax]") {
    opencl_backend be(opencl::options{.shape = kernel_shape::groups});
    constexpr auto infinity = std::numeric_limits<float>::infinity();
    std::vector<float> const values{1, std::numeric_limits<float>::quiet_NaN(), 1, infinity, 0, -infinity};
    auto buffer = be.allocate<float>(6);
    be.upload(std::span<float const>{values}, buffer.view());
    ops::softmax_rows(be, as_matrix(buffer.view(), 3, 2));
    auto const found = download(be, buffer.view());
    CHECK((std::isnan(found[0]) && std::isnan(found[1]) && std::isnan(found[2]) && std::isnan(found[3])));
    CHECK((found[4] == 1 && found[5] == 0));
    ops::softmax_rows(be, mat_view(buffer.view().data, 0, 2));
    ops::softmax_rows(be, mat_view(buffer.view().data, 2, 0));
}
