#!/usr/bin/env bash
# lathe watermark: a corpus that is made here is calibrated on, sampled from, and told apart, with every method; the page,
# the colours, the programs that are asked for candidates, embeddings from files, and what is refused.
source "$(dirname "$0")/common.sh"
water=(watermark)
fields=(--text-field sentences)

# Documents of sentences over a few topics, from a generator that needs nothing.
awk 'BEGIN {
    split("kernel disk boot driver module|bread flour oven yeast salt|river boat sail wind shore|court judge law trial proof|violin bow string chord opera", topics, "|")
    s = 12345
    for (d = 0; d < 260; d++) {
        line = "{\"id\": \"d" d "\", \"sentences\": ["
        s = (s * 1103515245 + 12345) % 2147483648; topic = int(s / 65536) % 5 + 1
        for (i = 0; i < 9; i++) {
            s = (s * 1103515245 + 12345) % 2147483648
            if (int(s / 65536) % 3 == 0) topic = int(s / 8388608) % 5 + 1
            n = split(topics[topic], words, " ")
            text = "Now"
            for (w = 0; w < 6; w++) { s = (s * 1103515245 + 12345) % 2147483648; text = text " " words[int(s / 65536) % n + 1] int(s / 16777216) % 7 }
            line = line (i ? ", " : "") "\"" text ".\""
        }
        print line "]}"
    }
}' /dev/null >all.jsonl
head -n 140 all.jsonl >human.jsonl
sed -n 141,200p all.jsonl >corpus.jsonl
tail -n 60 all.jsonl >held.jsonl

run 0 "${water[@]}" calibrate human.jsonl "${fields[@]}" --fuzzifier 1.02 --seed 1 --quiet -o mark.safetensors
cp mark.safetensors first.safetensors
for threads in 1 2; do
    run 0 "${water[@]}" calibrate human.jsonl "${fields[@]}" --fuzzifier 1.02 --seed 1 --threads $threads --json --quiet -o mark.safetensors
    [[ $out == *'"fitted_on": 70'* && $out == *'"calibrated_on": 70'* && $out == *'"conformal"'* ]] || fail "calibrate: $out"
    same mark.safetensors first.safetensors
done
run 0 "${water[@]}" sample held.jsonl "${fields[@]}" --watermark mark.safetensors --corpus corpus.jsonl --sentences 8 \
    --at-budget take_best --seed 2 -o marked.jsonl
[[ $out == "marked.jsonl: 60 texts, 480 sentences"* && $(wc -l <marked.jsonl) == 60 ]] || fail "sample: $out"
run 0 "${water[@]}" sample held.jsonl "${fields[@]}" --watermark mark.safetensors --corpus corpus.jsonl --sentences 8 \
    --at-budget take_best --seed 2 --batch 1 --threads 1 --json -o again.jsonl
[[ $out == *'"admitted": '* && $out == *'"max_sentences": 60'* ]] || fail "sample, json: $out"
same marked.jsonl again.jsonl

run 0 "${water[@]}" detect marked.jsonl "${fields[@]}" --watermark mark.safetensors --rate 0.05 --html page.html
[[ $out == *": marked; "* && $out == *"[prompt]"* && $out == *"  + "*"[rank "* && $out != *$'\x1b'* ]] || fail "detect: $out"
page=$(<page.html)
[[ $page == "<!DOCTYPE html>"*"</html>" && $page == *'class="hit"'* && $page != *http:* && $page != *"<script"* ]] || fail "page"
run 0 "${water[@]}" detect marked.jsonl "${fields[@]}" --watermark mark.safetensors --json
[[ $out == *'"decided_by": "conformal"'* && $out == *'"markov": '* && $out == *'"sequential": '* ]] || fail "json: $out"
cp out.txt one.txt
run 0 "${water[@]}" detect marked.jsonl "${fields[@]}" --watermark mark.safetensors --json --threads 2
same out.txt one.txt
if command -v script >/dev/null; then # on a terminal there are colours, unless NO_COLOR says not
    script -qec "'$LATHE_PROGRAM' watermark detect marked.jsonl --text-field sentences --watermark mark.safetensors" /dev/null >tty.txt </dev/null
    grep -q $'\x1b\\[32m' tty.txt || fail "no colours on a terminal"
    NO_COLOR=1 script -qec "'$LATHE_PROGRAM' watermark detect marked.jsonl --text-field sentences --watermark mark.safetensors" /dev/null >tty.txt </dev/null
    ! grep -q $'\x1b' tty.txt || fail "colours in spite of NO_COLOR"
