#include <lathe/compiled/similarity.hpp>

#include "selected_backend.hpp"

LATHE_NAMESPACE_BEGIN
namespace compiled {

template <class Backend>
evaluate::similarity_result similarities_on(backend_settings const & where, evaluate::embedding_table const & table,
                                            std::span<evaluate::similarity_request const> requests,
                                            std::function<bool(progress const &)> const & go_on) {
    struct asked {
        bool const * going;
        [[nodiscard]] bool stop_requested() const noexcept { return !*going; }
    };
    bool going = true;
    control const ctl{[&](progress const & p) { going = !go_on || go_on(p); }, asked{&going}};
    auto be = make_backend<selected_backend>(where.threads, where.device);
    return evaluate::similarities(be, table, requests, {}, ctl);
}
template evaluate::similarity_result similarities_on<selected>(backend_settings const &,
                                                               evaluate::embedding_table const &,
                                                               std::span<evaluate::similarity_request const>,
                                                               std::function<bool(progress const &)> const &);

} // namespace compiled
LATHE_NAMESPACE_END
