"""losses.json: every loss of TRL on one batch, once from the goldens' own log-probs and once through the models."""
import json
import math
import re

from tensors import Tensors, largest

# Relative, float32 (the goldens' README); rewards and sums absolute, as in trajectories and of a branch.
LOSS, NORM, SLOPE, REWARD, LOGPS = 3e-5, 2e-5, 3e-5, 1.4e-5, 3.4e-4
REWARDS = ("rewards/chosen", "rewards/rejected", "rewards/margins")


def settings(args):
    """TRL's arguments of a loss -> keys of a recipe."""
    types = [args["loss_type"]] if isinstance(args["loss_type"], str) else args["loss_type"]
    weights = args.get("loss_weights") or [1.0] * len(types)
    ld_alpha = args.get("ld_alpha")
    return {"parity": "trl-1.x", "train.loss": " + ".join(f"{w!r} {name}" for w, name in zip(weights, types, strict=True)),
            "train.beta": args["beta"], "train.label_smoothing": args.get("label_smoothing", 0),
            "train.f_divergence": args.get("f_divergence_type", "reverse_kl"), "train.f_alpha": args.get("f_alpha_divergence_coef", 0.5),
            "train.ld_alpha": 1 if ld_alpha is None else ld_alpha, "train.use_weighting": str(args.get("use_weighting", False)).lower(),
            "train.discopop_tau": args.get("discopop_tau", 0.05)}


def _words(args):
    keys = settings(args)
    if args["max_length"] is not None:
        keys["data.max_tokens"] = args["max_length"]
    return [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]


def _cut(golden, longest):
    """The batch as {key: lists by row}: chosen then rejected, each cut to `longest` with its prompt; rows without room are left out."""
    lengths, prompts = golden["inputs.lengths"], golden["inputs.prompt_lengths"]
    rows = {key: [] for key in ("logp", "ref_logp", "log_sum_sq")}
    for key, out in rows.items():
        values, at = golden[f"inputs.{key}"], 0
        for n, prompt in zip(lengths, prompts, strict=True):
            keep = n if longest is None else min(n, longest - prompt)
            if longest is None or prompt < longest:
                out.append(list(values[at : at + keep]))
            at += n
    return rows


def _relative(found, expected):
    return abs(found - expected) / max(1e-3, abs(expected))


def _metrics(found, entry, report, what, case):
    golden = entry["float64"]
    report.within(f"{what}: loss, relative", _relative(found["loss"], golden["loss"]), LOSS, case)
    for name in REWARDS:
        report.within(f"{what}: {name}", abs(found[name] - golden[name]), REWARD, case)
    for name in ("logps/chosen", "logps/rejected"):
        report.within(f"{what}: {name}", abs(found[name] - golden[name]), LOGPS, case)
    gaps = [abs(c - r) for c, r in zip(golden["rewards_chosen_each"], golden["rewards_rejected_each"], strict=True)]
    if min(gaps) > 2 * REWARD:
        report.equal(f"{what}: rewards/accuracies", found["rewards/accuracies"], golden["rewards/accuracies"], case)


def _in_float32(entry, report):
    """TRL's own float32 run of the loss, within the bounds that we are held to."""
    single, double = entry["trl_float32"], entry["float64"]
    for name, bound in ("loss", LOSS), ("grad_norm", NORM):
        report.within(f"the goldens' own {name} in float32, relative", _relative(single[name], double[name]), bound, entry["name"])
    for name in (*REWARDS, "logps/chosen", "logps/rejected"):
        report.within(f"the goldens' own {name} in float32", abs(single[name] - double[name]), REWARD if name in REWARDS else LOGPS, entry["name"])
    report.equal("the goldens' own rewards/accuracies in float32", single["rewards/accuracies"], double["rewards/accuracies"], entry["name"])
    each = [math.fsum(double[f"rewards_{kind}_each"]) / len(double[f"rewards_{kind}_each"]) for kind in ("chosen", "rejected")]
    found = (double["rewards/chosen"], double["rewards/rejected"], double["rewards/margins"])
    report.within("the goldens' own means of rewards", largest(found, (*each, each[0] - each[1])), 1e-12, entry["name"])


def _from_numbers(program, entry, golden, report):
    """The loss and its slope for every log-prob, without a model."""
    batch = _cut(golden, entry["args"]["max_length"])
    n = len(batch["logp"]) // 2
    pair = lambda key, i: [batch[key][i], batch[key][i + n]]
    rows = [{"token_logprobs": pair("logp", i), "reference_token_logprobs": pair("ref_logp", i),
             "token_log_sum_squares": pair("log_sum_sq", i)} for i in range(n)]
    found = json.loads(program.run("inspect", "loss", program.rows(rows), *_words(entry["args"]), "--quiet"))
    _metrics(found, entry, report, "loss of numbers", entry["name"])
    for side, kind in enumerate(("chosen", "rejected")):
        report.within(f"loss of numbers: rewards of a {kind} answer", largest([pair[side] for pair in found["rewards"]],
                      entry["float64"][f"rewards_{kind}_each"]), REWARD, entry["name"])
    slopes = [x for side in (0, 1) for row in found["gradient"] for x in row[side]]
    expected = golden[entry["name"] + ".dlogp"]
    report.within("loss of numbers: slope of a log-prob / largest", largest(slopes, expected) / max(map(abs, expected)), SLOPE, entry["name"])


def _through_models(program, entry, model, reference, rows, report):
    """The loss and the gradient of the weights, as a training step computes them."""
    found = json.loads(program.run("inspect", "gradient", model, "--data", rows, "--reference", reference, "--out", program.place(".safetensors"),
                                   "--precision", "float32", "--quiet", *_words(entry["args"])))
    _metrics(found, entry, report, "loss of models", entry["name"])
    report.within("loss of models: grad_norm, relative", _relative(found["grad_norm"], entry["float64"]["grad_norm"]), NORM, entry["name"])


def check(program, directory, report):
    losses, golden = json.loads((directory / "losses.json").read_text(encoding="utf-8")), Tensors(directory / "losses.safetensors")
    name = re.search(r"(\S+)/cases\.json", losses["batch"]).group(1)
    cases = json.loads((directory / name / "cases.json").read_text(encoding="utf-8"))
    rows = program.rows([{"prompt_ids": p["ids"], "chosen_ids": p["branches"][0]["ids"], "rejected_ids": p["branches"][1]["ids"]}
                         for p in cases["prompts"]])
    model, reference = directory / name / "model", directory / name / "reference"
    if not reference.exists():
        report.cannot_look(f"losses.json through the models: {reference} is not there")
    for entry in losses["entries"]:
        if "float64" in entry:
            _in_float32(entry, report)
            _from_numbers(program, entry, golden, report)
            if reference.exists():
                _through_models(program, entry, model, reference, rows, report)
        elif entry["trl_error"].startswith(("ValueError", "NotImplementedError")):  # what crashes in TRL need not fail here
            refused = program.refuses("inspect", "loss", program.rows([]), *_words(entry["args"]))
            report.equal("losses that TRL refuses are refused", refused, True, entry["name"])
