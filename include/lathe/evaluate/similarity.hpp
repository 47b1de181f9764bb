#pragma once
/// \file  Cosines of embedded texts, for many pairs of lists at once: what workflow evaluation and text comparison ask
///        a backend for.
#include <lathe/core/control.hpp>
#include <lathe/core/ops.hpp>

#include <cmath>

LATHE_NAMESPACE_BEGIN
namespace evaluate {

/// Embeddings of texts in host memory, a row each.
struct embedding_table {
    std::size_t dimension = 0; ///< numbers of a row
    std::vector<float> values; ///< rows() * dimension
    /// Texts.
    [[nodiscard]] std::size_t rows() const noexcept { return dimension == 0 ? 0 : values.size() / dimension; }
    /// The embedding of text i. \pre i < rows()
    [[nodiscard]] std::span<float const> row(std::size_t i) const {
        return std::span{values}.subspan(i * dimension, dimension);
    }
};

/// Two lists of rows of a table; each of the first is compared with each of the second. A row may occur many times.
struct similarity_request {
    std::vector<std::size_t> rows, ///< those of the first list
        cols;                      ///< those of the second list
};

/// The similarities that a request asked for.
struct similarity_matrix {
    std::size_t rows = 0,      ///< length of the first list
        cols = 0;              ///< length of the second list
    std::vector<float> values; ///< row-major
    /// Similarity of entry i of the first list and entry j of the second.
    [[nodiscard]] float operator()(std::size_t i, std::size_t j) const { return values[i * cols + j]; }
    /// The values as a matrix.
    [[nodiscard]] mat_view<float const *> view() const { return {values.data(), rows, cols}; }
};

/// Options of similarities().
struct similarity_options {
    /// What one more product of matrices costs a backend, in multiplications: requests share a product while the
    /// cosines in it that nobody asked for cost less. Some 10^7 for a device.
    std::size_t call_cost = std::size_t{1} << 18;
};

/// What similarities() computed.
struct similarity_result {
    lathe::status status = status::converged; ///< or stopped
    std::vector<similarity_matrix> matrices;  ///< one for each request, empty for those after a stop
    std::size_t calls = 0;                    ///< products of matrices
    std::size_t cosines = 0;                  ///< computed, those that nobody asked for included
    bool on_backend = false;                  ///< else in the arithmetic of the host: the backend has none in T
};

/// What norms are at least, so that a row of zeros is like nothing.
inline constexpr double smallest_norm = 1e-12;

/// The products of rows of one table, in T.
template <real T, class B> class row_products {
    B & be_;
    embedding_table const & table_;
    std::vector<double> norms_;
    std::vector<T> rows_, cols_, out_;
    bool on_backend_;

    static bool computes(B & be) {
        if constexpr (!matrix_space<B, T>)
            return false;
        else if constexpr (requires {
                               { be.template supports<T>() } -> std::convertible_to<bool>;
                           })
            return be.template supports<T>();
        else
            return true;
    }
    void gather(std::span<std::size_t const> which, std::vector<T> & to) const {
        to.resize(which.size() * table_.dimension);
        auto * out = to.data();
        for (auto const r : which)
            for (auto const x : table_.row(r))
                *out++ =
                    std::same_as<T, double> ? static_cast<T>(x) : static_cast<T>(static_cast<double>(x) / norms_[r]);
    }

public:
    /// Computes the norms. Backend and table must outlive it.
    row_products(B & be, embedding_table const & table)
        : be_{be}, table_{table}, norms_(table.rows()), on_backend_{computes(be)} {
        for (std::size_t r = 0; r != norms_.size(); ++r) {
            double sum = 0;
            for (double const x : table.row(r))
                sum += x * x;
            auto const norm = std::sqrt(sum);
            norms_[r] = norm < smallest_norm ? smallest_norm : norm; // NaN stays
        }
    }
    /// Whether the products are the backend's; else the host computes them, as the backend has no T.
    [[nodiscard]] bool on_backend() const noexcept { return on_backend_; }

    /// The cosines of rows `a` with rows `b`, at least 0, in the order of a matrix; valid until the next call.
    std::span<T const> operator()(std::span<std::size_t const> a, std::span<std::size_t const> b) {
        auto const n = a.size(), m = b.size(), d = table_.dimension;
        gather(a, rows_);
        gather(b, cols_);
        out_.resize(n * m);
        if constexpr (matrix_space<B, T>)
            if (on_backend_) {
                auto x = be_.template allocate<T>(n * d), y = be_.template allocate<T>(m * d);
                auto z = be_.template allocate<T>(n * m);
                be_.upload(std::span<T const>{rows_}, x.view());
                be_.upload(std::span<T const>{cols_}, y.view());
                auto const product = as_matrix(z.view(), n, m);
                ops::gemm(be_, op::none, op::transpose, T(1), as_matrix(x.view(), n, d), as_matrix(y.view(), m, d),
                          T(0), product);
                be_.download(cvec<B, T>(z.view()), std::span<T>{out_});
            }
        if (!on_backend_) {
            serial_executor e;
            host::gemm<T>(e, op::none, op::transpose, T(1), {rows_.data(), n, d}, {cols_.data(), m, d}, T(0),
                          {out_.data(), n, m});
        }
        for (std::size_t i = 0; i != n; ++i)
            for (std::size_t j = 0; j != m; ++j) {
                auto & x = out_[i * m + j];
                if constexpr (std::same_as<T, double>)
                    x /= norms_[a[i]] * norms_[b[j]];
                x = x < 0 ? T(0) : x; // NaN stays
            }
        return out_;
    }
};

/// Requests that are computed by one product: their distinct rows against their distinct columns.
class shared_product {
    /// Rows of the table that one side has.
    struct side {
        std::vector<std::size_t> members, place; ///< place: position among the members plus 1; 0 for no member
        void add(std::span<std::size_t const> rows) {
            for (auto const r : rows)
                if (place[r] == 0) {
                    members.push_back(r);
                    place[r] = members.size();
                }
        }
        void shrink_to(std::size_t size) {
            for (; members.size() > size; members.pop_back())
                place[members.back()] = 0;
        }
    };
    side rows_, cols_;
    std::size_t dimension_, call_cost_;

