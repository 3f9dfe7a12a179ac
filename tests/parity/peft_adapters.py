#!/usr/bin/env python3
"""Adapters of `dice` in transformers + peft, and theirs in `dice`: the same logits, and the same merged weights.

usage: tests/parity/peft_adapters.py CHECKPOINT...   (Hugging Face directories; small ones, such as ../shared/oracle/tiny/*/model)
Needs requirements.txt in an environment of its own: this is no part of `make check`. DICE names the program.
"""
import pathlib, sys

from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
from beside import base, dice, largest, logits_of_dice, run, same_logits, say, train


def check(checkpoint, name, place, rows, pairs):
    for n, more in enumerate((["lora.r=4"], ["lora.r=3", "lora.rslora=true", "lora.alpha=5", "lora.target_modules=[v_proj, down_proj]"])):
        ours = place / f"ours-{n}"
        train(checkpoint, place, ours, pairs, "train.learning_rate=3e-2", *more)
        model = PeftModel.from_pretrained(base(checkpoint).eval(), ours).eval()
        found = logits_of_dice(place, checkpoint, rows, "--adapter", ours)
        plain = largest(base(checkpoint).eval(), rows, found)
        same_logits(f"{name}: an adapter of dice ({', '.join(more)}) in peft", model, rows, found)
        say(f"{name}: that adapter changes logits (1 / change)", 1 / plain, 100)
        dice("export", checkpoint, place / f"merged-{n}", "--adapter", ours, "--merge", "--dtype", "float32")
        merged, found = model.merge_and_unload().state_dict(), load_file(place / f"merged-{n}" / "model.safetensors")
        say(f"{name}: merged weights", max((found[k] - merged[k]).abs().max().item() for k in found), 1e-6)
    theirs = get_peft_model(base(checkpoint), LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM"))
    theirs.eval().save_pretrained(place / "theirs")
    same_logits(f"{name}: an adapter of peft in dice", theirs, rows, logits_of_dice(place, checkpoint, rows, "--adapter", place / "theirs"))


run(check)
