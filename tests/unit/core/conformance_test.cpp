// The laws of every backend, asked of backends that have what they need and no more, and of backends that break them.
#include <lathe/testing/archetype.hpp>

#include "check_conformance.hpp"
#include "plain_backend.hpp"

namespace {
using namespace lathe;
using testing::archetype;
using testing::floor;

testing::conformance_options const short_ones{.sizes = {0, 1, 2, 3, 15, 16, 17, 513, 4097}};

template <class B, class T> std::size_t laws_asked() {
    B be;
    lathe_test::check_conformance<B, T>(be, short_ones);
    return testing::conformance<B, T>(be, {.sizes = {1}}).size();
}

/// What is wrong with a backend.
enum class fault {
    none,
    writes_beyond,    // fill writes one element too many
    forgets_the_last, // map leaves the last element of an odd length
    sums_naively,     // dot in one float
    sums_by_threads,  // reduce in two halves, so that windows change the bits
    loses_nan,        // scale makes zeros of NaN
    reads_c,          // gemm multiplies C by zero
    ignores_gaps,     // gemm takes rows for neighbours
    reorders          // copy happens before what was asked for earlier
};

/// A host backend that does one thing wrong.
class faulty_backend : public lathe_test::plain_backend {
    fault fault_;
public:
    explicit faulty_backend(fault f) : fault_(f) {}

    void fill(float a, vec_view<float *> y) {
        std::fill_n(y.data, y.n + (fault_ == fault::writes_beyond && y.n < 10000),
                    a); // the long ones fill their buffer
    }
    void copy(vec_view<float const *> x, vec_view<float *> y) {
        if (fault_ == fault::reorders && x.n == 65537) // what y holds is what came first
            return;
        std::copy_n(x.data, x.n, y.data);
    }
    void scale(float a, vec_view<float *> y) {
        for (std::size_t i = 0; i != y.n; ++i)
            y.data[i] = fault_ == fault::loses_nan && y.data[i] != y.data[i] ? 0 : a * y.data[i];
    }
    float dot(vec_view<float const *> x, vec_view<float const *> y) {
        float naive = 0;
        double total = 0;
        for (std::size_t i = 0; i != x.n; ++i) {
            naive += x.data[i] * y.data[i];
            total += static_cast<double>(x.data[i]) * static_cast<double>(y.data[i]);
        }
        return fault_ == fault::sums_naively ? naive : static_cast<float>(total);
    }
    template <real T, class Kernel, class... Outs, class... Ins>
    void map(Kernel const & kernel, std::tuple<Outs...> const & outs, Ins const &... ins) {
        auto const n = std::get<0>(outs).n;
        auto const left = fault_ == fault::forgets_the_last && n % 2 == 1 && n > 1 ? 1u : 0u;
        auto shorter = [&](auto view) { return view.sub(0, n - left); };
        auto const short_outs = std::apply([&](auto const &... out) { return std::tuple{shorter(out)...}; }, outs);
        serial_executor e;
        host::map<T>(e, kernel, n - left, short_outs, ins...);
    }
    template <real T, class Kernel, class... Ins>
    void reduce(Kernel const & kernel, std::span<double> totals, Ins const &... ins) {
        using interpreter = testing::reference<T>;
        auto const n = std::max({extent(ins)...});
        if (fault_ == fault::sums_by_threads) {
            std::vector<double> half(totals.size());
            interpreter::reduce_range(kernel, totals, 0, n / 2, ins...);
            interpreter::reduce_range(kernel, std::span<double>{half}, n / 2, n, ins...);
            for (std::size_t k = 0; k != half.size(); ++k)
                totals[k] += half[k];
        } else
            interpreter::reduce_range(kernel, totals, 0, n, ins...);
    }
    void gemm(op oa, op ob, float a, mat_view<float const *> A, mat_view<float const *> B, float b,
              mat_view<float *> C) {
        if (fault_ == fault::ignores_gaps)
            A.ld = A.cols;
        if (fault_ == fault::reads_c && b == 0)
            for (std::size_t i = 0; i != C.rows * C.cols; ++i)
                a += 0 * C.data[i];
        testing::reference<double>::gemm(oa, ob, a, A, B, b, C);
    }

private:
    template <class Operand> static std::size_t extent(Operand const & operand) {
        if constexpr (requires { operand.items; })
            return operand.items.empty() ? 0 : extent(operand.items.front());
        else if constexpr (requires { operand.n; })
            return operand.n;
        else
            return 0;
    }
};

/// The laws that a backend with this fault breaks.
std::vector<std::string> broken_by(fault f) {
    faulty_backend be(f);
    std::vector<std::string> names;
    for (auto const & check : testing::conformance<faulty_backend, float>(be, short_ones))
        if (!check.passed)
            names.push_back(check.name);
    return names;
}
bool has(std::vector<std::string> const & names, std::string const & name) {
    return std::ranges::find(names, name) != names.end();
}
} // namespace

TEST_CASE("every archetype obeys the laws of its floor and is asked no others", "[conformance]") {
    auto const storage = laws_asked<archetype<floor::storage>, float>();
    auto const vectors = laws_asked<archetype<floor::vector_space>, float>();
    auto const products = laws_asked<archetype<floor::inner_product_space, double>, double>();
    auto const kernels = laws_asked<archetype<floor::elementwise, double>, double>();
    auto const elements = laws_asked<archetype<floor::elementwise, float, true>, float>();
    auto const matrices = laws_asked<archetype<floor::matrix_space, double, true>, double>();
    CHECK(storage == 3);
    CHECK(storage < vectors);
    CHECK(vectors < products);
    CHECK(products < kernels);
    CHECK(kernels < elements);
    CHECK(elements < matrices);
}

TEMPLATE_TEST_CASE("memory and plain pointers make a whole backend", "[conformance]", float, double) {
    lathe_test::plain_backend be;
    lathe_test::check_conformance<lathe_test::plain_backend, TestType>(be);
}

TEST_CASE("a backend that breaks a law is told which", "[conformance]") {
    CHECK(broken_by(fault::none).empty());
    CHECK(has(broken_by(fault::writes_beyond), "vector_space: fill, copy, scale, axpy, axpby"));
    CHECK(has(broken_by(fault::forgets_the_last), "map: arithmetic"));
    CHECK(broken_by(fault::sums_naively) == std::vector<std::string>{"inner_product_space: error of dot"});
    CHECK(broken_by(fault::sums_by_threads) == std::vector<std::string>{"reduce: the same bits however it is cut"});
    CHECK(broken_by(fault::loses_nan)
          == std::vector<std::string>{"vector_space: NaN and infinity stay at their element"});
    CHECK(has(broken_by(fault::reads_c), "gemm: C is not read where b is 0"));
    CHECK(has(broken_by(fault::ignores_gaps), "gemm: error"));
    CHECK(has(broken_by(fault::reorders), "vector_space: program order"));
}

TEST_CASE("a broken law says where", "[conformance]") {
    faulty_backend be(fault::forgets_the_last);
    auto const checks = testing::conformance<faulty_backend, float>(be, {.sizes = {3}});
    auto const law = std::ranges::find(checks, std::string{"map: arithmetic"}, &testing::check::name);
    REQUIRE(law != checks.end());
    CHECK_FALSE(law->passed);
    CHECK_THAT(law->detail, lathe_test::contains("n = 3, element 2: found"));
}
