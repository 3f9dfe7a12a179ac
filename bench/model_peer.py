#!/usr/bin/env python3
"""`dice train` and `dice sample` against TRL and transformers: the same work, in turn in the same run, all cores.

usage: model_peer.py DICE CHECKPOINT RUNS WORK...       WORK: train-bf16 train-float32 sample-bf16 sample-float32
needs `pip install torch transformers trl`, and no other load on the machine.

train: DPO on pairs of 128 + 2 x 128 random tokens, 8 pairs a step, reference log-probs computed before; seconds of the better of two steps, and the
peak memory of the process. sample: 4 prompts of 128 tokens, 16 responses of exactly 128 to each, temperature 1; tokens a second, of `dice`
start and loading included, of transformers not. `dice` takes its precision `auto`, the others the one that WORK names. Prints the best of RUNS.
"""
import json
import os
import random
import subprocess
import sys
import tempfile
import time

PAIRS, PROMPTS, RESPONSES, TOKENS, STEPS = 8, 4, 16, 128, 2


def write_rows(folder):
    draw = random.Random(1)
    ids = lambda: [draw.randrange(100, 40000) for _ in range(TOKENS)]
    with open(f"{folder}/pairs.jsonl", "w") as pairs:
        for _ in range(PAIRS * STEPS):
            pairs.write(json.dumps({"prompt_ids": ids(), "chosen_ids": ids(), "rejected_ids": ids()}) + "\n")
    with open(f"{folder}/prompts.jsonl", "w") as prompts:
        for _ in range(PROMPTS):
            prompts.write(json.dumps({"prompt_ids": ids()}) + "\n")


def rows_of(path):
    return [json.loads(line) for line in open(path)]


# ---- each peer runs in a process of its own, and prints its rate as the last line

def trl_train(checkpoint, folder, precision):
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import DPOConfig, DPOTrainer

    class Clock(TrainerCallback):
        seconds = []

        def on_step_begin(self, *_, **__):
            self.start = time.perf_counter()

        def on_step_end(self, *_, **__):
            self.seconds.append(time.perf_counter() - self.start)

    class Tokenized(DPOTrainer):
        def _prepare_dataset(self, dataset, *_):
            return dataset

    settings = DPOConfig(output_dir=f"{folder}/trl", per_device_train_batch_size=PAIRS, max_steps=STEPS, learning_rate=1e-6, report_to=[],
                         precompute_ref_log_probs=True, bf16=precision == "bf16", use_cpu=True, max_length=None, save_strategy="no",
                         gradient_checkpointing=False, disable_tqdm=True)
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    Tokenized(model=model, args=settings, train_dataset=Dataset.from_list(rows_of(f"{folder}/pairs.jsonl")),
              processing_class=AutoTokenizer.from_pretrained(checkpoint), callbacks=[Clock()]).train()
    print(PAIRS / min(Clock.seconds))


def transformers_sample(checkpoint, folder, precision):
    import torch
    from transformers import AutoModelForCausalLM
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    ids = torch.tensor([row["prompt_ids"] for row in rows_of(f"{folder}/prompts.jsonl")])
    start = time.perf_counter()
    made = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=True, temperature=1.0, top_k=0, top_p=1.0, pad_token_id=0,
                          num_return_sequences=RESPONSES, min_new_tokens=TOKENS, max_new_tokens=TOKENS)
    assert made.shape == (PROMPTS * RESPONSES, 2 * TOKENS)
    print(PROMPTS * RESPONSES * TOKENS / (time.perf_counter() - start))


PEERS = {"train": trl_train, "sample": transformers_sample}


# ---- ours

def dice_train(dice, checkpoint, folder):
    command = [dice, "train", "-q", "-m", checkpoint, "-d", f"{folder}/pairs.jsonl", "-o", f"{folder}/out", "--set", f"train.pairs_per_step={PAIRS}",
               "--set", f"train.steps={STEPS}", "--set", "train.learning_rate=1e-6", "--metrics", f"{folder}/metrics.jsonl"]
    _, memory = run(command)
    rate = PAIRS / min(row["seconds"] for row in rows_of(f"{folder}/metrics.jsonl"))
    subprocess.run(["rm", "-rf", f"{folder}/out", f"{folder}/out.checkpoints", f"{folder}/metrics.jsonl"], check=True)
    return rate, memory


def dice_sample(dice, checkpoint, folder):
    start = time.perf_counter()
    _, memory = run([dice, "sample", "-q", "-m", checkpoint, "-d", f"{folder}/prompts.jsonl", "-o", f"{folder}/responses.jsonl", "-k", str(RESPONSES),
                     "-n", str(TOKENS), "--temperature", "1", "--stop", "3"])
    seconds = time.perf_counter() - start
    made = sum(len(ids) for row in rows_of(f"{folder}/responses.jsonl") for ids in row["response_ids"])
    return made / seconds, memory


def run(command):
    """The last line that a program prints, and its peak memory in GiB."""
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(command, stdout=said, stderr=errors, text=True)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0), errors.seek(0)
        if child.returncode:
            sys.exit(f"{' '.join(command)}: exit code {child.returncode}\n{errors.read()[-2000:]}")
        lines = said.read().splitlines()
    return lines[-1] if lines else "", usage.ru_maxrss / 2**20


def main():
    if sys.argv[1] == "--peer":
        name, *rest = sys.argv[2:]
        return PEERS[name](*rest)
    dice, checkpoint, runs, *works = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        write_rows(folder)
        for work in works:
            kind, _, variant = work.partition("-")
            ours, unit = (dice_train, "pairs/s") if kind == "train" else (dice_sample, "tokens/s")
            best = {"dice": (0, 0), work: (0, 0)}
            for _ in range(int(runs)):
                rate, memory = run([sys.executable, __file__, "--peer", kind, checkpoint, folder, variant])
                best[work] = max(best[work], (float(rate), memory))
                best["dice"] = max(best["dice"], ours(dice, checkpoint, folder))
            for name, (rate, memory) in best.items():
                print(f"{name:24.60} {rate:8.2f} {unit}  peak memory {memory:5.2f} GiB")
            print(f"{'ratio':24} {best['dice'][0] / best[work][0]:8.1f}          {best['dice'][1] / best[work][1]:17.2f}", flush=True)


main()
