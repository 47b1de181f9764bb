#include "html.hpp"
#include "worfeval_report.hpp"

#include <lathe/reflect/fields.hpp>

#include <cstdio>
#include <map>

namespace lathe_cli {

namespace {

namespace evaluate = lathe::evaluate;
namespace graph = lathe::graph;
using evaluate::departure;
using evaluate::edge_fate;

/// The first characters of a text, with dots where some are left out.
std::string shortened(std::string_view text, std::size_t characters) {
    std::size_t bytes = 0;
    for (std::size_t n = 0; bytes != text.size(); ++n) {
        if (n == characters)
            return std::string{text.substr(0, bytes)} + "\xe2\x80\xa6";
        bytes += lathe::first_character(text.substr(bytes)).length;
    }
    return std::string{text};
}
std::string number(double x) {
    char text[32];
    std::snprintf(text, sizeof text, "%.4f", x);
    return text;
}
std::string number(std::unsigned_integral auto x) { return std::to_string(x); }

// ---- drawings -------------------------------------------------------------------------------------------------------

constexpr std::size_t most_drawn = 120; ///< nodes of a graph; larger ones are not readable
constexpr std::size_t box_width = 168, box_height = 38, gap_x = 18, gap_y = 46, margin = 12;

struct place {
    std::size_t layer, column;
};
/// Layers by the longest way from a node without predecessors; what lies behind a cycle comes last, a layer each.
std::vector<place> layout(evaluate::workflow const & w) {
    auto const n = w.nodes.size();
    std::vector<graph::arc> inside;
    for (auto const & e : w.edges)
        if (e.from < n && e.to < n)
            inside.push_back(e);
    graph::digraph const g(n, inside);
    auto order = graph::topological_order(g);
    std::vector<std::size_t> layer(n, 0);
    for (auto const v : order)
        for (auto const s : g.successors(v))
            layer[s] = std::max(layer[s], layer[v] + 1);
    std::vector<bool> placed(n, false);
    std::size_t last = 0;
    for (auto const v : order) {
        placed[v] = true;
        last = std::max(last, layer[v]);
    }
    for (std::size_t v = 0; v != n; ++v)
        if (!placed[v])
            layer[v] = ++last;
    std::map<std::size_t, std::size_t> used;
    std::vector<place> places;
    for (std::size_t v = 0; v != n; ++v)
        places.push_back({layer[v], used[layer[v]]++});
    return places;
}

/// A colour for every match, far from that of its neighbours in number.
std::string colour_of(std::size_t match) { return "hsl(" + number(match * 137 % 360) + ",70%,82%)"; }

/// `match_of`: the number of the match that a node takes part in, or none.
std::string drawing(evaluate::workflow const & w, std::vector<graph::vertex> const & match_of,
                    std::vector<edge_fate> const & fates) {
    if (w.nodes.size() > most_drawn)
        return "<p>" + number(w.nodes.size()) + " nodes: not drawn</p>";
    auto const places = layout(w);
    std::map<std::size_t, std::size_t> in_layer;
    std::size_t layers = 0, widest = 0;
    for (auto const & p : places) {
        layers = std::max(layers, p.layer + 1);
        widest = std::max(widest, ++in_layer[p.layer]);
    }
    auto const width = 2 * margin + widest * (box_width + gap_x), height = 2 * margin + layers * (box_height + gap_y);
    auto const left_of = [&](place const & p) {
        return margin + (widest - in_layer[p.layer]) * (box_width + gap_x) / 2 + p.column * (box_width + gap_x);
    };
    auto const top_of = [&](place const & p) { return margin + p.layer * (box_height + gap_y); };

    std::string svg = "<svg width=\"" + number(width) + "\" height=\"" + number(height) + "\" viewBox=\"0 0 "
                      + number(width) + " " + number(height) + "\" role=\"img\">";
    for (std::size_t i = 0; i != w.edges.size(); ++i) {
        auto const & [from, to] = w.edges[i];
        if (from >= places.size() || to >= places.size())
            continue;
        auto const x1 = left_of(places[from]) + box_width / 2, y1 = top_of(places[from]) + box_height;
        auto const x2 = left_of(places[to]) + box_width / 2, y2 = top_of(places[to]);
        auto const name = lathe::reflect::name_of(fates[i]);
        auto const bend = places[to].layer == places[from].layer + 1 ? std::size_t{0} : box_width * 2 / 3;
        svg.append("<path class=\"").append(name).append("\" marker-end=\"url(#").append(name).append(")\" d=\"M");
        svg += number(x1) + " " + number(y1) + " C" + number(x1 + bend) + " " + number(y1 + gap_y / 2) + " "
               + number(x2 + bend) + " " + number(y2 - std::min(y2, gap_y / 2)) + " " + number(x2) + " " + number(y2)
               + "\"><title>(" + number(from) + ", " + number(to) + ") ";
        svg.append(words_for(fates[i])).append("</title></path>");
    }
    for (std::size_t v = 0; v != places.size(); ++v) {
        bool const matched = match_of[v] != graph::none;
        auto const x = left_of(places[v]), y = top_of(places[v]);
        svg += "<g><title>" + html_escaped(number(v) + ": " + w.nodes[v]) + "</title><rect x=\"" + number(x) + "\" y=\""
               + number(y) + "\" width=\"" + number(box_width) + "\" height=\"" + number(box_height) + "\" rx=\"5\" "
               + (matched ? "class=\"matched\" fill=\"" + colour_of(match_of[v]) + "\"" : "class=\"alone\"")
               + "/><text x=\"" + number(x + 6) + "\" y=\"" + number(y + 15) + "\">"
               + html_escaped(number(v) + ": " + shortened(w.nodes[v], 22)) + "</text><text class=\"note\" x=\""
               + number(x + 6) + "\" y=\"" + number(y + 30) + "\">"
               + (matched ? "match " + number(std::size_t{match_of[v]} + 1) : std::string{"no partner"})
               + "</text></g>";
    }
    return svg + "</svg>";
}

// ---- tables ---------------------------------------------------------------------------------------------------------

std::string cells(evaluate::f_score const & s) {
    return "<td>" + number(s.precision) + "</td><td>" + number(s.recall) + "</td><td>" + number(s.f1) + "</td>";
}
std::string row(std::string_view name, evaluate::worfeval_averages const & a) {
    bool const failed = a.failed != 0;
    return "<tr><th>" + html_escaped(name) + "</th><td>" + number(a.pairs) + "</td><td>" + number(a.skipped)
           + "</td><td>" + number(a.failed) + "</td>" + cells(failed ? a.node_unfailed : a.node)
           + cells(failed ? a.graph_unfailed : a.graph) + "</tr>";
}
std::string table(std::vector<scored_set> const & sets, conformance_level level) {
    std::string html = "<table><tr><th>set</th><th>pairs</th><th>skipped</th><th>errors</th>";
    for (auto const * const score : {"chain", "graph"})
        for (auto const * const part : {" P", " R", " F1"})
            html.append("<th>").append(score).append(part).append("</th>");
    html += "</tr>";
    for (auto const & s : sets)
        html += row(s.name, level == conformance_level::reference ? s.reference : s.strict);
    return html + "</table>";
}
std::string result_of(evaluate::outcome what, std::string_view error, evaluate::f_score const & score,
                      std::string const & counts) {
    if (what == evaluate::outcome::failed)
        return "<td colspan=4>" + html_escaped(error) + "</td>";
    if (what == evaluate::outcome::skipped)
        return "<td colspan=4>no workflow in the prediction: 0</td>";
    return cells(score) + "<td>" + counts + "</td>";
}
std::string scores(scored_sample const & s) {
    auto const & [node, whole] = s.scores.reference;
    auto const & strict = s.scores.strict;
    auto const of = [](std::size_t common, std::size_t predicted, std::size_t gold) {
        return number(common) + " of " + number(predicted) + " predicted, " + number(gold) + " gold";
    };
    std::string html = "<table><tr><th></th><th>P</th><th>R</th><th>F1</th><th>nodes</th></tr>";
    html += "<tr><th>reference, chain</th>"
            + result_of(node.outcome, node.error, node.score, of(node.length, node.predicted, node.gold)) + "</tr>";
    html +=
        "<tr><th>strict, chain</th>"
        + result_of(strict.outcome, strict.error, strict.chain, of(strict.chain_length, strict.predicted, strict.gold))
        + "</tr>";
    html += "<tr><th>reference, graph</th>"
            + result_of(whole.outcome, whole.error, whole.score, of(whole.component, whole.predicted, whole.gold))
            + "</tr>";
    html += "<tr><th>strict, graph</th>"
            + result_of(strict.outcome, strict.error, strict.graph,
                        "induced " + number(strict.common.mcis) + ", connected " + number(strict.common.mccis)
                            + ", largest component " + of(strict.common.lcc_mapped, strict.predicted, strict.gold))
            + "</tr></table>";
    auto const steps = [&](std::string_view name, std::vector<evaluate::score_step> const & all) {
        for (auto const & step : all)
            html.append("<li>")
                .append(name)
                .append(" ")
                .append(number(step.before))
                .append(" &rarr; ")
                .append(number(step.after))
                .append(": ")
                .append(words_for(step.why))
                .append("</li>");
    };
    html += "<ul>";
    steps("chain", s.scores.node_steps);
    steps("graph", s.scores.graph_steps);
    return html + "</ul>";
}
std::string lost_edges(std::string_view whose, std::vector<evaluate::edge_detail> const & edges) {
    std::string html;
    for (auto const & e : edges) {
        if (e.reference == edge_fate::kept && e.strict == edge_fate::kept)
            continue;
        html += "<li>(" + number(e.edge.from) + ", " + number(e.edge.to) + ") ";
        html.append("reference: ")
            .append(words_for(e.reference))
            .append("; strict: ")
            .append(words_for(e.strict))
            .append("</li>");
    }
    return html.empty() ? html : "<h4>Edges of the " + std::string{whose} + "</h4><ul>" + html + "</ul>";
}

/// Numbers of matches by predicted and by gold position.
struct match_numbers {
    std::vector<graph::vertex> predicted, gold;
};
match_numbers matches_at(scored_sample const & s, conformance_level level) {
    match_numbers all;
    if (s.predicted)
        all.predicted.assign(s.predicted->nodes.size(), graph::none);
    if (s.gold)
        all.gold.assign(s.gold->nodes.size(), graph::none);
    graph::vertex count = 0;
    auto const match = [&](std::size_t i, std::size_t j) { all.predicted[i] = all.gold[j] = count++; };
    if (level == conformance_level::reference) {
        auto const & partner = s.scores.reference.graph.matches;
        for (std::size_t i = 0; i != partner.size(); ++i)
            if (partner[i] != graph::none)
                match(i, partner[i]);
    } else if (s.scores.strict.outcome == evaluate::outcome::scored) {
        auto const & partner = s.scores.strict.matches;
        match(0, 0);
        for (std::size_t i = 0; i != partner.size(); ++i)
            if (partner[i] != graph::none)
                match(i + 1, partner[i] + 1);
        match(all.predicted.size() - 1, all.gold.size() - 1);
    }
    return all;
}
std::vector<edge_fate> fates_at(evaluate::workflow const & w, std::vector<evaluate::edge_detail> const & details,
                                conformance_level level) {
    std::vector<edge_fate> fates(w.edges.size(), edge_fate::unmatched);
    for (std::size_t i = 0; i != details.size(); ++i)
        fates[i] = level == conformance_level::reference ? details[i].reference : details[i].strict;
    return fates;
}

std::string section(scored_sample const & s, conformance_level level) {
    auto const numbers = matches_at(s, level);
    auto const & e = s.scores;
    bool const differ = !e.node_steps.empty() || !e.graph_steps.empty();
    std::string html = "<details><summary>" + html_escaped(s.set + ": " + s.id);
    html += " &mdash; chain " + number(e.reference.node.score.f1) + " / " + number(e.strict.chain.f1) + ", graph "
            + number(e.reference.graph.score.f1) + " / " + number(e.strict.graph.f1) + (differ ? " <b>differ</b>" : "")
            + "</summary>" + scores(s) + "<div class=\"pair\"><div><h4>prediction</h4>";
    html += s.predicted ? drawing(*s.predicted, numbers.predicted, fates_at(*s.predicted, e.predicted_edges, level))
                        : "<p>no workflow</p>";
    html += "</div><div><h4>gold</h4>";
    html += s.gold ? drawing(*s.gold, numbers.gold, fates_at(*s.gold, e.gold_edges, level)) : "<p>no workflow</p>";
    html += "</div></div>" + lost_edges("prediction", e.predicted_edges) + lost_edges("gold workflow", e.gold_edges);
    return html + "</details>\n";
}

struct look {
    edge_fate fate;
    char const * colour;
    char const * dashes;
};
constexpr look looks[] = {{edge_fate::kept, "#1a7f37", "none"},         {edge_fate::outside, "#8c959f", "2 3"},
                          {edge_fate::unmatched, "#8c959f", "6 4"},     {edge_fate::missing, "#cf222e", "6 4"},
                          {edge_fate::other_numbers, "#bc4c00", "2 3"}, {edge_fate::left_out, "#8250df", "6 4"}};

} // namespace

std::string_view words_for(departure why) {
    switch (why) {
    case departure::reference_fails: return "the authors' program ends with an exception";
    case departure::strict_fails: return "the gold workflow cannot be scored";
    case departure::floor: return "a chain counts one node even if nothing matches";
    case departure::orders: return "only the first topological orders are looked at, or the listed one alone";
    case departure::indices: return "edges are compared by the numbers of their ends, not through the matching";
    case departure::matching: return "another matching is taken (a tie, or a marker matched with a subtask)";
    case departure::component:
        return "the largest connected component counts, not an induced subgraph: extra edges cost nothing";
    case departure::markers: return "START and END count as nodes";
    }
    return "";
}
std::string_view words_for(edge_fate fate) {
    switch (fate) {
    case edge_fate::kept: return "common";
    case edge_fate::outside: return "an end is no node";
    case edge_fate::unmatched: return "an end has no partner";
    case edge_fate::missing: return "not in the other graph";
    case edge_fate::other_numbers: return "in the other graph under other numbers";
    case edge_fate::left_out: return "an end is outside the common subgraph";
    }
    return "";
}

std::string worfeval_page(std::string_view title, std::vector<scored_set> const & sets,
                          std::vector<scored_sample> const & samples, conformance_level level) {
    std::string html = html_beginning(title)
                       + "<style>body{font:14px sans-serif;margin:2em}table{border-collapse:collapse;margin:"
                         "8px 0}td,th{padding:2px 8px;border:1px solid #d0d7de;text-align:right}th{text-align:left}"
                         "summary{cursor:pointer;padding:3px 0}.pair{display:flex;gap:24px;overflow-x:auto}svg text{"
                         "font:12px sans-serif}svg .note{font-size:10px;fill:#57606a}svg path{fill:none;stroke-width:"
                         "1.6}.matched{stroke:#57606a}.alone{fill:#fff;stroke:#8c959f;stroke-dasharray:4 3}";
    std::string markers, legend;
    for (auto const & [fate, colour, dashes] : looks) {
        auto const name = std::string{lathe::reflect::name_of(fate)};
        html += "svg path." + name + "{stroke:" + colour + ";stroke-dasharray:" + dashes + "}";
        markers += "<marker id=\"" + name
                   + "\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" "
                     "markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" style=\"fill:"
                   + colour + ";stroke:none\"/></marker>";
        legend.append("<li style=\"color:").append(colour).append("\">").append(words_for(fate)).append("</li>");
    }
    html += "</style></head><body><svg width=\"0\" height=\"0\" style=\"position:absolute\"><defs>" + markers
            + "</defs></svg><h1>" + html_escaped(title) + "</h1>";
    html += "<h2>Reference: the authors' program</h2>" + table(sets, conformance_level::reference)
            + "<h2>Strict: the paper</h2>" + table(sets, conformance_level::strict)
            + "<p>Where there are errors the means are over the other pairs.</p><h2>Pairs</h2><p>Scores: reference / "
              "strict. Matched nodes have one colour in both graphs; drawn at the level "
            + std::string{lathe::reflect::name_of(level)} + ". Edges:</p><ul>" + legend + "</ul>\n";
    for (auto const & s : samples)
        html += section(s, level);
    return html + "</body></html>\n";
}

} // namespace lathe_cli