    static constexpr std::size_t most_cosines = std::size_t{1} << 22; ///< of requests that share a product, or a part

    static std::size_t times(std::size_t a, std::size_t b) {
        return a != 0 && b > std::size_t(-1) / a ? std::size_t(-1) : a * b;
    }

public:
    /// Holds no request. \param table its rows are what requests number
    shared_product(embedding_table const & table, similarity_options const & options)
        : dimension_{table.dimension}, call_cost_{options.call_cost} {
        rows_.place.resize(table.rows());
        cols_.place.resize(table.rows());
    }
    /// Forgets all requests.
    void clear() {
        rows_.shrink_to(0);
        cols_.shrink_to(0);
    }
    /// Takes a request in if that is cheaper than a product of its own, the first in any case.
    bool take(similarity_request const & request) {
        auto const n = rows_.members.size(), m = cols_.members.size();
        rows_.add(request.rows);
        cols_.add(request.cols);
        auto const joint = times(rows_.members.size(), cols_.members.size());
        auto const apart = n * m + times(request.rows.size(), request.cols.size());
        if (n == 0 || m == 0
            || (joint <= most_cosines && times(joint - std::min(joint, apart), dimension_) <= call_cost_))
            return true;
        rows_.shrink_to(n);
        cols_.shrink_to(m);
        return false;
    }
    /// Fills the matrices of the requests that were taken in.
    template <class Products>
    void compute(Products & products, std::span<similarity_request const> requests,
                 std::span<similarity_matrix> matrices, similarity_result & result) const {
        auto const n = rows_.members.size(), m = cols_.members.size();
        for (std::size_t k = 0; k != requests.size(); ++k) {
            matrices[k] = {requests[k].rows.size(), requests[k].cols.size(), {}};
            matrices[k].values.resize(matrices[k].rows * matrices[k].cols);
        }
        if (n == 0 || m == 0)
            return;
        auto const part = std::max<std::size_t>(1, most_cosines / m);
        for (std::size_t first = 0; first < n; first += part) {
            auto const count = std::min(part, n - first);
            auto const cosines = products(std::span{rows_.members}.subspan(first, count), cols_.members);
            ++result.calls;
            result.cosines += cosines.size();
            for (std::size_t k = 0; k != requests.size(); ++k)
                for (std::size_t i = 0; i != requests[k].rows.size(); ++i) {
                    auto const row = rows_.place[requests[k].rows[i]] - 1 - first;
                    if (row >= count) // also for what lies before: the difference wraps around
                        continue;
                    for (std::size_t j = 0; j != requests[k].cols.size(); ++j)
                        matrices[k].values[i * matrices[k].cols + j] =
                            static_cast<float>(cosines[row * m + cols_.place[requests[k].cols[j]] - 1]);
                }
        }
    }
};

/// max(cosine, 0) of the rows asked for, as floats: <x, y> / (max(|x|, 1e-12) max(|y|, 1e-12)).
///
/// With T = double, the default, this is the kernel the reference scores are defined by: squares, norms and products in
/// double, one rounding at the end; the same floats on every backend (the order of summation moves a cosine by 1e-15, a
/// float's last bit is 6e-8). Where the backend has no double, the host computes. T = float is what the authors' torch
/// computes, rows normalised and multiplied in float: off by up to 2.4e-7, which settles ties among equal nodes
/// differently. Rows of zeros are like nothing; a NaN in a row makes its cosines NaN, which passes no threshold.
///
/// Requests share products of distinct rows by distinct columns as long as that is cheaper than one product each, so
/// that a device sees few calls and a host few numbers nobody asked for. One step of `ctl` a product.
/// \throws shape_error for a row that the table lacks, or values that are no whole number of rows
/// Complexity: O(dimension * cosines) time, of which at least the distinct pairs of each request; memory for the
/// results, the norms and one product.
template <real T = double, class B, observer F = no_observer, stop_token S = never_stop>
    requires(matrix_space<B, float> || matrix_space<B, double>)
similarity_result similarities(B & be, embedding_table const & table, std::span<similarity_request const> requests,
                               similarity_options const & options = {}, control<F, S> ctl = {}) {
    expects_shape(table.values.size() == table.rows() * table.dimension,
                  "similarities: the embeddings are no whole number of rows");
    for (auto const & request : requests)
        for (auto const * const side : {&request.rows, &request.cols})
            for (auto const r : *side)
                expects_shape(r < table.rows(), "similarities: a row that the table of embeddings lacks");
    similarity_result result;
    result.matrices.resize(requests.size());
    row_products<T, B> products(be, table);
    result.on_backend = products.on_backend();
    shared_product shared(table, options);
    for (std::size_t first = 0, last = 0; first != requests.size(); first = last) {
        if (ctl.stop.stop_requested()) {
            result.status = status::stopped;
            break;
        }
        shared.clear();
        while (last != requests.size() && shared.take(requests[last]))
            ++last;
        shared.compute(products, requests.subspan(first, last - first),
                       std::span{result.matrices}.subspan(first, last - first), result);
        ctl.observe(progress{last, requests.size(), std::nan(""), std::nan("")});
    }
    return result;
}

} // namespace evaluate
LATHE_NAMESPACE_END
