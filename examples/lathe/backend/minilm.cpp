#include "../../minilm/encoder.hpp"
#include "interrupt.hpp"
#include "minilm_job.hpp"
#include "selected_backend.hpp"

namespace lathe_cli {

using lathe::compiled::selected;
using lathe::compiled::selected_backend;

template <class Backend> lathe::evaluate::embedding_table run_minilm(minilm_job const & job) {
    auto be = lathe::compiled::make_backend<selected_backend>(job.threads, job.device);
    minilm::encoder<selected_backend> encode(be, job.weights);
    return encode(be, job.sentences, [&](std::size_t done) {
        job.progress({done, job.sentences.size(), std::nan(""), std::nan("")});
        if (interrupt_token{}.stop_requested())
            throw interrupted{};
    });
}
template lathe::evaluate::embedding_table run_minilm<selected>(minilm_job const &);

} // namespace lathe_cli
