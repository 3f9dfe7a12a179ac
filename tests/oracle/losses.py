"""losses.json: every loss of TRL on one batch, once from the goldens' own log-probs and once through the models."""
import json
import re

from tensors import Tensors, largest

# Relative, float32 (the goldens' README); rewards and sums absolute, as in trajectories and of a branch.
LOSS, NORM, SLOPE, REWARD, LOGPS = 3e-5, 2e-5, 3e-5, 1.4e-5, 3.4e-4
REWARDS = ("rewards/chosen", "rewards/rejected", "rewards/margins")


def _settings(args):
    weights = args["loss_weights"] or [1.0] * len(args["loss_type"])
    known = {"loss_type", "loss_weights", "beta", "label_smoothing", "f_divergence_type", "f_alpha_divergence_coef", "ld_alpha",
             "use_weighting", "discopop_tau", "max_length"}
    if set(args) - known:
        raise RuntimeError(f"settings of a loss that this check does not know: {sorted(set(args) - known)}")
    keys = {"train.loss": " + ".join(f"{w!r} {name}" for w, name in zip(weights, args["loss_type"], strict=True)),
            "train.beta": args["beta"], "train.label_smoothing": args["label_smoothing"], "train.f_divergence": args["f_divergence_type"],
            "train.f_alpha": args["f_alpha_divergence_coef"], "train.ld_alpha": 1 if args["ld_alpha"] is None else args["ld_alpha"],
            "train.use_weighting": str(args["use_weighting"]).lower(), "train.discopop_tau": args["discopop_tau"], "parity": "trl-1.x",
            "data.overlong": "cut"}
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


def _from_numbers(program, entry, golden, report):
    """The loss and its slope for every log-prob, without a model."""
    batch = _cut(golden, entry["args"]["max_length"])
    n = len(batch["logp"]) // 2
    pair = lambda key, i: [batch[key][i], batch[key][i + n]]
    rows = [{"token_logprobs": pair("logp", i), "reference_token_logprobs": pair("ref_logp", i),
             "token_log_sum_squares": pair("log_sum_sq", i)} for i in range(n)]
    found = json.loads(program.run("inspect", "loss", program.rows(rows), *_settings(entry["args"]), "--quiet"))
    _metrics(found, entry, report, "loss of numbers", entry["name"])
    slopes = [x for side in (0, 1) for row in found["gradient"] for x in row[side]]
    expected = golden[entry["name"] + ".dlogp"]
    report.within("loss of numbers: slope of a log-prob / largest", largest(slopes, expected) / max(map(abs, expected)), SLOPE, entry["name"])


def _through_models(program, entry, model, reference, rows, report):
    """The loss and the gradient of the weights, as a training step computes them."""
    found = json.loads(program.run("inspect", "gradient", model, "--data", rows, "--reference", reference, "--out", program.place(".safetensors"),
                                   "--precision", "float32", "--quiet", *_settings(entry["args"])))
    _metrics(found, entry, report, "loss of models", entry["name"])
    report.within("loss of models: grad_norm, relative", _relative(found["grad_norm"], entry["float64"]["grad_norm"]), NORM, entry["name"])


def check(program, directory, report):
    losses, golden = json.loads((directory / "losses.json").read_text(encoding="utf-8")), Tensors(directory / "losses.safetensors")
    name = re.search(r"(\S+)/cases\.json", losses["batch"]).group(1)
    cases = json.loads((directory / name / "cases.json").read_text(encoding="utf-8"))
    rows = program.rows([{"prompt_ids": p["ids"], "chosen_ids": p["branches"][0]["ids"], "rejected_ids": p["branches"][1]["ids"]}
                         for p in cases["prompts"]])
    model, reference = directory / name / "model", directory / name / "reference"
    for entry in losses["entries"]:
        if "float64" in entry:
            _from_numbers(program, entry, golden, report)
            _through_models(program, entry, model, reference, rows, report)
        elif entry["trl_error"].startswith(("ValueError", "NotImplementedError")):  # what crashes in TRL need not fail here
            refused = program.refuses("inspect", "loss", program.rows([]), *_settings(entry["args"]))
            report.equal("losses that TRL refuses are refused", refused, True, entry["name"])
