#pragma once
/// \file  Everything that needs the standard library only: the core, random numbers, linear algebra and the methods.
///        Backends (lathe/backend/eigen.hpp), files (lathe/io/safetensors.hpp) and reflection are apart.
#include <lathe/cluster/fuzzy_c_means.hpp>
#include <lathe/core/ops.hpp>
#include <lathe/core/window.hpp>
#include <lathe/evaluate/hashing_embedder.hpp>
#include <lathe/evaluate/workflow_graph.hpp>
#include <lathe/evaluate/worfeval_explanation.hpp>
#include <lathe/linalg/cholesky.hpp>
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
#include <lathe/random/philox.hpp>
