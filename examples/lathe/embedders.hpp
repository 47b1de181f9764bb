#pragma once
/// \file  Where embeddings of texts come from.
#include "commands.hpp"

#include <lathe/evaluate/similarity.hpp>

#include <span>

namespace lathe_cli {

enum class embedder_choice : unsigned char { file, hashing, minilm };

/// \throws usage_error if a folder of a model is given to another embedder than minilm
void expect_model_of_minilm(embedder_choice embedder, std::string const & model);

/// A row for each text. \pre embedder is not `file`
/// \param model the folder of MiniLM; empty: where examples/fetch_minilm.sh puts it
/// \throws usage_error, io_error, format_error, interrupted
lathe::evaluate::embedding_table embed_texts(std::span<std::string const> texts, embedder_choice embedder,
                                             std::string const & model, run_settings const & how);

} // namespace lathe_cli
