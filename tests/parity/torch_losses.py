#!/usr/bin/env python3
"""Every loss of `dice train` against torch: the formulas of docs/losses.md written down once more, differentiated by autograd, through
transformers in double precision and torch's own AdamW, for a few steps of two loss batches each.

usage: tests/parity/torch_losses.py CHECKPOINT...   (Hugging Face directories; small ones, such as ../shared/oracle/tiny/*/model)
Needs requirements.txt in an environment of its own: this is no part of `make check`. DICE names the program.
"""
import json, math, os, pathlib, random, subprocess, sys, tempfile

import torch
from torch.nn.functional import logsigmoid as L
from transformers import AutoModelForCausalLM
from transformers.utils import logging

logging.disable_progress_bar()
DICE = os.environ.get("DICE", str(pathlib.Path(__file__).resolve().parents[2] / "build/dice"))
STEPS, BATCH, BATCHES = 3, 4, 2
RATE, BOUND = 1e-4, 1e-4  # relative, of float32 against double; at higher rates Adam, whose first step is a sign, drives them apart
S = torch.sigmoid
failures = 0

# Of a batch: w and l as docs/losses.md has them for the loss, u (2, n), pi and ref (2, n); c holds the constants.
PAIRS = {
    "sigmoid": lambda w, l, c: -(1 - c.e) * L(c.b * (w - l)) - c.e * L(-c.b * (w - l)),
    "robust": lambda w, l, c: (-(1 - c.e) * L(c.b * (w - l)) + c.e * L(-c.b * (w - l))) / (1 - 2 * c.e),
    "hinge": lambda w, l, c: (1 - c.b * (w - l)).clamp(min=0),
    "ipo": lambda w, l, c: (w - l - 1 / (2 * c.b)) ** 2,
    "exo_pair": lambda w, l, c: S(c.b * (w - l)) * (L(c.b * (w - l)) - math.log(1 - c.e)) + S(c.b * (l - w)) * (L(c.b * (l - w)) - math.log(c.e)),
    "sigmoid_norm": lambda w, l, c: -L(c.b * (w - l)),
    "discopop": lambda w, l, c: torch.lerp(-L(c.b * (w - l)), torch.exp(c.b * (l - w)), S(c.b * (w - l) / 0.5)),
    "nca_pair": lambda w, l, c: -L(c.b * w) - (L(-c.b * w) + L(-c.b * l)) / 2,
    "bco_pair": lambda w, l, c: -L(c.b * w) - L(-c.b * l),
    "sppo_hard": lambda w, l, c: (w - 0.5 / c.b) ** 2 + (l + 0.5 / c.b) ** 2,
    "apo_zero": lambda w, l, c: 1 - S(c.b * w) + S(c.b * l),
    "apo_down": lambda w, l, c: S(c.b * w) + 1 - S(c.b * (w - l)),
    "simpo": lambda w, l, c: -(1 - c.e) * L(c.b * (w - l) - 0.5) - c.e * L(0.5 - c.b * (w - l)),
}
PAIRS["cdpo"] = PAIRS["sigmoid"]
PER_TOKEN, SCORES = ("ipo", "sigmoid_norm"), ("sigmoid", "cdpo", "robust", "hinge", "ipo", "exo_pair", "sigmoid_norm", "discopop")


def kto(u, c):
    return (1 - S(c.b * (u[0] - u[1].mean().clamp(min=0))) + 1 - S(c.b * (u[0].mean().clamp(min=0) - u[1]))) / 2


def score(u, c):
    return {"reverse_kl": lambda: u, "forward_kl": lambda: 1 - torch.exp(-u), "js_divergence": lambda: math.log(2) + L(u),
            "alpha_divergence": lambda: (torch.exp((c.a - 1) * u) - 1) / (c.a - 1)}[c.divergence]()


def batch_loss(name, pi, ref, plain, tokens, weight, c):
    u = pi - ref
    if name == "sft":
        return -plain.sum() / tokens[0].sum()
    if name in ("aot", "aot_unpaired"):
        a, b = (pi[0] - pi[1], ref[0] - ref[1]) if name == "aot" else u
        return PAIRS["sigmoid"](a.sort().values, b.sort().values, c).mean()
    if name == "kto_pair":
        return kto(u, c).mean()
    x = pi / tokens if name == "simpo" else score(u, c) if name in SCORES else u
    return (PAIRS[name](*(x / tokens if name in PER_TOKEN else x), c) * weight).mean()


class Constants:
    def __init__(self, terms, b=0.3, e=0.1, divergence="reverse_kl", a=0.5, ld=1.0, wpo=False):
        self.terms, self.b, self.e, self.divergence, self.a, self.ld, self.wpo = terms, b, e, divergence, a, ld, wpo

    def keys(self):
        return {"train.loss": " + ".join(f"{w!r} {name}" for name, w in self.terms.items()), "train.beta": self.b, "train.label_smoothing": self.e,
                "train.f_divergence": self.divergence, "train.f_alpha": self.a, "train.ld_alpha": self.ld, "train.use_weighting": str(self.wpo).lower(), "train.discopop_tau": 0.5}


