// Tails against closed forms, and far beyond what a double holds. Repeated contexts.
#include <lathe/watermark/reweight.hpp>

#include "tokens_model.hpp"

using namespace lathe_test;

TEST_CASE("tails: a sum of exponentials", "[watermark][tokens]") {
    for (double const x : {0.0, 0.3, 1.0, 7.0, 800.0, 1e5}) {
        CHECK(wm::log_gamma_tail(1, x) == Approx(-x).epsilon(1e-12).margin(1e-15));
        // Q(3, x) = e^-x (1 + x + x^2/2)
        CHECK(wm::log_gamma_tail(3, x) == Approx(-x + std::log1p(x + x * x / 2)).epsilon(1e-12).margin(1e-13));
    }
    // Q(n, x) = P(Poisson(x) < n), summed.
    for (int const n : {2, 10, 29, 30, 31, 200, 1000})
        for (double const factor : {0.5, 0.9, 0.999, 1.0, 1.001, 1.2, 2.0}) {
            auto const x = n * factor;
            long double sum = 0, term = 1;
            for (int k = 0; k < n; ++k) {
                sum += term;
                term *= static_cast<long double>(x) / (k + 1);
            }
            auto const expected = static_cast<double>(std::log(sum) - static_cast<long double>(x));
            CHECK(wm::log_gamma_tail(n, x) == Approx(expected).epsilon(1e-11).margin(1e-12));
        }
    CHECK(wm::log_gamma_tail(1e6, 1e6) == Approx(std::log(0.5)).epsilon(1e-3)); // the law is close to normal
    CHECK(wm::log_gamma_tail(5, -1) == 0);
    CHECK(std::isnan(wm::log_gamma_tail(5, std::nan(""))));
    CHECK(std::isinf(wm::log_gamma_tail(5, INFINITY)));
    CHECK_THROWS_AS(wm::log_gamma_tail(0, 1), option_error);
}

TEST_CASE("tails: a normal variable", "[watermark][tokens]") {
    CHECK(wm::log_normal_tail(0) == Approx(std::log(0.5)));
    CHECK(wm::log_normal_tail(-40) == Approx(0).margin(1e-300));
    CHECK(wm::log_normal_tail(1.959963984540054) == Approx(std::log(0.025)).epsilon(1e-12));
    CHECK(wm::log_normal_tail(24.999999) == Approx(wm::log_normal_tail(25.000001)).epsilon(1e-6));
    CHECK(wm::log_normal_tail(30) == Approx(std::log(4.906713927148187e-198)).epsilon(1e-12));
    CHECK(wm::log_normal_tail(1000) < -4.9e5);
}

TEST_CASE("tails: a count", "[watermark][tokens]") {
    for (std::size_t const n : {1u, 2u, 7u, 40u})
        for (double const p : {0.1, 0.25, 0.5, 0.9})
            for (std::size_t k = 0; k <= n + 1; ++k) {
                double sum = 0;
                auto const N = static_cast<double>(n);
                for (auto i = static_cast<double>(k); i <= N; i += 1)
                    sum += std::exp(std::lgamma(N + 1) - std::lgamma(i + 1) - std::lgamma(N - i + 1) + i * std::log(p)
                                    + (N - i) * std::log1p(-p));
                CHECK(std::exp(wm::log_binomial_tail(n, p, k)) == Approx(sum).epsilon(1e-11).margin(1e-300));
            }
    CHECK(wm::log_binomial_tail(5000, 0.5, 5000) == Approx(5000 * std::log(0.5)).epsilon(1e-12));
    CHECK(wm::log_binomial_tail(100000, 0.5, 50000) == Approx(std::log(0.5)).margin(0.01));
    CHECK(wm::log_binomial_tail(10, 0, 1) == -std::numeric_limits<double>::infinity());
    CHECK(wm::log_binomial_tail(10, 1, 10) == 0);
    CHECK_THROWS_AS(wm::log_binomial_tail(10, 1.5, 1), option_error);
}

TEST_CASE("contexts that come again", "[watermark][tokens]") {
    tokens const text{1, 2, 3, 1, 2, 3, 1, 2};
    CHECK(wm::fresh_contexts(text, 2, 2) == std::vector<bool>{true, true, true, false, false, false});
    CHECK(wm::fresh_contexts(text, 0, 2) == std::vector<bool>{true, true, true, true, true, false, false, false});
    CHECK(wm::fresh_contexts({}, 1, 2).empty());
    CHECK(wm::first_occurrences(std::vector<std::uint64_t>{5, 6, 5, 7, 6})
          == std::vector<bool>{true, true, false, true, false});
    // The last two tokens (1, 2) stood before tokens 2 and 5.
    CHECK(wm::context_repeats({text, 0}, 2));
    CHECK(wm::context_repeats({text, 5}, 2));
    CHECK_FALSE(wm::context_repeats({text, 6}, 2)); // within the prompt nothing was drawn
    CHECK_FALSE(wm::context_repeats({text, 0}, 2, 2));
    CHECK(wm::context_repeats({text, 0}, 2, 3));
}
