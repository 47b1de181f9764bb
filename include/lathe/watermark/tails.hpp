#pragma once
/// \file  Tails of the distributions that token watermarks are tested against, as logarithms, so that no p-value
/// underflows.
#include <lathe/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include <math.h>

LATHE_NAMESPACE_BEGIN
namespace watermark {

/// ln |Gamma(x)|. Not std::lgamma, which leaves the sign in a variable that all threads share.
inline double log_gamma(double x) {
    int sign = 0;
    return ::lgamma_r(x, &sign);
}

/// ln P(N(0, 1) >= z). NaN for NaN.
inline double log_normal_tail(double z) {
    if (z < 25)
        return std::log(0.5 * std::erfc(z / std::numbers::sqrt2));
    auto const s = 1 / (z * z); // Mills' ratio, to 1e-13
    return -0.5 * z * z - std::log(z) - 0.5 * std::log(2 * std::numbers::pi)
           + std::log1p(s * (-1 + s * (3 + s * (-15 + s * (105 - s * 945)))));
}

/// mu - ln(1 + mu) for mu > -1, without cancellation near 0.
inline double log_deficit(double mu) {
    if (std::abs(mu) > 0.3)
        return mu - std::log1p(mu);
    double term = mu * mu, sum = term / 2; // mu^2/2 - mu^3/3 + ...
    for (int k = 3; k != 60 && std::abs(term) > 1e-18 * sum * k; ++k) {
        term *= -mu;
        sum += term / k;
    }
    return sum;
}

/// ln Q(n, x) = ln P(Gamma(n, 1) >= x), the tail of a sum of n exponential variables: the series below the mean, the
/// continued fraction above it (Abramowitz and Stegun 6.5.29, 6.5.31). Relative error of Q about 1e-12 for n up to 1e6.
/// \throws option_error unless n > 0
inline double log_gamma_tail(double n, double x) {
    expects_option(n > 0 && std::isfinite(n), "n", std::to_string(n), "a number above 0");
    if (std::isnan(x))
        return x;
    if (x <= 0)
        return 0;
    if (std::isinf(x))
        return -x;
    // ln(x^n e^-x / Gamma(n)); for large n from the distance to the mean, as its parts would cancel.
    auto const front = [&] {
        if (n < 30)
            return n * std::log(x) - x - log_gamma(n);
        auto const s = 1 / (n * n);
        auto const stirling = (1.0 / 12 - s * (1.0 / 360 - s * (1.0 / 1260 - s / 1680))) / n;
        return -n * log_deficit((x - n) / n) + 0.5 * std::log(n / (2 * std::numbers::pi)) - stirling;
    }();
    constexpr double eps = 1e-16;
    if (x < n + 1) {
        double term = 1 / n, sum = term;
        for (double k = n + 1; term > eps * sum; k += 1)
            sum += term *= x / k;
        return std::log1p(-std::min(1.0, std::exp(front + std::log(sum))));
    }
    constexpr double tiny = 1e-300;
    double b = x + 1 - n, c = 1 / tiny, d = 1 / b, h = d;
    for (double k = 1; k != 1e7; k += 1) {
        auto const a = -k * (k - n);
        b += 2;
        d = a * d + b;
        d = 1 / (std::abs(d) < tiny ? tiny : d);
        c = b + a / c;
        c = std::abs(c) < tiny ? tiny : c;
        h *= d * c;
        if (std::abs(d * c - 1) < eps)
            break;
    }
    return front + std::log(h);
}

/// ln P(Binomial(n, p) >= k), summed term by term. Time: O(n) at most. \throws option_error unless p is from 0 to 1
inline double log_binomial_tail(std::size_t n, double p, std::size_t k) {
    expects_option(p >= 0 && p <= 1, "p", std::to_string(p), "a number from 0 to 1");
    if (k == 0)
        return 0;
    if (k > n || p == 0)
        return -std::numeric_limits<double>::infinity();
    if (p == 1)
        return 0;
    auto const N = static_cast<double>(n);
    // The terms from `at` on, away from the mean, as a logarithm.
    auto const sum_from = [N](double at, double q) {
        double term = 1, sum = 1;
        for (double i = at; i < N && term > 1e-18 * sum; i += 1)
            sum += term *= (N - i) / (i + 1) * q / (1 - q);
        return log_gamma(N + 1) - log_gamma(at + 1) - log_gamma(N - at + 1) + at * std::log(q)
               + (N - at) * std::log1p(-q) + std::log(sum);
    };
    auto const K = static_cast<double>(k);
    if (K > N * p)
        return std::min(0.0, sum_from(K, p));
    // Below the mean: one minus the other tail, which counts failures.
    return std::log1p(-std::min(1.0, std::exp(sum_from(N - K + 1, 1 - p))));
}

} // namespace watermark
LATHE_NAMESPACE_END
