#!/usr/bin/env python3
"""A loss for `lathe` to minimise, by PyTorch: cross-entropy of the quickstart's perceptron on handwritten digits.

    lathe merge frank_wolfe expert*.safetensors -o merged.safetensors \\
        --objective-command "examples/objective_torch.py {params} {gradient} {loss}"

For every evaluation lathe writes the parameters to PARAMS and runs this, which leaves the gradient of the loss by each of
them in GRADIENT (both safetensors) and {"loss": number} in LOSS. Your model and your data take the place of `Perceptron`
and `digits`; the rest stays. Needs torch and safetensors.
"""
import argparse
import json
import pathlib

import torch
from safetensors.torch import load_file, save_file


class Perceptron(torch.nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.hidden = torch.nn.Linear(64, hidden)
        self.output = torch.nn.Linear(hidden, 10)

    def forward(self, x):
        return self.output(torch.relu(self.hidden(x)))


def digits(path, first, rows):
    """Rows of 64 pixels, from 0 to 16, and a digit."""
    lines = path.read_text().splitlines()[first:None if rows is None else first + rows]
    table = torch.tensor([[float(v) for v in line.split(",")] for line in lines])
    return table[:, :64] / 16, table[:, 64].long()


parser = argparse.ArgumentParser()
parser.add_argument("params")
parser.add_argument("gradient")
parser.add_argument("loss")
parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path(__file__).parent / "data" / "optdigits.csv")
parser.add_argument("--first", type=int, default=0)
parser.add_argument("--rows", type=int, default=None)
args = parser.parse_args()

device = "cuda" if torch.cuda.is_available() else "cpu"
params = load_file(args.params)
model = Perceptron(len(params["hidden.bias"]))
model.load_state_dict(params)  # strict: a tensor that is missing or left over is an error, which lathe shows
model.to(device).eval()  # no dropout: the same parameters have to give the same loss

x, labels = digits(args.data, args.first, args.rows)
loss = torch.nn.functional.cross_entropy(model(x.to(device)), labels.to(device))
loss.backward()

# A parameter that the loss does not see has no gradient in torch; lathe wants one for every tensor.
gradient = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in model.named_parameters()}
save_file({name: g.cpu().contiguous() for name, g in gradient.items()}, args.gradient)
pathlib.Path(args.loss).write_text(json.dumps({"loss": loss.item()}))
