#!/usr/bin/env python3
"""A loss for `lathe` to minimise, as a program: cross-entropy of the quickstart's perceptron on handwritten digits.

    objective_numpy.py PARAMS GRADIENT LOSS [--data CSV] [--first ROW] [--rows COUNT]

Reads the parameters from PARAMS, writes the gradient of the loss by each of them to GRADIENT (both safetensors) and
{"loss": number} to LOSS. That is all an objective has to do: with PyTorch it is load_state_dict, backward, and
save_file({name: p.grad for name, p in model.named_parameters()}). Needs numpy and safetensors.
"""
import argparse
import json
import pathlib

import numpy as np
from safetensors.numpy import load_file, save_file

parser = argparse.ArgumentParser()
parser.add_argument("params")
parser.add_argument("gradient")
parser.add_argument("loss")
parser.add_argument("--data", default=pathlib.Path(__file__).parent / "data" / "optdigits.csv")
parser.add_argument("--first", type=int, default=0)
parser.add_argument("--rows", type=int, default=None)
args = parser.parse_args()

table = np.loadtxt(args.data, delimiter=",", dtype=np.float32, skiprows=args.first, max_rows=args.rows, ndmin=2)
x, labels = table[:, :64] / 16, table[:, 64].astype(int)
p = {name: value.astype(np.float32) for name, value in load_file(args.params).items()}

# forward: 64 pixels, one hidden layer with max(z, 0), ten classes
hidden = np.maximum(x @ p["hidden.weight"].T + p["hidden.bias"], 0)
logits = hidden @ p["output.weight"].T + p["output.bias"]
logits -= logits.max(axis=1, keepdims=True)
log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
rows = np.arange(len(labels))
loss = -log_p[rows, labels].mean()

# backward
d_logits = np.exp(log_p)
d_logits[rows, labels] -= 1
d_logits /= len(labels)
d_hidden = (d_logits @ p["output.weight"]) * (hidden > 0)
gradient = {
    "output.weight": d_logits.T @ hidden,
    "output.bias": d_logits.sum(axis=0),
    "hidden.weight": d_hidden.T @ x,
    "hidden.bias": d_hidden.sum(axis=0),
}

save_file({name: np.ascontiguousarray(value) for name, value in gradient.items()}, args.gradient)
pathlib.Path(args.loss).write_text(json.dumps({"loss": float(loss)}))
