#pragma once
/// \file  Watermarks of sentences as the commands hand them to the code of a backend.
#include "progress_bar.hpp"

#include <lathe/cluster/k_means.hpp>
#include <lathe/evaluate/similarity.hpp>
#include <lathe/watermark/calibration.hpp>
#include <lathe/watermark/cohemark.hpp>
#include <lathe/watermark/detector.hpp>
#include <lathe/watermark/hammingmark.hpp>
#include <lathe/watermark/sampler.hpp>
#include <lathe/watermark/semstamp.hpp>
#include <lathe/watermark/simmark.hpp>

#include <variant>

namespace lathe_cli {

/// Any watermark of sentences that there is.
using any_partition =
    std::variant<lathe::watermark::cohemark, lathe::watermark::keyed_cohemark, lathe::watermark::semstamp,
                 lathe::watermark::k_semstamp, lathe::watermark::simmark, lathe::watermark::hammingmark>;

struct watermark_job {
    std::size_t threads;
    std::string device;
    progress_bar & progress;
};
/// Embeddings of the sentences of documents, a row each; see lathe::watermark::detect.
struct sentence_rows {
    std::span<float const> values;
    std::size_t dimension;
    std::span<std::size_t const> offsets;
};

using sentence_proposals = std::function<std::vector<lathe::watermark::proposal>(
    lathe::watermark::sampling_context const & context, std::size_t count)>;
using sentence_embedding = std::function<lathe::evaluate::embedding_table(std::span<std::string const> texts)>;
struct sampling_request {
    std::string prompt;
    sentence_proposals source;
};

// Defined and instantiated in backend/watermark.cpp. They throw interrupted, lathe::error and what callbacks throw.

template <class Backend>
lathe::watermark::detection_result run_watermark_detect(watermark_job const & job, any_partition const & partition,
                                                        sentence_rows const & rows,
                                                        lathe::watermark::detection_options const & options);
/// `next` gives the requests, until there are none; `receive` gets the result of each.
template <class Backend>
void run_watermark_sample(watermark_job const & job, any_partition const & partition,
                          std::function<std::optional<sampling_request>()> const & next,
                          sentence_embedding const & embed, lathe::watermark::sampling_options const & options,
                          lathe::watermark::sentence_check const & valid,
                          std::function<void(lathe::watermark::sampling_result &&)> const & receive);
/// Of rows of length above 0, in cosines.
template <class Backend>
lathe::cluster::k_means_result run_spherical_k_means(watermark_job const & job, std::span<float const> rows,
                                                     std::size_t dimension,
                                                     lathe::cluster::k_means_options const & options);

} // namespace lathe_cli