CASES = [Constants({name: 1.0}) for name in (*PAIRS, "sft", "aot", "aot_unpaired", "kto_pair")]
CASES += [Constants({name: 1.0}, divergence=kind) for name in ("sigmoid", "ipo") for kind in ("forward_kl", "js_divergence", "alpha_divergence")]
CASES += [Constants({"sigmoid": 0.8, "bco_pair": 0.2, "sft": 0.5}, ld=0.5), Constants({"aot": 0.5, "sft": 0.1}, ld=0.0),
          Constants({"sigmoid": 1.0}, wpo=True), Constants({"hinge": 1.0, "apo_zero": 0.3}, ld=0.7, wpo=True)]


def token_logprobs(model, prompt, response):
    logits = model(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1].double()
    every = torch.log_softmax(logits, -1)
    return every[range(len(response)), response], torch.logsumexp(2 * every, -1).detach()


def loss_of(rows, model, reference, c):
    sums, base, agreement = ([], []), ([], []), ([], [])
    for row in rows:
        shared = min(len(row["chosen_ids"]), len(row["rejected_ids"]))
        for side, kind in enumerate(("chosen_ids", "rejected_ids")):
            share = torch.tensor([1.0 if t < shared else c.ld for t in range(len(row[kind]))], dtype=torch.float64)
            found, squares = token_logprobs(model, row["prompt_ids"], row[kind])
            with torch.no_grad():
                base[side].append((token_logprobs(reference, row["prompt_ids"], row[kind])[0] * share).sum())
            sums[side].append(((found * share).sum(), found.sum()))
            agreement[side].append((found.detach() - squares).mean())
    tokens = torch.tensor([[len(row[kind]) for row in rows] for kind in ("chosen_ids", "rejected_ids")], dtype=torch.float64)
    pi, plain = (torch.stack([torch.stack([pair[k] for pair in side]) for side in sums]) for k in (0, 1))
    weight = torch.exp(torch.stack(agreement[0]) + torch.stack(agreement[1])) if c.wpo else 1.0
    ref = torch.stack([torch.stack(side) for side in base])
    return sum(w * batch_loss(name, pi, ref, plain[0], tokens, weight, c) for name, w in c.terms.items())


def train_torch(checkpoint, reference, rows, c):
    model, other = (AutoModelForCausalLM.from_pretrained(place, dtype=torch.float64, attn_implementation="eager") for place in (checkpoint, reference))
    optimizer, steps = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0, foreach=False), []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = sum(loss_of(rows[first : first + BATCH], model, other, c) for first in range(step * BATCH * BATCHES, (step + 1) * BATCH * BATCHES, BATCH)) / BATCHES
        loss.backward()
        steps.append((loss.item(), torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item()))
        optimizer.step()
    return steps


def train_dice(checkpoint, reference, place, name, c, micro_tokens):
    keys = {"train.steps": STEPS, "train.pairs_per_step": BATCH * BATCHES, "train.loss_pairs": BATCH, "train.learning_rate": RATE,
            "train.checkpoint_every": 0, "train.micro_tokens": micro_tokens, **c.keys()}
    metrics = place / f"{name}.jsonl"
    done = subprocess.run([DICE, "train", "--model", checkpoint, "--reference", reference, "--data", place / "pairs.jsonl", "--out", place / name, "--metrics", metrics,
                           "--in-order", "--precision", "float32", "--quiet", *(w for k, v in keys.items() for w in ("--set", f"{k}={v}"))],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"dice train with {keys}: {done.stderr}")
    return [json.loads(line) for line in metrics.read_text().splitlines()]


def check(checkpoint, place, rng):
    global failures
    vocabulary = json.loads((checkpoint / "config.json").read_text())["vocab_size"]
    ids = lambda: [rng.randrange(3, vocabulary) for _ in range(rng.randrange(1, 12))]
    rows = [{"prompt_ids": ids(), "chosen_ids": ids(), "rejected_ids": ids()} for _ in range(STEPS * BATCH * BATCHES)]
    (place / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    other = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    with torch.no_grad():
        for p in other.parameters():
            p.add_(0.008 * p.std() * torch.randn_like(p) if p.numel() > 1 else 0)
    other.save_pretrained(place / "reference")
    for n, c in enumerate(CASES):
        expected = train_torch(checkpoint, place / "reference", rows, c)
        found = train_dice(checkpoint, place / "reference", place, str(n), c, 64 if n % 2 else 4096)
        relative = lambda a, b: abs(a - b) / max(1e-2, abs(b))
        error = max(max(relative(f["loss"], loss), relative(f["grad_norm"], norm)) for f, (loss, norm) in zip(found, expected, strict=True))
        failures += not error <= BOUND
        print(f"{'ok' if error <= BOUND else 'OFF':4}{c.keys()['train.loss']}, {c.divergence}, ld {c.ld}, wpo {c.wpo}: {error:.2e}", flush=True)


def main():
    torch.manual_seed(1)
    for checkpoint in map(pathlib.Path, sys.argv[1:]):
        with tempfile.TemporaryDirectory(prefix="dice-parity-") as place:
            check(checkpoint.resolve(), pathlib.Path(place), random.Random(1))
    print(f"{failures} off")
    return failures > 0


sys.exit(main())
