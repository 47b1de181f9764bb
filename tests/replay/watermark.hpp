#pragma once
/// \file  Who runs the cases of clustering and watermarks.
#include "array_fixture.hpp"

namespace lathe_replay {

// Each: \returns whether it is a case of this kind, judged by its name; \throws failure, lathe::error

template <class Backend> bool run_clustering(Backend & be, std::string_view name, array_fixture const & f);
template <class Backend> bool run_sentence_watermark(Backend & be, std::string_view name, array_fixture const & f);
template <class Backend> bool run_token_watermark(Backend & be, std::string_view name, array_fixture const & f);

/// Rows on a backend.
template <class B, class T> struct resident_matrix {
    std::size_t rows, cols;
    lathe::buffer_t<B, T> buffer;

    resident_matrix(B & be, number_array const & a)
        : rows{a.extent(0)}, cols{a.extent(1)}, buffer(be.template allocate<T>(a.values.size())) {
        auto const values = a.as<T>();
        be.upload(std::span<T const>{values}, buffer.view());
    }
    resident_matrix(B & be, std::size_t r, std::size_t c) : rows{r}, cols{c}, buffer(be.template allocate<T>(r * c)) {}
    lathe::mat<B, T> view() { return lathe::as_matrix(buffer.view(), rows, cols); }
    std::vector<double> values(B & be) {
        std::vector<T> all(rows * cols);
        be.download(lathe::cvec<B, T>(buffer.view()), std::span{all});
        return {all.begin(), all.end()};
    }
};

} // namespace lathe_replay
