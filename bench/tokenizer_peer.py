#!/usr/bin/env python3
"""bench_tokenizer against Hugging Face `tokenizers`, in turn in the same run, one thread each, CPU time, best of RUNS.

usage: tokenizer_peer.py BENCH_TOKENIZER DOCUMENTS.jsonl RUNS TOKENIZER.json...        (needs `pip install tokenizers`)

DOCUMENTS has lines {"text": ...}. Both count tokens: different numbers are an error. Prints MB of text a second, and the ratio.
"""
import json
import os
import re
import subprocess
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
import tokenizers

CALLS = ("encode", "decode")


def peer(tokenizer, texts, megabytes):
    start = time.process_time()
    encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    middle = time.process_time()
    tokenizer.decode_batch([e.ids for e in encodings], skip_special_tokens=False)
    return megabytes / (middle - start), megabytes / (time.process_time() - middle), sum(len(e) for e in encodings)


def ours(bench, path, documents):
    said = subprocess.run([bench, path, documents], capture_output=True, text=True, check=True).stdout
    return *(float(re.search(call + r" ([\d.]+) MB/s", said)[1]) for call in CALLS), int(re.search(r"(\d+) tokens", said)[1])


def main():
    bench, documents, runs, *paths = sys.argv[1:]
    texts = [json.loads(line)["text"] for line in open(documents, encoding="utf-8")]
    megabytes, wrong = sum(len(text.encode()) for text in texts) * 1e-6, 0
    for path in paths:
        tokenizer, best = tokenizers.Tokenizer.from_file(path), {"tokenizers": [0, 0, 0], "dice": [0, 0, 0]}
        for _ in range(int(runs)):
            for name, found in (("tokenizers", peer(tokenizer, texts, megabytes)), ("dice", ours(bench, path, documents))):
                best[name] = [max(a, b) for a, b in zip(best[name], found)]
        theirs, mine = best["tokenizers"], best["dice"]
        wrong |= theirs[2] != mine[2]
        print(f"{'/'.join(path.split('/')[-2:])}: {megabytes:.1f} MB, {mine[2]} tokens (tokenizers {tokenizers.__version__}: {theirs[2]})")
        for i, call in enumerate(CALLS):
            print(f"  {call}  dice {mine[i]:7.1f} MB/s   tokenizers {theirs[i]:6.1f}   ratio {mine[i] / theirs[i]:.1f}", flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(main())
