#pragma once
/// \file  Workflows in JSON:
///
///     {"nodes": ["find a pan", "put it on the stove"], "edges": [[0, 1]]}
///     {"nodes": [{"id": "a", "label": "find a pan"}, {"id": "b", "label": "put it on the stove"}],
///      "edges": [{"from": "a", "to": "b"}]}
#include <lathe/graph/labelled_graph.hpp>
#include <lathe/io/json.hpp>

#include <unordered_map>

LATHE_NAMESPACE_BEGIN
namespace io {

/// Bounds of what is read: texts come from models, and may be anything.
struct workflow_json_options {
    std::size_t max_bytes = std::size_t{64} << 20; ///< of the text
};

/// Reads the events of a workflow in JSON. \see read_workflow_json
class workflow_json_reader final : public json_events {
    enum class place : unsigned char { top, nodes, edges, node, edge };
    enum class field : unsigned char { unknown, id, label, from, to, nodes, edges };
    // A number or a string that names a node; numbers are told from strings by a first character.
    struct end {
        std::string name; ///< "#12" or "=text"; empty: not given
        std::uint64_t number = 0;
    };
    struct edge {
        end from, to;
    };

    place place_ = place::top;
    field field_ = field::unknown;
    bool has_nodes_ = false, has_edges_ = false;
    std::vector<std::string> labels_;
    std::vector<std::string> ids_; // parallel to labels_; empty where there is none
    bool any_id_ = false;
    std::vector<edge> edges_;
    std::size_t ends_ = 0; // of the edge under way, when it is an array

    [[noreturn]] void refuse(std::string_view rule, std::string_view found, std::string_view expected) const {
        reject(label_, rule, found, expected);
    }
    static std::string name_of(std::uint64_t n) { return "#" + std::to_string(n); }

    void node_text(std::string & text) {
        if (field_ == field::label)
            labels_.back() = std::move(text);
        else if (field_ == field::id)
            set_id("=" + text);
    }
    void set_id(std::string id) {
        if (!ids_.back().empty())
            refuse("workflow", "a node with two ids", "one");
        ids_.back() = std::move(id);
        any_id_ = true;
    }
    void edge_end(end e) {
        if (place_ == place::edges)
            refuse("workflow", "an edge that is one name", "an array of two, or an object");
        auto & last = edges_.back();
        end * to = nullptr;
        if (in_array_edge_) {
            if (ends_ == 2)
                refuse("workflow", "an edge with more than two ends", "two");
            to = ends_++ == 0 ? &last.from : &last.to;
        } else if (field_ == field::from)
            to = &last.from;
        else if (field_ == field::to)
            to = &last.to;
        else
            return;
        if (!to->name.empty())
            refuse("workflow", "an edge with an end that is given twice", "two ends");
        *to = std::move(e);
    }
    bool in_array_edge_ = false;

