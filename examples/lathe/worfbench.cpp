#include "worfbench.hpp"

#include <lathe/io/file.hpp>
#include <lathe/io/json.hpp>

#include <map>

namespace lathe_cli {

namespace {

std::vector<json> records_of(fs::path const & path) {
    if (path.extension() == ".jsonl")
        return read_json_lines(path);
    std::vector<json> records;
    auto all = parse_json_text(read_large_text(path), path.string());
    if (!all.is_array())
        lathe::io::reject(path.string(), "JSON", all.type_name(), "a list; one record a line goes by .jsonl");
    for (auto & record : all)
        records.push_back(std::move(record));
    return records;
}

/// Messages about one record of a file.
class record_reader {
    std::string label_;
    json const & record_;

public:
    record_reader(fs::path const & path, std::size_t number, json const & record)
        : label_{path.string() + ": record " + std::to_string(number)}, record_{record} {
        if (!record.is_object())
            lathe::io::reject(label_, "JSON", record.type_name(), "an object");
    }
    [[noreturn]] void reject(std::string_view field, std::string_view found, std::string_view expected) const {
        lathe::io::reject(label_, field, found, expected);
    }
    [[nodiscard]] json const * find(char const * field) const {
        auto const at = record_.find(field);
        return at == record_.end() ? nullptr : &*at;
    }
    [[nodiscard]] std::optional<std::string> text_of(json const & value, std::string_view field) const {
        if (value.is_null())
            return std::nullopt;
        if (!value.is_string())
            reject(field, value.type_name(), "a string or null");
        return value.get<std::string>();
    }
    /// The first of some fields that is a string, or a number as text; empty without one.
    [[nodiscard]] std::string name(std::initializer_list<char const *> fields) const {
        for (auto const * field : fields)
            if (auto const * const value = find(field); value != nullptr && (value->is_string() || value->is_number()))
                return value->is_string() ? value->get<std::string>() : value->dump();
        return {};
    }
    [[nodiscard]] std::optional<std::string> gold() const {
        if (auto const * const turns = find("conversations")) {
            if (!turns->is_array() || turns->empty() || !turns->back().is_object()
                || !turns->back().contains("content"))
                reject("conversations", lathe::reflect::shown(*turns), "a list of objects, the last with a 'content'");
            return text_of(turns->back()["content"], "conversations: content");
        }
        if (auto const * const text = find("text"))
            return text_of(*text, "text");
        reject("gold workflow", "neither field", "'conversations' or 'text'");
    }
    [[nodiscard]] std::optional<std::string> predicted() const {
        for (auto const * const field : {"workflow", "pred_text"})
            if (auto const * const text = find(field))
                return text_of(*text, field);
        if (auto const * const answer = find("answer")) {
            auto const at = json::json_pointer("/choices/0/message/content");
            if (!answer->contains(at))
                reject("answer", lathe::reflect::shown(*answer), "choices[0].message.content in it");
            return text_of(answer->at(at), "answer: content");
        }
        reject("prediction", "none of its fields", "'workflow', 'answer' or 'pred_text'");
    }
};

} // namespace

std::vector<workflow_texts> read_worfbench(fs::path const & gold, fs::path const & predicted) {
    auto const golds = records_of(gold), predictions = records_of(predicted);
    auto const folder = fs::absolute(gold).lexically_normal().parent_path().filename().string();
    std::vector<workflow_texts> gold_texts;
    std::map<std::string, std::size_t> by_gid;
    for (std::size_t i = 0; i != golds.size(); ++i) {
        record_reader const record(gold, i, golds[i]);
        workflow_texts texts;
        texts.id = record.name({"id", "gid"});
        if (texts.id.empty())
            texts.id = std::to_string(i);
        texts.set = record.name({"dataset", "source"});
        if (texts.set.empty())
            texts.set = folder;
        texts.gold = record.gold();
        if (auto const gid = record.name({"gid"}); !gid.empty() && !by_gid.emplace(gid, i).second)
            record.reject("gid", "'" + lathe::io::printable(gid) + "' twice", "each once");
        gold_texts.push_back(std::move(texts));
    }
    bool const named =
        std::ranges::any_of(predictions, [](json const & p) { return p.is_object() && p.contains("gid"); });
    if (!named && golds.size() != predictions.size())
        throw lathe::mismatch_error{predicted.string() + ": found " + std::to_string(predictions.size())
                                    + " predictions, expected " + std::to_string(golds.size())
                                    + ", as many as gold workflows in " + gold.string()};
    std::vector<workflow_texts> pairs;
    for (std::size_t i = 0; i != predictions.size(); ++i) {
        record_reader const record(predicted, i, predictions[i]);
        auto at = i;
        if (named) {
            auto const gid = record.name({"gid"});
            auto const known = by_gid.find(gid);
            if (known == by_gid.end())
                record.reject("gid", "'" + lathe::io::printable(gid) + "'", "that of a gold workflow");
            at = known->second;
        }
        auto texts = gold_texts[at];
        texts.predicted = record.predicted();
        if (auto const id = record.name({"id"}); !id.empty())
            texts.id = id;
        pairs.push_back(std::move(texts));
    }
    return pairs;
}

std::vector<std::string> read_strings(fs::path const & path) {
    auto const all = parse_json_text(read_large_text(path), path.string());
    std::vector<std::string> strings;
    if (!all.is_array())
        lathe::io::reject(path.string(), "JSON", all.type_name(), "a list of strings");
    for (auto const & s : all) {
        if (!s.is_string())
            lathe::io::reject(path.string(), "element " + std::to_string(strings.size()), s.type_name(), "a string");
        strings.push_back(s.get<std::string>());
    }
    return strings;
}

} // namespace lathe_cli
