// A corpus of English prose: the Debian Administrator's Handbook (package debian-handbook), as documents of some
// sentences in a row, dealt at random into three files for calibration, as a source of candidates, and held out.
//
//     handbook [--folder /usr/share/doc/debian-handbook/html/en-US] [--sentences 9] [--seed 1] --out FOLDER
#include <lathe/core/words.hpp>
#include <lathe/io/file.hpp>
#include <lathe/io/json.hpp>
#include <lathe/io/sentences.hpp>
#include <lathe/random/philox.hpp>

#include <CLI/CLI.hpp>

#include <iostream>
#include <numeric>

namespace {

namespace fs = std::filesystem;

std::string read_file(fs::path const & path) {
    auto const in = lathe::io::file::open(path);
    std::string text(in.size(), '\0');
    in.read(std::as_writable_bytes(std::span{text}), 0);
    return text;
}
void write_file(fs::path const & path, std::string const & text) {
    lathe::io::staged_file out(path, false);
    out.write(std::as_bytes(std::span{text}), 0);
    out.close();
    out.publish();
}

/// The text of a piece of HTML: no tags, the few entities the handbook has, words one space apart.
std::string plain(std::string_view html) {
    static constexpr std::pair<std::string_view, std::string_view> entities[] = {
        {"&amp;", "&"},  {"&lt;", "<"},   {"&gt;", ">"}, {"&quot;", "\""},
        {"&nbsp;", " "}, {"&#160;", " "}, {"&#39;", "'"}};
    std::string text;
    while (!html.empty()) {
        if (html.front() == '<') {
            html.remove_prefix(std::min(html.find('>'), html.size() - 1) + 1);
            continue;
        }
        auto const entity = std::ranges::find_if(entities, [&](auto const & e) { return html.starts_with(e.first); });
        text += entity == std::end(entities) ? html.substr(0, 1) : entity->second;
        html.remove_prefix(entity == std::end(entities) ? 1 : entity->first.size());
    }
    std::string out;
    for (auto const word : lathe::words_of(text)) {
        if (word == "\xe2\x86\x92") // an arrow, before an address
            break;
        out.append(out.empty() ? "" : " ").append(word);
    }
    return out;
}

/// Paragraphs of a page, an empty line between them.
std::string prose(std::string_view page) {
    constexpr std::string_view open = "<div class=\"para\">", close = "</div>";
    std::string text;
    for (auto at = page.find(open); at != page.npos; at = page.find(open, at)) {
        at += open.size();
        text += plain(page.substr(at, page.find(close, at) - at)) + "\n\n";
    }
    return text;
}

void run(fs::path const & folder, fs::path const & out, std::size_t sentences, std::uint64_t seed) {
    lathe::expects_option(sentences >= 2, "sentences", std::to_string(sentences), "at least 2");
    if (!fs::is_directory(folder))
        throw lathe::io_error{folder.string() + ": no such folder; the package debian-handbook brings it"};
    std::vector<fs::path> pages;
    for (auto const & entry : fs::directory_iterator(folder))
        if (entry.path().extension() == ".html")
            pages.push_back(entry.path());
    std::ranges::sort(pages);
    lathe::io::sentence_splitter split;
    std::vector<std::string> documents;
    for (auto const & page : pages) {
        auto const text = prose(read_file(page));
        std::vector<std::string> row;
        std::size_t number = 0;
        for (auto const & s : split(text)) {
            std::string sentence(s.of(text));
            auto const words = lathe::words_of(sentence).size();
            if (words < 4 || words > 60 || std::string_view{".!?"}.find(sentence.back()) == std::string_view::npos)
                continue; // a heading, a list item, an address
            row.push_back(std::move(sentence));
            if (row.size() != sentences)
                continue;
            documents.push_back(nlohmann::ordered_json{{"id", page.stem().string() + " " + std::to_string(++number)},
                                                       {"sentences", row}}
                                    .dump()
                                + "\n");
            row.clear();
        }
    }
    std::vector<std::size_t> order(documents.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    lathe::random::uniform_stream const u{seed};
    std::ranges::sort(order, {}, [&](std::size_t i) { return std::pair{u[i], i}; });
    fs::create_directories(out);
    auto at = order.begin();
    for (auto const & [name, share] :
         {std::pair{"human.jsonl", 50u}, {"corpus.jsonl", 65u}, {"held-out.jsonl", 100u}}) {
        auto const end = order.begin() + static_cast<std::ptrdiff_t>(order.size() * share / 100);
        std::string text;
        auto const count = end - at;
        for (; at != end; ++at)
            text += documents[*at];
        write_file(out / name, text);
        std::cout << (out / name).string() << ": " << count << " documents of " << sentences << " sentences\n";
    }
}

} // namespace

int main(int argc, char ** argv) {
    CLI::App app{"The Debian Administrator's Handbook as documents of sentences"};
    std::string folder = "/usr/share/doc/debian-handbook/html/en-US", out;
    std::size_t sentences = 9;
    std::uint64_t seed = 1;
    app.add_option("--folder", folder, "where the pages are")->capture_default_str();
    app.add_option("--out", out, "folder for human.jsonl, corpus.jsonl and held-out.jsonl")->required();
    app.add_option("--sentences", sentences, "of a document")->capture_default_str();
    app.add_option("--seed", seed, "of the deal")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    try {
        run(folder, out, sentences, seed);
    } catch (std::exception const & e) {
        std::cerr << "handbook: error: " << e.what() << '\n';
        return 1;
    }
}
