/// \file  Workflow evaluation: what of it runs on a backend.
#include "selected_backend.hpp"
#include "worfeval.hpp"

namespace lathe_replay {

template <class Backend> std::vector<recorded_case> worfeval_cases(fs::path const & folder) {
    return worfeval_cases_with(folder, [](lathe::evaluate::embedding_table const & table,
                                          std::span<lathe::evaluate::similarity_request const> requests,
                                          [[maybe_unused]] std::size_t threads) {
        if constexpr (std::constructible_from<selected_backend, std::size_t>) {
            selected_backend be(threads);
            return lathe::evaluate::similarities(be, table, requests);
        } else {
            selected_backend be;
            return lathe::evaluate::similarities(be, table, requests);
        }
    });
}
template std::vector<recorded_case> worfeval_cases<selected>(fs::path const &);

} // namespace lathe_replay
