"""Hugging Face `tokenizers` on the same documents as bench_tokenizer, one thread, CPU time, best of RUNS.

usage: tokenizer_peer.py TOKENIZER.json DOCUMENTS.jsonl [RUNS]        (needs `pip install tokenizers`)
"""
import json
import os
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
import tokenizers

path, documents, runs = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 3
texts = [json.loads(line)["text"] for line in open(documents, encoding="utf-8")]
megabytes = sum(len(text.encode()) for text in texts) * 1e-6
start = time.process_time()
tokenizer = tokenizers.Tokenizer.from_file(path)
load, encode, decode, ids = time.process_time() - start, 0.0, 0.0, []
for _ in range(runs):
    start = time.process_time()
    ids = [e.ids for e in tokenizer.encode_batch(texts, add_special_tokens=False)]
    middle = time.process_time()
    tokenizer.decode_batch(ids, skip_special_tokens=False)
    encode = max(encode, megabytes / (middle - start))
    decode = max(decode, megabytes / (time.process_time() - middle))
print(f"{path}: tokenizers {tokenizers.__version__}, {sum(map(len, ids))} tokens; load {load:.3f} s, encode {encode:.1f} MB/s, decode {decode:.1f} MB/s")