fi

# rates OUT: checks that every calibrated detector keeps to its nominal rate within the interval.
rates() {
    python3 - "$1" <<'END'
import json, sys
r = json.load(open(sys.argv[1]))
for attack in r["attacks"]:
    for d in attack["detectors"]:
        assert d["human"] == 60, d
        for f in d["false_positives"]:
            if d["detector"] in ("conformal", "key"):
                assert f["interval"][0] <= f["nominal"], (r["method"]["method"], d["detector"], f)
clean = {d["detector"]: d for d in r["attacks"][0]["detectors"]}
best = max(d["auc"] for d in clean.values())
assert best > 0.85, (r["method"]["method"], best)
END
}
run 0 "${water[@]}" evaluate held.jsonl "${fields[@]}" --watermark mark.safetensors --marked marked.jsonl --json \
    --attack word_deletion:0.1 --attack sentence_deletion:0.2 --attack sentence_swap:0.3 --attack copy_paste:0.4 --attack truncation:0.5
[[ $out == *'"attack": "copy_paste 0.4"'* && $out == *'"rouge_l"'* ]] || fail "evaluate: $out"
rates out.txt || fail "rates of cohemark"
run 0 "${water[@]}" evaluate held.jsonl "${fields[@]}" --watermark mark.safetensors --marked marked.jsonl
[[ $out == "cohemark: 60 marked and 60 human documents"*"conformal "* ]] || fail "table: $out"

for method in "keyed_cohemark --fuzzifier 1.02 --key 7" semstamp k_semstamp simmark "hammingmark --bits 12"; do
    read -r name more <<<"$method"
    key=()
    [[ $name != keyed_cohemark ]] || key=(--key 7)
    # shellcheck disable=SC2086
    run 0 "${water[@]}" calibrate human.jsonl "${fields[@]}" --method $name $more --seed 1 --quiet -o other.safetensors
    run 0 "${water[@]}" sample held.jsonl "${fields[@]}" --watermark other.safetensors "${key[@]}" --corpus corpus.jsonl \
        --sentences 8 --at-budget take_best --margin 0 --seed 2 -o other.jsonl
    run 0 "${water[@]}" evaluate held.jsonl "${fields[@]}" --watermark other.safetensors "${key[@]}" --marked other.jsonl --json
    rates out.txt || fail "rates of $name"
    run 0 "${water[@]}" detect other.jsonl "${fields[@]}" --watermark other.safetensors "${key[@]}"
done

# A program of one's own, asked for candidates: what it answers, and what it must not.
cat >candidates.sh <<'END'
n=0
while read -r line; do
    n=$((n + 1))
    printf '{"candidates": [{"text": "Now boat%d sail%d wind%d.", "tokens": 4}, "Now bread%d."]}\n' $n $n $n $n
done
END
head -n 3 held.jsonl >prompts.jsonl
run 0 "${water[@]}" sample prompts.jsonl "${fields[@]}" --watermark mark.safetensors --process 'bash candidates.sh' --batch 2 \
    --sentences 3 --at-budget take_last -o own.jsonl
[[ $(wc -l <own.jsonl) == 3 && $(<own.jsonl) == *"Now b"* ]] || fail "process: $(<own.jsonl)"
asked=("${water[@]}" sample prompts.jsonl "${fields[@]}" --watermark mark.safetensors -o none.jsonl)
refuse 1 'at most 1' "${asked[@]}" --batch 1 --process 'bash candidates.sh'
refuse 1 "a list 'candidates'" "${asked[@]}" --process 'while read x; do echo "{}"; done'
refuse 1 'its answer: JSON' "${asked[@]}" --process 'while read x; do echo no; done'
refuse 1 'status 3; its last words: why' "${asked[@]}" --process 'read x; echo why >&2; exit 3'
refuse 1 'took longer than' "${asked[@]}" --process 'sleep 60' --timeout 0.2
[[ ! -e none.jsonl ]] || fail "a file was left of a sample that failed"

