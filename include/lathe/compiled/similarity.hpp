#pragma once
/// \file  evaluate::similarities compiled once for each backend, for programs that only have texts to compare.
#include <lathe/compiled/backends.hpp>
#include <lathe/evaluate/similarity.hpp>

#include <functional>

LATHE_NAMESPACE_BEGIN
namespace compiled {

/// Where to compute: \see make_backend
struct backend_settings {
    std::size_t threads = 0;      ///< of backends on the host; 0: one for each processor
    std::string_view device = {}; ///< of the others: an index or a part of a name; empty: the one the backend prefers
};

/// evaluate::similarities on a backend made for the call. Backend is one of `backends`; `go_on` is told how many
/// requests are done, and says false to stop. Defined and instantiated in compiled/similarity.cpp.
/// \throws as evaluate::similarities; what the backend throws
template <class Backend>
evaluate::similarity_result similarities_on(backend_settings const & where, evaluate::embedding_table const & table,
                                            std::span<evaluate::similarity_request const> requests,
                                            std::function<bool(progress const &)> const & go_on = {});

} // namespace compiled
LATHE_NAMESPACE_END
