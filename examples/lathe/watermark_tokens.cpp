#include "commands.hpp"
#include "documents.hpp"
#include "html.hpp"
#include "watermark_report.hpp"

#include <lathe/core/executor.hpp>
#include <lathe/reflect/watermark_tokens.hpp>

namespace lathe_cli {

namespace {
struct token_settings {
    std::string documents;
    std::string html;
};
} // namespace
} // namespace lathe_cli

BOOST_HANA_ADAPT_STRUCT(lathe_cli::token_settings, documents, html);
template <>
inline constexpr auto lathe::reflect::help<lathe_cli::token_settings> = lathe::reflect::help_table({
    {"documents",
     "a .jsonl file of objects with `tokens`, a list of token numbers, and perhaps `id`, `prompt` (how many "
     "of them were not generated), `entropies` and `pieces` (the texts of the tokens)"},
    {"html", "write a page that shows every token of every document"},
});

namespace lathe_cli {
namespace {

namespace watermark = lathe::watermark;
using lathe::reflect::describe;

/// What an average token of a text that does not know the key says: more speaks for a watermark.
double usual_evidence(std::string_view method) {
    return method == "exp" || method == "exp_gumbel" || method == "pf" || method == "exp_edit" ? 1
           : method == "unbiased"                                                              ? 0
                                                                                               : 0.5;
}

int detect(lathe::reflect::token_method const & method, json const & options, token_settings const & s,
           run_settings const & how) {
    if (how.threads > 1024)
        throw usage_error{"--threads: found " + std::to_string(how.threads) + ", expected at most 1024"};
    auto const name = std::string{method.name};
    auto const detector = lathe::reflect::make_token_detector(name, options);
    if (detector.needs == watermark::model_use::logits)
        throw lathe::unsupported_error{name
                                       + ": its detector asks the language model for logits, which a file does not "
                                         "hold; expected a program that calls the library"};
    if (s.documents.empty())
        throw usage_error{"DOCUMENTS: found nothing, expected a .jsonl file with lists of tokens"};
    auto const documents = read_token_documents(s.documents);
    std::vector<watermark::token_text> texts;
    for (auto const & d : documents) {
        if (detector.needs == watermark::model_use::entropies && d.entropies.empty() && !d.tokens.empty())
            throw lathe::mismatch_error{s.documents + ": document '" + lathe::io::printable(d.id)
                                        + "' has no entropies, expected one for each token: " + name
                                        + " weighs tokens by them"};
        watermark::token_text text;
        text.tokens = d.tokens;
        text.entropies = d.entropies;
        texts.push_back(std::move(text));
    }
    lathe::thread_pool pool(how.threads);
    auto const found = detector.detect(pool, texts);
    std::vector<shown_document> shown;
    for (std::size_t i = 0; i != documents.size(); ++i) {
        auto const & d = documents[i];
        shown_document document{d.id, found[i].watermarked, {}, {}};
        document.verdict = "score " + short_number(found[i].score) + ", p " + short_number(found[i].p_value) + ", "
                           + std::to_string(found[i].scored) + " of " + std::to_string(d.tokens.size()) + " tokens";
        for (std::size_t k = 0; k != d.tokens.size(); ++k) {
            shown_sentence token;
            token.text = d.pieces.empty() ? std::to_string(d.tokens[k]) : d.pieces[k];
            auto const e = k < found[i].evidence.size() ? found[i].evidence[k] : std::nan("");
            if (!std::isnan(e)) {
                token.kind = e > usual_evidence(name) ? sentence_kind::hit : sentence_kind::miss;
                token.note = "token " + std::to_string(d.tokens[k]) + ", evidence " + short_number(e);
            }
            document.sentences.push_back(std::move(token));
        }
        shown.push_back(std::move(document));
    }
    if (!s.html.empty()) {
        evidence_page page(s.html, "Watermark of tokens", name + ": " + std::string{method.summary});
        page.add(shown);
        page.finish();
    }
    if (how.json) {
        auto list = json::array();
        for (std::size_t i = 0; i != documents.size(); ++i) {
            auto evidence = json::array();
            for (auto const e : found[i].evidence)
                evidence.push_back(number_or_null(e));
            list.push_back({{"id", documents[i].id},
                            {"watermarked", found[i].watermarked},
                            {"score", number_or_null(found[i].score)},
                            {"p_value", found[i].p_value},
                            {"log_p_value", number_or_null(found[i].log_p_value)},
                            {"tokens", documents[i].tokens.size()},
                            {"scored", found[i].scored},
                            {"evidence", std::move(evidence)}});
        }
        print_json({{"lathe", version()},
                    {"command", "watermark tokens"},
                    {"method", name},
                    {"options", detector.options},
                    {"documents", s.documents},
                    {"provenance", provenance({{"command", "watermark tokens"}, {"method", name}}, how,
                                              {{"documents", s.documents}})},
                    {"results", std::move(list)}});
    } else if (!how.quiet)
        print(token_text(shown, colours_wanted()));
    return 0;
}

struct token_command {
    lathe::reflect::token_method const * method;
    CLI::App * app;
    option_flags settings, options, run;
};

} // namespace

std::function<std::optional<int>()> add_token_detection(CLI::App & watermark) {
    auto & sub =
        *watermark.add_subcommand("tokens", "Find marks of token-level watermarks: lathe watermark tokens METHOD");
    sub.require_subcommand(0, 1);
    static constexpr spelling spellings[] = {{"documents", "documents"}};
    static constexpr std::string_view unused[] = {"backend", "seed"};
    auto commands = std::make_shared<std::deque<token_command>>();
    for (auto const & method : lathe::reflect::token_methods()) {
        auto & own = *sub.add_subcommand(std::string{method.name}, std::string{method.summary});
        auto & command = commands->emplace_back();
        command.method = &method;
        command.app = &own;
        command.settings.add(own, "Documents", describe<token_settings>(), {.spellings = spellings});
        command.options.add(own, "Options of " + std::string{method.name}, method.describe());
        command.run.add(own, "Running", describe<run_settings>(), {.without = unused});
        add_configuration(own, {{&command.settings}, {&command.options}, &command.run}, true);
        own.allow_extras();
    }
    sub.allow_extras();
    return [&sub, commands]() -> std::optional<int> {
        if (!sub.parsed())
            return std::nullopt;
        using lathe::reflect::options_from;
        std::vector<std::string_view> names;
        for (auto const & c : *commands) {
            names.push_back(c.method->name);
            if (!c.app->parsed())
                continue;
            expect_nothing_left(*c.app);
            return detect(*c.method, c.options.given(), options_from<token_settings>(c.settings.given()),
                          options_from<run_settings>(c.run.given()));
        }
        auto left = sub.remaining();
        if (!left.empty() && !left.front().starts_with("-"))
            throw usage_error{"'" + left.front() + "': unknown method; "
                              + lathe::reflect::suggestion(left.front(), names)};
        expect_nothing_left(sub);
        throw usage_error{"watermark tokens: no method; see lathe watermark tokens --help"};
    };
}

} // namespace lathe_cli
