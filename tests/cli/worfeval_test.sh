#!/usr/bin/env bash
# lathe worfeval: WorFBench's files as they are, both levels, JSON, the page, and what it refuses.
source "$(dirname "$0")/common.sh"

mkdir -p gold/kitchen
cat >gold/kitchen/graph_eval.json <<'END'
[{"id": "k_0", "conversations": [{"role": "user", "content": "Make tea."},
  {"role": "assistant", "content": "Node:\n1: boil the water\n2: warm the pot\n3: pour the water on the leaves\nEdge: (START,1) (START,2) (1,3) (2,3) (3,END)"}]},
 {"id": "k_1", "conversations": [{"role": "assistant", "content": "Node:\n1: open the door\n2: walk out\nEdge: (START,1) (1,2) (2,END)"}]}]
END
cat >predicted.json <<'END'
[{"query": {}, "workflow": "Node:\n1: warm the pot\n2: boil the water\n3: pour the water on the leaves\nEdge: (START,1) (START,2) (1,3) (2,3) (3,END)"},
 {"query": {}, "workflow": null}]
END
cat >predicted.jsonl <<'END'
{"answer": {"choices": [{"message": {"content": "Node:\n1: warm the pot\n2: boil the water\n3: pour the water on the leaves\nEdge: (START,1) (START,2) (1,3) (2,3) (3,END)"}}]}}
{"answer": {"choices": [{"message": {"content": null}}]}}
END
score=(worfeval --gold gold/kitchen/graph_eval.json --embedder hashing)

# The first prediction is the gold workflow with its two parallel steps listed the other way round, which costs nothing at
# either level. The second is none: it counts 0.
run 0 "${score[@]}" --predicted predicted.json
[[ $out == *"kitchen"*" 2        1       0   0.5000  0.5000  0.5000   0.5000  0.5000  0.5000"* ]] || fail "table: $out"
table=$out
run 0 "${score[@]}" --predicted predicted.jsonl
[[ $out == "$table" ]] || fail "jsonl: $out"
run 0 "${score[@]}" --predicted predicted.json --conformance strict --threads 2
[[ $out == "strict"* && $out != *reference* ]] || fail "one level: $out"
run 0 "${score[@]}" --predicted predicted.json --json --html page.html
[[ ${out:0:1} == '{' && $out == *'"embedder": "hashing"'* && $out == *'"id": "k_1"'* && $out == *'"outcome": "skipped"'* ]] ||
    fail "json: $out"
page=$(<page.html)
[[ $page == "<!DOCTYPE html>"*"</html>" && $page == *"<svg"*"warm the pot"* ]] || fail "page: $page"
[[ $page != *http:* && $page != *https:* && $page != *"<script"* ]] || fail "the page asks for more than itself"
[[ -z $(find . -name '.lathe-*') ]] || fail "a temporary file was left behind"

# Texts are escaped; a gold workflow that the authors' program dies of is an error of that pair alone.
cat >gold/kitchen/hostile.json <<'END'
[{"conversations": [{"content": "Node:\n1: <script>alert(1)</script> & \"more\"\nEdge: (START,1) (1,1) (1,END)"}]}]
END
cat >hostile.json <<'END'
[{"workflow": "Node:\n1: <script>alert(1)</script>\nEdge: (START,1) (1,END) (7,8) (99999999999999999999,1)"}]
END
run 0 worfeval --gold gold/kitchen/hostile.json --predicted hostile.json --embedder hashing --html hostile.html --json
[[ $out == *'"error": "UnboundLocalError"'* && $out == *'"error": "gold_cyclic"'* && $out == *'"node": null'* ]] ||
    fail "errors: $out"
page=$(<hostile.html)
[[ $page != *"<script"* && $page == *"&lt;script&gt;"* ]] || fail "not escaped"

# Two sets, and the means over all pairs.
run 0 worfeval --gold gold/kitchen/graph_eval.json --predicted predicted.json --gold gold/kitchen/hostile.json \
    --predicted hostile.json --embedder hashing
[[ $out == *"1*"* && $out == *"without an error"* ]] || fail "errors in the table: $out"

# Embeddings from a file that is not there, or is something else.
echo '["START", "END"]' >strings.json
refuse 1 'no such file|No such file' "${score[@]/hashing/file}" --predicted predicted.json --embeddings none.safetensors --strings strings.json
refuse 2 '--embeddings: found nothing' worfeval --gold gold/kitchen/graph_eval.json --predicted predicted.json
refuse 2 'found hashing' "${score[@]}" --predicted predicted.json --strings strings.json
refuse 1 'tensors: found 60' "${score[@]/hashing/file}" --predicted predicted.json \
    --embeddings "$LATHE_TEST_DATA/worfeval/matching_similarities.safetensors" --strings strings.json

refuse 2 '--predicted: found 0 files' "${score[@]}"
refuse 2 'threshold: found 7' "${score[@]}" --predicted predicted.json --threshold 7e9
refuse 2 'did you mean --conformance' "${score[@]}" --predicted predicted.json --conformanc strict
head -n 1 predicted.jsonl >one.jsonl
refuse 1 'found 1 predictions, expected 2' "${score[@]}" --predicted one.jsonl
echo '{"answer": 3}' >>one.jsonl
refuse 1 'record 1: answer' "${score[@]}" --predicted one.jsonl
echo '{"workflow": ' >broken.jsonl
refuse 1 'line 1: JSON' "${score[@]}" --predicted broken.jsonl
echo '[{"workflow": 3}, {}]' >broken.json
refuse 1 'record 0: workflow: found number' "${score[@]}" --predicted broken.json
printf '[{"workflow": "\xff"}, {}]' >broken.json
refuse 1 'JSON' "${score[@]}" --predicted broken.json
refuse 1 'cannot' "${score[@]}" --predicted predicted.json --html none/page.html