# Texts are cut into sentences; a line of text is a document.
printf '%s\n' 'Dr. Now kernel1 disk2. Now boot3 driver4! "Now module5." Now disk6.' '' 'Now <b>bread1 & salt2.' >lines.txt
run 0 "${water[@]}" detect lines.txt --watermark mark.safetensors --html lines.html --json
if [[ $out == *'"sentences": 4'* ]]; then
    [[ $out == *'"id": "3"'* ]] || fail "lines: $out"
    page=$(<lines.html)
    [[ $page == *'&lt;b&gt;bread1 &amp; salt2.'* && $page != *'<b>'* ]] || fail "not escaped"
else
    fail "sentences: $out"
fi
[[ $out == *'"conformal": null'* ]] || fail "a document of one sentence: $out"

# Embeddings: rows and how many of them each document has.
points=$LATHE_TEST_DATA/watermark/fcm_blobs/X.npy # 90 rows
for _ in 1 2 3 4 5 6 7 8 9; do echo 10; done >lengths.txt
run 0 "${water[@]}" calibrate "$points" --lengths lengths.txt --clusters 3 --fuzzifier 2 --seed 1 --quiet -o rows.safetensors
run 0 "${water[@]}" detect "$points" --lengths lengths.txt --watermark rows.safetensors --prompt-sentences 2
[[ $out == *"0: not marked; "*"of 8 sentences"*"sentence 9"* ]] || fail "rows: $out"
refuse 2 '--lengths: found nothing' "${water[@]}" detect "$points" --watermark rows.safetensors
echo 91 >wrong.txt
refuse 1 'found 90 rows, expected more' "${water[@]}" detect "$points" --lengths wrong.txt --watermark rows.safetensors
echo 89 >wrong.txt
refuse 1 'found 90 rows, expected 89' "${water[@]}" detect "$points" --lengths wrong.txt --watermark rows.safetensors
echo '5 x' >wrong.txt
refuse 1 "number 1: found 'x'" "${water[@]}" detect "$points" --lengths wrong.txt --watermark rows.safetensors
refuse 1 'dimensions, expected' "${water[@]}" detect "$points" --lengths lengths.txt --watermark mark.safetensors
refuse 2 'an attack on sentences' "${water[@]}" evaluate "$points" --lengths lengths.txt --watermark rows.safetensors \
    --marked "$points" --marked-lengths lengths.txt --attack word_deletion:0.1
run 0 "${water[@]}" evaluate "$points" --lengths lengths.txt --watermark rows.safetensors --marked "$points" \
    --marked-lengths lengths.txt --attack sentence_deletion:0.3
[[ $out == *"attack: sentence_deletion 0.3"$'\n'* ]] || fail "rows: $out"
refuse 2 '--marked: found texts, expected embeddings' "${water[@]}" evaluate "$points" --lengths lengths.txt \
    --watermark rows.safetensors --marked marked.jsonl "${fields[@]}"

# Tokens: of all tokens alone those are green that evidence says so of; a text of them is marked.
python3 - <<'END' >ids.jsonl
import json
print(json.dumps({"id": "all", "tokens": list(range(200))}))
END
unigram=("${water[@]}" tokens unigram --vocabulary 200)
run 0 "${unigram[@]}" ids.jsonl --json
[[ $out == *'"method": "unigram"'* && $out == *'"watermarked": false'* ]] || fail "tokens: $out"
python3 - out.txt <<'END' >ids.jsonl
import json, sys
evidence = json.load(open(sys.argv[1]))["results"][0]["evidence"]
green = [i for i, e in enumerate(evidence) if e == 1]
assert len(green) == 100, len(green)
print(json.dumps({"id": "green", "tokens": [7, 7] + green, "prompt": 2, "pieces": ["?", "?"] + [f"<w{i}>" for i in green]}))
print(json.dumps({"id": "other", "tokens": [i for i in range(200) if i not in green]}))
END
run 0 "${unigram[@]}" ids.jsonl --html tokens.html --threads 1
[[ $out == "green: marked; score "*"100 of 100 tokens"*"other: not marked; "* ]] || fail "tokens: $out"
page=$(<tokens.html)
[[ $page == *'class="hit" title="token '*'&lt;w'* && $page != *'<w'* && $page != *"?</span>"* ]] || fail "page of tokens"
run 0 "${water[@]}" tokens kgw --vocabulary 200 --gamma 0.25 ids.jsonl
run 0 "${water[@]}" tokens exp --vocabulary 200 ids.jsonl
refuse 1 'has no entropies' "${water[@]}" tokens sweet --vocabulary 200 ids.jsonl
refuse 1 'asks the language model for logits' "${water[@]}" tokens unbiased --vocabulary 200 ids.jsonl
refuse 2 'vocabulary: found 0' "${water[@]}" tokens kgw ids.jsonl
refuse 2 'an id below 100' "${water[@]}" tokens kgw --vocabulary 100 ids.jsonl
refuse 2 "'kgv': unknown method" "${water[@]}" tokens kgv ids.jsonl
refuse 2 'tokens: no method' "${water[@]}" tokens
refuse 2 'did you mean --gamma' "${water[@]}" tokens kgw --gama 1 ids.jsonl
echo '{"tokens": [1, -2]}' >bad.jsonl
refuse 1 'line 1: tokens: found -2' "${unigram[@]}" bad.jsonl
echo '{"tokens": [1, 2], "pieces": ["a"]}' >bad.jsonl
refuse 1 'pieces: found 1 elements, expected 2' "${unigram[@]}" bad.jsonl
echo '{"tokens": [1], "prompt": 2}' >bad.jsonl
refuse 1 'prompt: found 2' "${unigram[@]}" bad.jsonl

