/// \file  The cases of clustering and watermarks (docs/clustering.md, docs/watermarking.md): who runs which.
#include "watermark.hpp"
#include "backend_runners.hpp"

namespace lathe_replay {
namespace {

using runs = bool (*)(selected_backend &, std::string_view name, array_fixture const &);
constexpr runs kinds[] = {
    &run_clustering<selected_backend>,
    &run_sentence_watermark<selected_backend>,
    &run_token_watermark<selected_backend>,
};

result run_case(fs::path const & folder, std::size_t threads) {
    try {
        auto be = lathe::compiled::make_backend<selected_backend>(threads);
        array_fixture const f(folder);
        for (auto const kind : kinds)
            if (kind(be, folder.filename().string(), f))
                return {verdict::passed, {}};
        return {verdict::skipped, "no runner"};
    } catch (lathe::unsupported_error const & e) {
        return {verdict::skipped, e.what()};
    }
}

} // namespace

template <class Backend> std::vector<recorded_case> watermark_cases(fs::path const & folder) {
    std::vector<recorded_case> cases;
    for (auto const & name : cases_in(folder)) {
        auto const manifest = read_json(folder / name / "manifest.json");
        if (!manifest.contains("case") || !manifest.contains("params"))
            return {};
        cases.push_back({name, [what = manifest.value("what", "")] { return what; },
                         [at = folder / name](std::size_t threads) { return run_case(at, threads); }});
    }
    return cases;
}
template std::vector<recorded_case> watermark_cases<selected>(fs::path const &);

} // namespace lathe_replay
