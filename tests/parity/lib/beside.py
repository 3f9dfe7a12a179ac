"""The built `dice` beside transformers: calls, logits of both, and what was off."""
import copy, json, os, pathlib, random, subprocess, sys, tempfile

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

DICE = os.environ.get("DICE", str(pathlib.Path(__file__).resolve().parents[3] / "build/dice"))
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


def train(checkpoint, place, out, pairs, *settings):
    (place / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    keys = ["train.steps=4", "train.pairs_per_step=4", "export.dtype=float32", *settings]
    dice("train", "--model", checkpoint, "--data", place / "pairs.jsonl", "--out", out, "--precision", "float32",
         *(word for key in keys for word in ("--set", key)))


def logits_of_dice(place, model, rows, *more):
    (place / "rows.jsonl").write_text("".join(json.dumps({"ids": ids}) + "\n" for ids in rows))
    dice("inspect", "logits", model, "--tokens", place / "rows.jsonl", "--out", place / "logits.safetensors", "--precision", "float32", *more)
    found = load_file(place / "logits.safetensors")
    return [found[f"{n}.logits"] for n in range(len(rows))]


@torch.no_grad()
def largest(model, rows, found):
    return max((model(torch.tensor([ids])).logits[0] - logits).abs().max().item() for ids, logits in zip(rows, found))


def same_logits(what, model, rows, found):
    """Within BOUND, or where the model loses more in float32, within 4 times what transformers itself loses against double."""
    single = [logits for ids in rows for logits in model(torch.tensor([ids])).logits.detach()]
    double = copy.deepcopy(model).double()
    own = largest(double, rows, single)
    say(f"{what}, logits (transformers' own error {own:.1e})", largest(double, rows, found), max(BOUND, 4 * own))


def base(checkpoint, **more):
    return AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32, attn_implementation="eager", **more)


def run(check):
    """check(checkpoint, its name, a place for files, rows of ids, pairs of ids) of every checkpoint of the command line."""
    torch.manual_seed(1)
    rng = random.Random(1)
    for checkpoint in (pathlib.Path(path).resolve() for path in sys.argv[1:]):
        vocabulary = json.loads((checkpoint / "config.json").read_text())["vocab_size"]
        ids = lambda n: [rng.randrange(3, vocabulary) for _ in range(n)]
        rows = [ids(n) for n in (3, 17, 40)]
        pairs = [{"prompt_ids": ids(6), "chosen_ids": ids(9), "rejected_ids": ids(5)} for _ in range(8)]
        with tempfile.TemporaryDirectory(prefix="dice-parity-") as place:
            check(checkpoint, checkpoint.parent.name if checkpoint.name == "model" else checkpoint.name, pathlib.Path(place), rows, pairs)
    print(f"{failures} off")
    sys.exit(failures > 0)