# What is refused.
refuse 2 'watermark: no command' "${water[@]}"
refuse 2 'DOCUMENTS: found nothing' "${water[@]}" calibrate -o x.safetensors
refuse 2 "--output: found 'x.bin'" "${water[@]}" calibrate human.jsonl -o x.bin
refuse 1 "no field 'text'" "${water[@]}" calibrate human.jsonl -o x.safetensors
refuse 2 'fit_share: found 1' "${water[@]}" calibrate human.jsonl "${fields[@]}" --fit-share 1 -o x.safetensors
refuse 2 'fit-share: found' "${water[@]}" calibrate human.jsonl "${fields[@]}" --fit-share 0 -o x.safetensors
refuse 1 'to fit on, expected at least 5000' "${water[@]}" calibrate human.jsonl "${fields[@]}" --clusters 5000 -o x.safetensors
refuse 2 '--centres: found with semstamp' "${water[@]}" calibrate human.jsonl "${fields[@]}" --method semstamp --centres c.npy -o x.safetensors
refuse 2 '--watermark: found nothing' "${water[@]}" detect held.jsonl "${fields[@]}"
refuse 1 "no 'lathe_watermark'" "${water[@]}" detect held.jsonl "${fields[@]}" --watermark "$LATHE_TEST_DATA/merge/data_f32/base.safetensors"
refuse 2 '--key: found with cohemark' "${water[@]}" detect held.jsonl "${fields[@]}" --watermark mark.safetensors --key 3
refuse 2 '--decide: found key' "${water[@]}" detect held.jsonl "${fields[@]}" --watermark mark.safetensors --decide key
refuse 2 'rate: found 0' "${water[@]}" detect held.jsonl "${fields[@]}" --watermark mark.safetensors --rate 0
run 0 "${water[@]}" calibrate human.jsonl "${fields[@]}" --method keyed_cohemark --fuzzifier 1.02 --quiet -o keyed.safetensors
refuse 2 '--key: found nothing' "${water[@]}" detect held.jsonl "${fields[@]}" --watermark keyed.safetensors
run 0 "${water[@]}" detect held.jsonl "${fields[@]}" --watermark keyed.safetensors --key 5
[[ $out == *", key p "* && $out != *conformal* ]] || fail "key: $out"
refuse 2 '--embedder: found minilm, expected hashing' "${water[@]}" detect none.jsonl "${fields[@]}" --watermark mark.safetensors --embedder minilm
refuse 2 'neither' "${water[@]}" sample held.jsonl "${fields[@]}" --watermark mark.safetensors -o x.jsonl
refuse 2 "--attack: found 'paraphrase:0.1'" "${water[@]}" evaluate held.jsonl "${fields[@]}" --watermark mark.safetensors --marked marked.jsonl --attack paraphrase:0.1
refuse 2 "--attack: found 'truncation:1'" "${water[@]}" evaluate held.jsonl "${fields[@]}" --watermark mark.safetensors --marked marked.jsonl --attack truncation:1
refuse 2 'did you mean --watermark' "${water[@]}" detect held.jsonl --watermarks mark.safetensors
printf '{"text": "A\xff."}\n' >bad.jsonl
refuse 1 'bad.jsonl: line 1' "${water[@]}" detect bad.jsonl --watermark mark.safetensors
printf 'ok.\nA\xff.\n' >bad.txt
refuse 1 'bad.txt: line 2: .*not UTF-8' "${water[@]}" detect bad.txt --watermark mark.safetensors
echo '{"text": 3}' >bad.jsonl
refuse 1 'line 1: text: found 3' "${water[@]}" detect bad.jsonl --watermark mark.safetensors
refuse 1 'cannot' "${water[@]}" detect held.jsonl "${fields[@]}" --watermark mark.safetensors --html none/page.html
head -c 2000 mark.safetensors >cut.safetensors
refuse 1 'cut.safetensors' "${water[@]}" detect held.jsonl "${fields[@]}" --watermark cut.safetensors
: >empty.jsonl
refuse 1 'no documents' "${water[@]}" calibrate empty.jsonl "${fields[@]}" -o x.safetensors
run 0 "${water[@]}" detect empty.jsonl "${fields[@]}" --watermark mark.safetensors --json
[[ $out == *'"results": []'* ]] || fail "no documents: $out"
[[ -z $(find . -name '.lathe-*') ]] || fail "a temporary file was left behind"

