#!/usr/bin/env python3
"""Times the scoring of workflow pairs in Python, similarities given; prints JSON lines like those of worfeval_times.

    networkx_peer.py PAIRS.json [WORFBENCH]

Always: the same calls of networkx that WorFEval is defined by, written anew here (max_weight_matching for every order,
all topological orders listed, then the first 20). With a checkout of zjunlp/WorFBench: its own evaluator, unchanged, with
a stand-in for sentence_transformers that hands out the similarities (needs numpy).
"""
import json
import sys
import time
import types

import networkx as nx

pairs = json.load(open(sys.argv[1]))
for pair in pairs:
    width = len(pair["gold"]["nodes"])
    flat = pair["similarities"]
    pair["rows"] = [flat[i:i + width] for i in range(0, len(flat), width)]
    for side in ("predicted", "gold"):
        pair[side]["edges"] = [tuple(e) for e in pair[side]["edges"]]


def is_marker(node):
    return node in ("START", "END")


def matched(rows, columns, similarity):
    graph = nx.Graph()
    for place, i in enumerate(rows):
        for at, j in enumerate(columns):
            if similarity[i][j] > 0.6:
                graph.add_edge(place, str(at), weight=similarity[i][j])
    partner = [-1] * len(rows)
    for a, b in nx.max_weight_matching(graph):
        if isinstance(a, str):
            a, b = b, a
        partner[a] = int(b)
    return partner


def f1(common, predicted, gold):
    p, r = common / predicted, common / gold
    return 2 * p * r / (p + r)


def longest(partner):
    length = [1] * len(partner)
    for i, x in enumerate(partner):
        for j in range(i):
            if -1 < partner[j] < x:
                length[i] = max(length[i], length[j] + 1)
    return max(length)


def node_score(predicted, gold, similarity):
    rows = [i for i, node in enumerate(predicted["nodes"]) if not is_marker(node)]
    if len(gold["nodes"]) >= 10:
        orders = [list(range(len(gold["nodes"])))]
    else:
        graph = nx.DiGraph()
        graph.add_nodes_from(range(len(gold["nodes"])))
        graph.add_edges_from(gold["edges"])
        orders = [[v for v in order if not is_marker(gold["nodes"][v])] for order in nx.all_topological_sorts(graph)]
    return max(f1(longest(matched(rows, order, similarity)), len(rows), len(order)) for order in orders[:20])


def graph_score(predicted, gold, similarity):
    partner = matched(range(len(predicted["nodes"])), range(len(gold["nodes"])), similarity)
    left = {i for i, j in enumerate(partner) if j >= 0}
    right = {j for j in partner if j >= 0}
    common = [e for e in predicted["edges"] if e in gold["edges"] and left.issuperset(e) and right.issuperset(e)]
    graph = nx.Graph()
    graph.add_nodes_from(left)
    graph.add_edges_from(common)
    return f1(max(map(len, nx.connected_components(graph))), len(predicted["nodes"]), len(gold["nodes"]))


def measure(who, node, graph):
    best = {"node": float("inf"), "graph": float("inf")}
    mean = 0
    for _ in range(3):
        mean = 0
        for what, score in (("node", node), ("graph", graph)):
            start = time.perf_counter()
            total = sum(score(pair) for pair in pairs)
            best[what] = min(best[what], time.perf_counter() - start)
            mean += total / len(pairs)
    print(json.dumps({"who": who, "what": "reference, node and graph", "threads": 1, "pairs": len(pairs),
                      "us_a_pair": sum(best.values()) / len(pairs) * 1e6, "mean_f1": mean,
                      "node_us": best["node"] / len(pairs) * 1e6, "graph_us": best["graph"] / len(pairs) * 1e6,
                      "networkx": nx.__version__, "python": sys.version.split()[0]}))


measure("networkx", lambda p: node_score(p["predicted"], p["gold"], p["rows"]),
        lambda p: graph_score(p["predicted"], p["gold"], p["rows"]))

if len(sys.argv) > 2:
    import numpy

    known = {}  # similarities of the pair under way, by texts

    class Answer:
        def __init__(self, rows):
            self.rows = rows

        def cpu(self):
            return self

        def numpy(self):
            return self.rows

    class Encoder:
        def encode(self, texts, convert_to_tensor):
            return texts

    def cos_sim(a, b):
        return Answer(numpy.array([[known[x, y] for y in b] for x in a], dtype=numpy.float32))

    stand_in = types.ModuleType("sentence_transformers")
    stand_in.SentenceTransformer = Encoder
    stand_in.util = types.SimpleNamespace(cos_sim=cos_sim)
    sys.modules["sentence_transformers"] = stand_in
    sys.modules["tqdm"] = types.ModuleType("tqdm")
    sys.modules["tqdm"].tqdm = iter
    sys.path.insert(0, sys.argv[2])
    from evaluator import graph_evaluator

    for pair in pairs:
        pair["known"] = {(a, b): pair["rows"][i][j] for i, a in enumerate(pair["predicted"]["nodes"])
                         for j, b in enumerate(pair["gold"]["nodes"])}

    def theirs(score):
        def call(pair):
            global known
            known = pair["known"]
            return score(pair["predicted"], pair["gold"], Encoder())["f1_score"]
        return call

    measure("WorFBench", theirs(graph_evaluator.t_eval_nodes), theirs(graph_evaluator.t_eval_graph))
