#pragma once
/// \file  Recorded cases, whatever they are about.
#include "fixture.hpp"

#include <functional>

namespace lathe_replay {

/// Backends the program may be built with, as names for the linker; the runners of each are in translation units of its
/// own.
namespace backends {
struct eigen {
    static constexpr std::string_view name = "eigen";
};
struct xtensor {
    static constexpr std::string_view name = "xtensor";
};
struct opencl {
    static constexpr std::string_view name = "opencl";
};
} // namespace backends

enum class verdict { passed, failed, skipped };

struct result {
    verdict what;
    std::string detail;
};

struct recorded_case {
    std::string name;
    std::function<std::string()> method;            ///< or what else the case is about
    std::function<result(std::size_t threads)> run; ///< may throw: then it failed
};

/// The cases of a folder; none if it is not of this kind. \throws failure, lathe::error
template <class Backend> std::vector<recorded_case> merge_cases(fs::path const & folder);
template <class Backend> std::vector<recorded_case> adapt_cases(fs::path const & folder);

/// An adapter folder of PEFT with its manifest.
result run_peft_case(fs::path const & folder);

} // namespace lathe_replay
