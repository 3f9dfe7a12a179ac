#!/usr/bin/env python3
"""Checkpoints that `dice` writes, in transformers: every tensor is taken, and the logits are the same.

usage: tests/parity/exported_models.py CHECKPOINT...   (Hugging Face directories; small ones, such as ../shared/oracle/tiny/*/model)
Needs requirements.txt in an environment of its own: this is no part of `make check`. DICE names the program.
"""
import pathlib, sys

import torch
from safetensors.torch import load_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
from beside import base, dice, logits_of_dice, run, same_logits, say, train


def loads(name, what, directory, place, rows):
    model, info = base(directory, output_loading_info=True)
    left = [key for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") for key in info[kind]]
    say(f"{name}: tensors of {what} that are missing, unexpected or of another shape", len(left), 0)
    same_logits(f"{name}: {what} in transformers", model.eval(), rows, logits_of_dice(place, directory, rows))
    return model


def same_weights(name, what, model, directory, dtype):
    ours, theirs = {}, model.state_dict()
    for file in directory.glob("*.safetensors"):
        ours |= load_file(file)
    say(f"{name}: {what}, weights", max((ours[k].float() - theirs[k].to(dtype).float()).abs().max().item() for k in ours), 0)


def check(checkpoint, name, place, rows, pairs):
    start = loads(name, "the checkpoint itself", checkpoint, place, rows)
    for dtype in (torch.float32, torch.bfloat16):
        what = f"an export as {str(dtype).removeprefix('torch.')}"
        out = place / what.split()[-1]
        dice("export", checkpoint, out, "--dtype", what.split()[-1])
        loads(name, what, out, place, rows)
        same_weights(name, what, start, out, dtype)
    train(checkpoint, place, place / "trained", pairs, "train.learning_rate=1e-3")
    trained = loads(name, "a checkpoint after training", place / "trained", place, rows)
    moved = max((a - b).abs().max().item() for a, b in zip(start.state_dict().values(), trained.state_dict().values()))
    say(f"{name}: training moves weights (1 / way)", 1 / max(moved, 1e-9), 1e4)


run(check)