    bool on_open(std::string_view kind) override {
        bool const array = kind == "array";
        switch (place_) {
        case place::top:
            if (depth() == 1)
                return true;
            if (field_ != field::nodes && field_ != field::edges)
                return false;
            if (!array)
                refuse("workflow", "nodes or edges that are an object", "an array");
            {
                auto & given = field_ == field::nodes ? has_nodes_ : has_edges_;
                if (given)
                    refuse("workflow", "nodes or edges given twice", "once");
                given = true;
            }
            place_ = field_ == field::nodes ? place::nodes : place::edges;
            return true;
        case place::nodes:
            if (array)
                refuse("workflow", "a node that is an array", "a string or an object");
            labels_.emplace_back();
            ids_.emplace_back();
            place_ = place::node;
            field_ = field::unknown;
            return true;
        case place::edges:
            edges_.emplace_back();
            place_ = place::edge;
            field_ = field::unknown;
            in_array_edge_ = array;
            ends_ = 0;
            return true;
        case place::node:
            if (field_ == field::id || field_ == field::label)
                refuse("workflow", "an id or a label that is an object or an array", "a string");
            return false;
        case place::edge:
            if (in_array_edge_ || field_ == field::from || field_ == field::to)
                refuse("workflow", "an end of an edge that is an object or an array", "a position or an id");
            return false;
        }
        return false;
    }
    void on_close() override {
        switch (place_) {
        case place::top: break;
        case place::nodes:
        case place::edges:
            place_ = place::top;
            field_ = field::unknown;
            break;
        case place::node:
            if (labels_.back().empty() && !ids_.back().empty())
                labels_.back() = ids_.back().substr(1);
            place_ = place::nodes;
            break;
        case place::edge:
            if (edges_.back().from.name.empty() || edges_.back().to.name.empty())
                refuse("workflow", "an edge without two ends", "from and to");
            place_ = place::edges;
            break;
        }
    }
    void on_key(std::string & text) override {
        field_ = field::unknown;
        if (place_ == place::top)
            field_ = text == "nodes"                      ? field::nodes
                     : text == "edges" || text == "links" ? field::edges
                                                          : field::unknown;
        else if (place_ == place::node)
            field_ = text == "id"                                          ? field::id
                     : text == "label" || text == "text" || text == "name" ? field::label
                                                                           : field::unknown;
        else if (place_ == place::edge)
            field_ = text == "from" || text == "source" ? field::from
                     : text == "to" || text == "target" ? field::to
                                                        : field::unknown;
    }
    void on_string(std::string & text) override {
        switch (place_) {
        case place::top:
            if (field_ == field::nodes || field_ == field::edges)
                refuse("workflow", "nodes or edges that are a string", "an array");
            break;
        case place::nodes:
            labels_.push_back(std::move(text));
            ids_.emplace_back();
            break;
        case place::node: node_text(text); break;
        case place::edges:
        case place::edge: edge_end({"=" + text, 0}); break;
        }
    }
    void on_unsigned(std::uint64_t n) override {
        if (place_ == place::node && field_ == field::id)
            set_id(name_of(n));
        else if (place_ == place::edge || place_ == place::edges)
            edge_end({name_of(n), n});
        else
            on_other("number", std::to_string(n));
    }
    void on_other(std::string_view kind, std::string const & written) override {
        bool const wanted =
            (place_ == place::top && (field_ == field::nodes || field_ == field::edges)) || place_ == place::nodes
            || place_ == place::edges || (place_ == place::node && (field_ == field::id || field_ == field::label))
            || (place_ == place::edge && (in_array_edge_ || field_ == field::from || field_ == field::to));
        if (wanted)
            refuse("workflow", std::string{kind} + " " + printable(written),
                   place_ == place::top ? "an array" : "a string, a position or an id");
    }

public:
    /// \param label what messages call the text
    explicit workflow_json_reader(std::string_view label) : json_events(label) {}

    /// What was read. \throws format_error
    graph::labelled_graph take() {
        if (!has_nodes_ || !has_edges_)
            refuse("workflow", has_nodes_ ? "no edges" : "no nodes", "\"nodes\" and \"edges\"");
        std::unordered_map<std::string, graph::vertex> position;
        if (any_id_)
            for (std::size_t v = 0; v != ids_.size(); ++v)
                if (!ids_[v].empty() && !position.emplace(ids_[v], static_cast<graph::vertex>(v)).second)
                    refuse("workflow", "two nodes with the id '" + printable(ids_[v].substr(1)) + "'", "different ids");
        auto const vertex_of = [&](end const & e) -> graph::vertex {
            if (auto const at = position.find(e.name); at != position.end())
                return at->second;
            if (any_id_ || e.name.front() == '=')
                refuse("workflow", "an edge to '" + printable(e.name.substr(1)) + "', which is the id of no node",
                       "an id");
            return static_cast<graph::vertex>(std::min<std::uint64_t>(e.number, graph::none - 1));
        };
        graph::labelled_graph out;
        out.arcs.reserve(edges_.size());
        for (auto const & e : edges_)
            out.arcs.push_back({vertex_of(e.from), vertex_of(e.to)});
        out.labels = std::move(labels_);
        return out;
    }
};

/// The graph of a text in JSON, an object with
/// - "nodes": an array of strings, or of objects with "label" ("text", "name") and, if edges are to name it, "id", a
///   string or a whole number; a node without a label has its id;
/// - "edges" ("links"): an array of pairs [from, to], or of objects with "from" ("source") and "to" ("target").
///   Ends are ids if any node has one, else positions from 0. Positions beyond the nodes are kept, for a diagnosis to
///   find.
/// Whatever else the objects hold is passed over. O(bytes). \throws format_error
inline graph::labelled_graph read_workflow_json(std::string_view text, std::string_view label = "JSON",
                                                workflow_json_options const & options = {}) {
    if (text.size() > options.max_bytes)
        reject(label, "size", std::to_string(text.size()) + " bytes", "at most " + std::to_string(options.max_bytes));
    workflow_json_reader reader(label);
    read_json(text, label, reader);
    return reader.take();
}

/// The reader as a parser of workflows. \see evaluate::workflow_parser
struct json_parser {
    workflow_json_options options = {}; ///< bounds of every text
    /// The graph of a text. \throws format_error
    graph::labelled_graph operator()(std::string_view text) const { return read_workflow_json(text, "JSON", options); }
};

} // namespace io
LATHE_NAMESPACE_END