# A model whose description was changed is refused with the file's name.
python3 - <<'END'
import json, struct
raw = open("mark.safetensors", "rb").read()
n = struct.unpack("<Q", raw[:8])[0]
header = json.loads(raw[8 : 8 + n])
def write(name, change):
    about = json.loads(header["__metadata__"]["lathe_watermark"])
    change(about)
    new = dict(header, __metadata__={"lathe_watermark": json.dumps(about)})
    text = json.dumps(new).encode()
    text += b" " * (-len(text) % 8)
    open(name, "wb").write(struct.pack("<Q", len(text)) + text + raw[8 + n :])
write("m0.safetensors", lambda a: a.update(version=2))
write("m1.safetensors", lambda a: a["method"].update(clusters=9))
write("m2.safetensors", lambda a: a["method"].update(fuzzifier=1))
write("m3.safetensors", lambda a: a["method"].update(colour=1))
write("m4.safetensors", lambda a: a.update(human_rate=7))
write("m5.safetensors", lambda a: a.pop("dimension"))
END
patterns=('version: found 2' 'vectors: found F64 of shape' 'fuzzifier' 'colour' 'human_rate: found 7' "no 'dimension'")
for i in 0 1 2 3 4 5; do
    refuse 1 "m$i.safetensors: .*${patterns[$i]}" "${water[@]}" detect held.jsonl "${fields[@]}" --watermark "m$i.safetensors"
done

# Many documents are taken a few thousand at a time: the results are those of parts, in order; what is wrong with the last is
# said before anything of the first is printed.
awk 'BEGIN {
    split("kernel disk boot bread oven yeast river sail wind court judge violin", words, " ")
    s = 77
    for (d = 0; d < 17000; d++) {
        line = "{\"id\": \"d" d "\", \"sentences\": ["
        for (i = 0; i < 2 + d % 2; i++) {
            s = (s * 1103515245 + 12345) % 2147483648
            line = line (i ? ", " : "") "\"Now " words[int(s / 65536) % 12 + 1] " " words[int(s / 1048576) % 12 + 1] ".\""
        }
        print line "]}"
    }
}' /dev/null >many.jsonl
run 0 "${water[@]}" detect many.jsonl "${fields[@]}" --watermark mark.safetensors --html many.html
mv out.txt whole.txt
[[ $(grep -c 'marked; ' whole.txt) == 17000 && $(grep -c '<h2>' many.html) == 17000 && $(tail -c 8 many.html) == '</html>' ]] || fail "many"
head -n 9001 many.jsonl >part1.jsonl
tail -n +9002 many.jsonl >part2.jsonl
: >parts.txt
for part in 1 2; do
    run 0 "${water[@]}" detect part$part.jsonl "${fields[@]}" --watermark mark.safetensors
    cat out.txt >>parts.txt
done
same whole.txt parts.txt
run 0 "${water[@]}" detect many.jsonl "${fields[@]}" --watermark mark.safetensors --json
python3 - <<'END'
import json
results = json.load(open("out.txt"))["results"]
assert [r["id"] for r in results] == [f"d{i}" for i in range(17000)]
END
echo '{"sentences": 3}' >>many.jsonl
rm many.html
refuse 1 'many.jsonl: line 17001: sentences: found 3' "${water[@]}" detect many.jsonl "${fields[@]}" --watermark mark.safetensors --html many.html
[[ ! -e many.html ]] || fail "a page of what was refused"
