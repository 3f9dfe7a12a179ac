"""Makes tests/data/gguf_dequantize.txt: random blocks of each GGUF type and their values by the `gguf` package.

usage: make_gguf_goldens.py OUT      (pip install gguf==0.19.0 numpy; seed 20240609)
A line: type, blocks in hexadecimal, values as the bits of float32 in hexadecimal. Scales are finite halves, among them
subnormal and negative ones.
"""
import sys

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type
from gguf.quants import dequantize

# where each block has its half-precision numbers
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "F16": [0]}
rng = np.random.default_rng(20240609)
with open(sys.argv[1], "w") as out:
    for name in ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]:
        elements, size = GGML_QUANT_SIZES[Type[name]]
        blocks = {1: 24, 32: 6, 256: 3}[elements]
        raw = rng.integers(0, 256, (blocks, size), dtype=np.uint8)
        for at in HALVES.get(name, []):
            halves = rng.integers(0, 0x7C00, blocks, dtype=np.uint16) | (rng.integers(0, 2, blocks, dtype=np.uint16) << 15)
            halves[0] &= 0x83FF  # subnormal
            raw[:, at : at + 2] = halves.view(np.uint8).reshape(blocks, 2)
        if name in ("F32", "BF16"):
            raw[:, -1] &= 0xBF  # exponent below that of infinity
        values = dequantize(raw.reshape(1, -1), Type[name]).astype(np.float32).reshape(-1)
        assert np.isfinite(values).all() and len(values) == blocks * elements
        out.write(f"{name} {raw.tobytes().hex()} {values.view(np.uint32).astype('>u4').tobytes().hex()}\n")
