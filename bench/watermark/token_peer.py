"""KGW detection as published code does it: torch.randperm of the vocabulary for each token, then a search in its first
half. A part of the texts of token_times is measured; the whole follows from it. One JSON object a line."""
import json
import sys
import time

import numpy
import torch

torch.set_num_threads(1)
vocabulary, length, measured = 50272, 200, 3
key, gamma = 15485863, 0.5
texts = numpy.fromfile(sys.argv[1], dtype=numpy.uint32).reshape(-1, length)
generator = torch.Generator()
generator.manual_seed(key)
prf = torch.randperm(vocabulary, generator=generator)


def green(before, token):
    generator.manual_seed((key * int(prf[int(before) % vocabulary])) % vocabulary)
    return token in torch.randperm(vocabulary, generator=generator)[: int(vocabulary * gamma)]


begin = time.process_time()
hits = 0
for text in texts[:measured]:
    ids = torch.tensor(text.astype(numpy.int64))
    hits += sum(bool(green(ids[i - 1], ids[i])) for i in range(1, length))
seconds = time.process_time() - begin
print(json.dumps({"what": "torch", "version": torch.__version__, "texts": measured, "hits": hits,
                  "us_a_token": 1e6 * seconds / (measured * length)}))
