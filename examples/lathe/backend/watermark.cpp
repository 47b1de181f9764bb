#include "interrupt.hpp"
#include "selected_backend.hpp"
#include "watermark_job.hpp"

namespace lathe_cli {

namespace watermark = lathe::watermark;
using lathe::compiled::selected;

namespace {
using B = lathe::compiled::selected_backend;

/// Rows in the memory of the backend.
class uploaded_rows {
    lathe::buffer_t<B, float> buffer_;
    std::size_t rows_, cols_;

public:
    uploaded_rows(B & be, std::span<float const> values, std::size_t cols)
        : buffer_{be.template allocate<float>(values.size())}, rows_{cols == 0 ? 0 : values.size() / cols},
          cols_{cols} {
        be.upload(values, buffer_.view());
    }
    [[nodiscard]] lathe::cmat<B, float> view() {
        return lathe::as_matrix(lathe::cvec<B, float>(buffer_.view()), rows_, cols_);
    }
};
} // namespace

template <class Backend>
watermark::detection_result run_watermark_detect(watermark_job const & job, any_partition const & partition,
                                                 sentence_rows const & rows,
                                                 watermark::detection_options const & options) {
    auto be = lathe::compiled::make_backend<B>(job.threads, job.device);
    uploaded_rows uploaded(be, rows.values, rows.dimension);
    auto const observe = [&](lathe::progress const & p) { job.progress(p); };
    auto result = std::visit([&](auto const & p) {
        return watermark::detect<float>(be, p, uploaded.view(), rows.offsets, options, watermark::null_model{},
                                        lathe::control{observe, interrupt_token{}});
    }, partition);
    if (result.status == lathe::status::stopped)
        throw interrupted{};
    return result;
}
template watermark::detection_result run_watermark_detect<selected>(watermark_job const &, any_partition const &,
                                                                    sentence_rows const &,
                                                                    watermark::detection_options const &);

template <class Backend>
void run_watermark_sample(watermark_job const & job, any_partition const & partition,
                          std::function<std::optional<sampling_request>()> const & next,
                          sentence_embedding const & embed, watermark::sampling_options const & options,
                          watermark::sentence_check const & valid,
                          std::function<void(watermark::sampling_result &&)> const & receive) {
    auto be = lathe::compiled::make_backend<B>(job.threads, job.device);
    while (auto const request = next()) {
        auto result = std::visit([&](auto const & p) {
            return watermark::sample<float>(be, p, request->prompt, request->source, embed, options, valid,
                                            lathe::control{lathe::no_observer{}, interrupt_token{}});
        }, partition);
        if (result.end == watermark::sampling_end::stopped)
            throw interrupted{};
        receive(std::move(result));
    }
}
template void run_watermark_sample<selected>(watermark_job const &, any_partition const &,
                                             std::function<std::optional<sampling_request>()> const &,
                                             sentence_embedding const &, watermark::sampling_options const &,
                                             watermark::sentence_check const &,
                                             std::function<void(watermark::sampling_result &&)> const &);

template <class Backend>
lathe::cluster::k_means_result run_spherical_k_means(watermark_job const & job, std::span<float const> rows,
                                                     std::size_t dimension,
                                                     lathe::cluster::k_means_options const & options) {
    auto be = lathe::compiled::make_backend<B>(job.threads, job.device);
    uploaded_rows uploaded(be, rows, dimension);
    auto const observe = [&](lathe::progress const & p) { job.progress(p); };
    auto result =
        lathe::cluster::k_means<float>(be, uploaded.view(), options, lathe::control{observe, interrupt_token{}});
    if (result.status == lathe::status::stopped)
        throw interrupted{};
    return result;
}
template lathe::cluster::k_means_result run_spherical_k_means<selected>(watermark_job const &, std::span<float const>,
                                                                        std::size_t,
                                                                        lathe::cluster::k_means_options const &);

} // namespace lathe_cli
