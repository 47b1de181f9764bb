#pragma once
/// \file  Everything that needs the standard library only: the core, random numbers, linear algebra and the methods.
///        Backends (lathe/backend/eigen.hpp), files (lathe/io/safetensors.hpp) and reflection are apart.
#include <lathe/adapt/adalora.hpp>
#include <lathe/adapt/blocks.hpp>
#include <lathe/adapt/combine.hpp>
#include <lathe/adapt/dora.hpp>
#include <lathe/adapt/factors.hpp>
#include <lathe/adapt/initial.hpp>
#include <lathe/adapt/kasa.hpp>
#include <lathe/adapt/loftq.hpp>
#include <lathe/adapt/spectral.hpp>
#include <lathe/adapt/start.hpp>
#include <lathe/cluster/fuzzy_c_means.hpp>
#include <lathe/cluster/k_means.hpp>
#include <lathe/cluster/streaming.hpp>
#include <lathe/cluster/validity.hpp>
#include <lathe/core/ops.hpp>
#include <lathe/core/window.hpp>
#include <lathe/evaluate/hashing_embedder.hpp>
#include <lathe/evaluate/text_quality.hpp>
#include <lathe/evaluate/worfeval_explanation.hpp>
#include <lathe/evaluate/workflow_graph.hpp>
#include <lathe/linalg/cholesky.hpp>
#include <lathe/linalg/partial_svd.hpp>
#include <lathe/linalg/qr.hpp>
#include <lathe/linalg/randomized_svd.hpp>
#include <lathe/linalg/svd.hpp>
#include <lathe/merge/adamerging.hpp>
#include <lathe/merge/dare.hpp>
#include <lathe/merge/fisher.hpp>
#include <lathe/merge/frank_wolfe.hpp>
#include <lathe/merge/fw_merging.hpp>
#include <lathe/merge/fw_merging_soft.hpp>
#include <lathe/merge/kinship.hpp>
#include <lathe/merge/kinship_search.hpp>
#include <lathe/merge/linear.hpp>
#include <lathe/merge/objectives.hpp>
#include <lathe/merge/quadratic.hpp>
#include <lathe/merge/regmean.hpp>
#include <lathe/merge/simplex.hpp>
#include <lathe/merge/slerp.hpp>
#include <lathe/merge/spectral.hpp>
#include <lathe/merge/ties.hpp>
#include <lathe/optimize/adam.hpp>
#include <lathe/optimize/schedule.hpp>
#include <lathe/optimize/sgd.hpp>
#include <lathe/random/markllm.hpp>
#include <lathe/random/numpy.hpp>
#include <lathe/random/philox.hpp>
#include <lathe/random/sha256.hpp>
#include <lathe/random/torch.hpp>
#include <lathe/watermark/alignment.hpp>
#include <lathe/watermark/attacks.hpp>
#include <lathe/watermark/calibration.hpp>
#include <lathe/watermark/cohemark.hpp>
#include <lathe/watermark/detector.hpp>
#include <lathe/watermark/hammingmark.hpp>
#include <lathe/watermark/rates.hpp>
#include <lathe/watermark/reweight.hpp>
#include <lathe/watermark/sampler.hpp>
#include <lathe/watermark/semstamp.hpp>
#include <lathe/watermark/simmark.hpp>
#include <lathe/watermark/synthid.hpp>

// What the namespaces hold: each is spread over many headers, so the words are here.

/// \namespace lathe
/// What methods and backends share (core/) and the backends themselves; the methods are in namespaces of their own.
/// \namespace lathe::adapt
/// Low-rank adapters: starts, forms, conversion, combination, merging into a model.
/// \namespace lathe::adapt::kernels
/// Kernels of adapters, on any backend.
/// \namespace lathe::cluster
/// Groups of vectors, hard and fuzzy, and whether they hold.
/// \namespace lathe::cluster::kernels
/// Kernels of clustering, on any backend.
/// \namespace lathe::compiled
/// Methods that are compiled once for each backend and linked, for programs and whoever wants short compile times.
/// \namespace lathe::dtypes
/// The table behind lathe::dtype.
/// \namespace lathe::evaluate
/// Scores of workflows and texts, and what they are made of.
/// \namespace lathe::graph
/// Directed graphs of a size that fits in memory: order, matching, common parts, edit distance.
/// \namespace lathe::host
/// Work on plain memory by the processor: what backends with plain pointers get without writing it.
/// \namespace lathe::host::vector
/// What depends on the width of the machine's registers. Inline: its names are those of lathe::host.
/// \namespace lathe::io
/// Files and other programs: checkpoints, adapters, arrays, workflows, sentences, objectives.
/// \namespace lathe::kernels
/// Kernels that are made of kernels.
/// \namespace lathe::linalg
/// Factorisations and spectra of matrices in a backend's memory.
/// \namespace lathe::linalg::kernels
/// Kernels of linear algebra, on any backend.
/// \namespace lathe::linalg::vector
/// What depends on the width of the machine's registers. Inline: its names are those of lathe::linalg.
/// \namespace lathe::merge
/// Several models of one shape made one, streamed from checkpoint to checkpoint.
/// \namespace lathe::merge::kernels
/// Kernels of merging, on any backend.
/// \namespace lathe::opencl
/// What opencl_backend is made of: owners, devices, sources of kernels, compiled programs.
/// \namespace lathe::ops
/// The operations that algorithms call on a backend.
/// \namespace lathe::ops::kernels
/// Kernels of the operations that backends need not bring.
/// \namespace lathe::optimize
/// Steps of optimisers over vectors in a backend's memory, and their schedules.
/// \namespace lathe::optimize::kernels
/// Kernels of optimisers, on any backend.
/// \namespace lathe::random
/// Random numbers: Philox, which the methods use, and the streams of other libraries that their results depend on.
/// \namespace lathe::reflect
/// Options and results as data: their fields by name, to and from JSON.
/// \namespace lathe::registry
/// The methods as a list that programs go through at compile time.
/// \namespace lathe::testing
/// For whoever writes a backend or a method: laws to obey, archetypes, an oracle.
/// \namespace lathe::watermark
/// Marks in text and logits, by sentence and by token: sampling, detection, calibration, attacks.
/// \namespace lathe::watermark::kernels
/// Kernels of watermarks, on any backend.
/// \namespace lathe::windows
/// What core/window.hpp is made of.
