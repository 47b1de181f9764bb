#!/usr/bin/env python3
"""scikit-fuzzy's own iteration (skfuzzy.cluster._cmeans._cmeans0) on the points of cluster_times, one JSON object a line."""
import json
import sys
import time

import numpy as np
from skfuzzy.cluster import _cmeans

x = np.load(sys.argv[1]).T.astype(np.float64)  # as it wants them: dimensions x points
for k in (8, 64):
    u = np.random.default_rng(0).random((k, x.shape[1]))
    times = []
    for _ in range(3):
        begin = time.process_time()
        u = _cmeans._cmeans0(x, u, k, 1.1, "euclidean")[1]
        times.append(time.process_time() - begin)
    print(json.dumps({"what": "scikit-fuzzy", "clusters": k, "m": 1.1, "threads": 1, "cpu_ms": 1e3 * min(times)}), flush=True)
