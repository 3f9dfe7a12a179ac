#!/usr/bin/env python3
"""Adapters of `dice` in transformers + peft, and theirs in `dice`: the same logits, and the same merged weights.

usage: tests/parity/peft_adapters.py CHECKPOINT...   (Hugging Face directories; small ones, such as ../shared/oracle/tiny/*/model)
Needs requirements.txt in an environment of its own: this is no part of `make check`. DICE names the program.
"""
import json, os, pathlib, random, subprocess, sys, tempfile

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

DICE = os.environ.get("DICE", str(pathlib.Path(__file__).resolve().parents[2] / "build/dice"))
BOUND = 1e-4  # of a logit, float32
failures = 0


def dice(*arguments):
    done = subprocess.run([DICE, *map(str, arguments), "--quiet"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"dice {' '.join(map(str, arguments))}: {done.stderr}")


def say(what, error, bound=BOUND):
    global failures
    failures += not error <= bound
    print(f"{'ok' if error <= bound else 'OFF':4}{what}: {error:.2e}", flush=True)


def logits_of_dice(place, model, rows, *more):
    (place / "rows.jsonl").write_text("".join(json.dumps({"ids": ids}) + "\n" for ids in rows))
    dice("inspect", "logits", model, "--tokens", place / "rows.jsonl", "--out", place / "logits.safetensors", "--precision", "float32", *more)
    found = load_file(place / "logits.safetensors")
    return [found[f"{n}.logits"] for n in range(len(rows))]


@torch.no_grad()
def largest(model, rows, found):
    return max((model(torch.tensor([ids])).logits[0] - logits).abs().max().item() for ids, logits in zip(rows, found))


def base(checkpoint):
    return AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32, attn_implementation="eager").eval()


def check(checkpoint, place, rng):
    vocabulary = json.loads((checkpoint / "config.json").read_text())["vocab_size"]
    ids = lambda n: [rng.randrange(3, vocabulary) for _ in range(n)]
    rows = [ids(n) for n in (3, 17, 40)]
    pairs = [{"prompt_ids": ids(6), "chosen_ids": ids(9), "rejected_ids": ids(5)} for _ in range(8)]
    (place / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    name = checkpoint.parent.name if checkpoint.name == "model" else checkpoint.name
    for n, more in enumerate((["lora.r=4"], ["lora.r=3", "lora.rslora=true", "lora.alpha=5", "lora.target_modules=[v_proj, down_proj]"])):
        ours = place / f"ours-{n}"
        dice("train", "--model", checkpoint, "--data", place / "pairs.jsonl", "--out", ours, "--precision", "float32",
             *(w for s in ["train.steps=4", "train.pairs_per_step=4", "train.learning_rate=3e-2", *more] for w in ("--set", s)))
        model = PeftModel.from_pretrained(base(checkpoint), ours).eval()
        plain = largest(base(checkpoint), rows, logits_of_dice(place, checkpoint, rows, "--adapter", ours))
        say(f"{name}: an adapter of dice ({', '.join(more)}) in peft, logits", largest(model, rows, logits_of_dice(place, checkpoint, rows, "--adapter", ours)))
        say(f"{name}: that adapter changes logits (1 / change)", 1 / plain, 100)
        dice("export", checkpoint, place / f"merged-{n}", "--adapter", ours, "--merge", "--dtype", "float32")
        merged, found = model.merge_and_unload().state_dict(), load_file(place / f"merged-{n}" / "model.safetensors")
        say(f"{name}: merged weights", max((found[k] - merged[k]).abs().max().item() for k in found), 1e-6)
    theirs = get_peft_model(base(checkpoint), LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM"))
    theirs.eval().save_pretrained(place / "theirs")
    say(f"{name}: an adapter of peft in dice, logits", largest(theirs, rows, logits_of_dice(place, checkpoint, rows, "--adapter", place / "theirs")), 10 * BOUND)


def main():
    torch.manual_seed(1)
    rng = random.Random(1)
    for checkpoint in map(pathlib.Path, sys.argv[1:]):
        with tempfile.TemporaryDirectory(prefix="dice-parity-") as place:
            check(checkpoint.resolve(), pathlib.Path(place), rng)
    print(f"{failures} off")
    return failures > 0


sys.exit(main())
