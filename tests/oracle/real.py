"""real/<model>: a real model on real conversations (layout and bounds: the goldens' README)."""
import heapq
import json
import math
import pathlib

import lora
from program import Unsupported
from report import CannotLook
from tensors import Tensors, l2, largest

TRL = {"loss": 2e-5, "rewards/chosen": 4e-5, "rewards/rejected": 4e-5, "rewards/margins": 4e-5, "logps/chosen": 3e-4, "logps/rejected": 3e-4,
       "rewards/accuracies": 0.0, "learning_rate": 1e-12, "entropy": 3e-4, "logits/chosen": 3e-4, "logits/rejected": 3e-4,
       "mean_token_accuracy": 5e-3}  # one of some hundred tokens may have two words that are equally likely
LOGITS_MAX = 3e-4  # as a log-prob
AFTER_L2, AFTER_SUM = 1e-8, 1e-4  # of the weights; the l2 of untrained ones is off by more in every tensor
TENSOR = 1e-3  # of a trained adapter: what the goldens' README allows a parameter's gradient; Adam's steps go by it alone


def _lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def _texts(program, model, rows, report):
    """Renderings, and the ids of prompt and responses by TRL's rule."""
    chats = [row for row in rows if "prompt_text" in row]
    if not chats:
        return
    conversations = [{"messages": row["messages"]["prompt"], "add_generation_prompt": True} for row in chats]
    conversations += [{"messages": row["messages"]["prompt"] + row["messages"]["chosen"]} for row in chats]
    found = program.lines("inspect", "template", model, "--messages", program.rows(conversations))
    for n, row in enumerate(chats):
        report.equal("rendered prompt", found[n]["text"], row["prompt_text"], f"row {row['index']}")
        report.equal("rendered conversation", found[len(chats) + n]["text"], row["full_text"], f"row {row['index']}")
    _examples(program, model, [row["messages"] for row in chats], chats, "row", report)


def _examples(program, model, messages, rows, name, report):
    """Ids of prompt and responses of conversations."""
    examples = program.lines("inspect", "example", model, "--data", program.rows(messages), "--response-end", "template", "--row", "0", "--json")
    made = {example["line"]: example for example in examples}
    for line, (row, texts) in enumerate(zip(rows, messages, strict=True), 1):
        blank = any(not texts[kind][-1]["content"].strip() for kind in ("chosen", "rejected"))
        report.equal("rows that become examples", line in made, not blank, f"{name} {row['index']}")
        example = made.get(line, {})
        for key in ("prompt_ids", "chosen_ids", "rejected_ids"):
            report.equal(key, example.get(key, row[key]), row[key], f"{name} {row['index']}")


def _plain_texts(program, model, rows, report):
    """Ids of a model without a template: the prompt with what the tokenizer puts around it, the response with the end token."""
    texts = [row for row in rows if "prompt_text" not in row]
    if not texts:
        return
    config = json.loads((pathlib.Path(model) / "config.json").read_text(encoding="utf-8"))
    end = config["eos_token_id"][0] if isinstance(config["eos_token_id"], list) else config["eos_token_id"]
    encode = lambda kind, *more: program.lines("inspect", "tokenizer", model, "--encode", program.rows([{"text": row["messages"][kind][-1]["content"]} for row in texts]), *more)
    for kind, around, after in (("prompt", ["--add-special"], []), ("chosen", [], [end]), ("rejected", [], [end])):
        for row, found in zip(texts, encode(kind, *around), strict=True):
            report.equal(f"{kind}_ids", found["ids"] + after, row[f"{kind}_ids"], f"row {row['index']}")


def _scores(program, model, rows, golden, report):
    data = [{key: row[key] for key in ("prompt_ids", "chosen_ids", "rejected_ids")} for row in rows]
    for precision in ("float32", "bfloat16"):
        tokens, sums = [], []
        for n, found in enumerate(program.score(model, data, precision)):
            for k, kind in enumerate(("chosen", "rejected")):
                expected, case = golden[f"{n}.{kind}.logprob"], f"{precision} row {n} {kind}"
                error, size = found["logprobs"][k] - math.fsum(expected), abs(math.fsum(expected))
                if precision == "float32":
                    report.within("float32 log-prob of a token, max", largest(found["token_logprobs"][k], expected), 3e-4, case)
                    report.within("float32 sum of a response, relative", abs(error) / size, 1e-5, case)
                    report.within("the goldens' own sums", abs(math.fsum(expected) - rows[n][f"{kind}_sum"]), 1e-6, case)
                tokens += [a - b for a, b in zip(found["token_logprobs"][k], expected, strict=True)]
                sums.append(error / math.sqrt(len(expected)))
        if precision == "bfloat16":
            report.rms("bfloat16 log-prob of a token, rms", tokens, 0.045, "all rows")
            report.rms("bfloat16 sum / sqrt(tokens), rms", sums, 0.045, "all rows")


def _top(row):
    best = max(row)
    return best, best + math.log(math.fsum(math.exp(x - best) for x in row))


def _logits(program, model, rows, golden, report):
    """logsumexp of every response token: from whole rows of logits where the goldens probe them, else logit - log-prob."""
    probe = golden["probe_ids"]
    data = [{key: row[key] for key in ("prompt_ids", "chosen_ids", "rejected_ids")} for row in rows]
    scored = program.score(model, data, "float32")
    for n, row in enumerate(rows):
        for k, kind in enumerate(("chosen", "rejected")):
            P, ids, key = len(row["prompt_ids"]), row[f"{kind}_ids"], f"{n}.{kind}"
            positions = [P - 1 + t for t in range(len(ids))]
            path = program.logits(model, [{"ids": row["prompt_ids"] + ids, "positions": positions}], "float32")
            found, probed = Tensors(path), f"{n}.probe_logits.first" in golden and kind == "chosen"
            values, V = found["0.logits"], found.shape("0.logits")[1]
            for t, expected in enumerate(golden[f"{key}.logsumexp"]):
                line = values[t * V : (t + 1) * V]
                lse = _top(line)[1] if probed else line[ids[t]] - scored[n]["token_logprobs"][k][t]
                report.within("float32 logsumexp, max", abs(lse - expected), LOGITS_MAX, f"{key} token {t}")
            for name, t in (("first", 0), ("last", len(ids) - 1)) if probed else ():
                logits = [values[t * V + v] for v in probe]
                report.within("float32 logits at the probe ids, max", largest(logits, golden[f"{n}.probe_logits.{name}"]), LOGITS_MAX, f"row {n} {name}")
            path.unlink()


def _greedy(program, model, rows, report):
    asked = [row for row in rows if "greedy_ids" in row]
    prompts = program.rows([{"prompt_ids": row["prompt_ids"]} for row in asked])
    found = program.lines("sample", "--model", model, "--prompts", prompts, "--responses", 1, "--temperature", 0, "--max-new-tokens", 48,
                          "--precision", "float32")
    for row, answer in zip(asked, found, strict=True):
        sure = next((t for t, gap in enumerate(row["greedy_margin"]) if gap < 1e-3), None)
        ids, case = answer["response_ids"][0], f"row {row['index']}"
        report.equal("greedy ids (up to the first small margin)", ids[:sure], row["greedy_ids"][:sure], case)
        if sure is None:
            report.equal("greedy text", answer["responses"][0], row["greedy_text"], case)
        ids = row["greedy_ids"]
        positions = [len(row["prompt_ids"]) - 1 + t for t in range(len(ids))]
        path = program.logits(model, [{"ids": row["prompt_ids"] + ids, "positions": positions}], "float32")
        values, V = Tensors(path)["0.logits"], Tensors(path).shape("0.logits")[1]
        for t, margin in enumerate(row["greedy_margin"]):
            first, second = heapq.nlargest(2, values[t * V : (t + 1) * V])
            report.within("greedy margin", abs(first - second - margin), 2 * LOGITS_MAX + 5e-5, f"{case} token {t}")  # 4 decimals
        path.unlink()


def _gradient(program, model, directory, rows, report):
    golden = json.loads((directory / "gradient.json").read_text(encoding="utf-8"))
    data = [{key: rows[n][key] for key in ("prompt_ids", "chosen_ids", "rejected_ids")} for n in golden["rows"]]
    path, figures = program.gradient(model, data, "dpo", 0.1, "float32")
    found = Tensors(path)
    report.within("gradient: norm, relative", abs(figures["grad_norm"] / golden["grad_norm"] - 1), 1e-4, "gradient.json")
    report.equal("gradient: names of the parameters", sorted(found), sorted(golden["parameters"]), "gradient.json")
    for name, expected in golden["parameters"].items():
        if name not in found:
            continue
        values = found[name]
        report.within("gradient: l2 of a parameter, relative", abs(l2(values) / expected["l2"] - 1), 1e-3, name)
        report.within("gradient: largest entry, relative", abs(max(map(abs, values)) / expected["max_abs"] - 1), 1e-3, name)
        entries = [values[i] for i in expected["flat_index"]]
        report.within("gradient: entries / largest of the parameter", largest(entries, expected["value"]) / expected["max_abs"], 1e-3, name)


def _trajectory(program, model, directory, name, report):
    """trl_full: of the whole model; trl_lora: of an adapter, whose reference is the model below it."""
    golden, adapter = json.loads((directory / f"{name}.json").read_text(encoding="utf-8")), directory / f"{name}_adapter_init"
    more = ("--adapter", adapter, "--reference", model) if adapter.exists() else ()
    what = "TRL LoRA trajectory" if more else "TRL trajectory"
    rows, s = _lines(directory / "train_rows.jsonl"), golden["settings"]
    per_step = s["per_device_train_batch_size"] * s["gradient_accumulation_steps"]
    data = [{key: row[key] for key in ("prompt_ids", "chosen_ids", "rejected_ids")} for row in rows]
    settings = {"train.steps": s["max_steps"], "train.pairs_per_step": per_step, "train.learning_rate": s["learning_rate"],
                "train.schedule": s["lr_scheduler_type"], "train.warmup_steps": s["warmup_steps"], "train.weight_decay": s["weight_decay"],
                "train.adam_beta1": s["adam_beta1"], "train.adam_beta2": s["adam_beta2"], "train.adam_eps": s["adam_epsilon"],
                "train.clip_norm": s["max_grad_norm"], "train.beta": s["beta"], "train.label_smoothing": s["label_smoothing"],
                "train.loss_pairs": s["per_device_train_batch_size"], "train.log_logits": "true", "train.gradient_norm": "float32", "train.checkpoint_every": 0, "export.dtype": "float32"}
    trained, metrics = program.train(model, data, settings, *more)
    steps = [m for m in metrics if "grad_norm" in m]
    report.equal(f"{what}: steps", len(steps), len(golden["log"]), f"{name}.json")
    for found, step in zip(steps, golden["log"]):
        case, seen = f"step {step['step']}", rows[: step["step"] * per_step]
        report.within(f"{what}: epoch", abs(found["epoch"] - step["epoch"]), 1e-12, case)
        for prompts, quantity, tokens in ((1, f"{what}: num_tokens, a prompt once", found["num_tokens"]), (2, "the goldens' own num_tokens", step["num_tokens"])):
            counted = sum(prompts * len(r["prompt_ids"]) + len(r["chosen_ids"]) + len(r["rejected_ids"]) for r in seen)
            report.equal(quantity, tokens, counted, case)
        for key, bound in TRL.items():
            report.within(f"{what}: {key}", abs(found[key] - step[key]), bound, case)
        report.within(f"{what}: grad_norm, relative", abs(found["grad_norm"] / step["grad_norm"] - 1), 3e-5, case)
    asked = [data[entry["index"]] for entry in golden["after"]]
    after = program.score(model, asked, "float32", "--adapter", trained) if more else program.score(trained, asked, "float32")
    for found, entry in zip(after, golden["after"], strict=True):
        for k, kind in enumerate(("chosen", "rejected")):
            report.within(f"{what}: sums after training", abs(found["logprobs"][k] - entry[kind]), 1.5e-3, f"row {entry['index']} {kind}")
    if (pathlib.Path(trained) / "model.safetensors").exists():
        after = Tensors(trained / "model.safetensors")
        for tensor, expected in golden.get("weights_after", {}).items():
            report.within(f"{what}: l2 of the weights after, relative", abs(l2(after[tensor]) / expected["l2"] - 1), AFTER_L2, tensor)
            report.within(f"{what}: sum of the weights after", abs(math.fsum(after[tensor]) - expected["sum"]), AFTER_SUM, tensor)
    if more:
        _adapter(program, model, directory, name, golden, asked, trained, report)


def _adapter(program, model, directory, name, golden, asked, trained, report):
    """TRL's trained adapter as we read it and merge it, the model below it, and what we wrote."""
    final = directory / f"{name}_adapter_final"
    lora.files(trained, final, report, f"{name}.json")
    lora.tensors(trained, final, report, f"{name}.json", TENSOR)
    found = {"": program.score(model, asked, "float32", "--adapter", final), "base_": program.score(model, asked, "float32"),
             "merged": program.score(program.merge(model, final, "float32"), asked, "float32")}
    for kind, rows in found.items():
        for row, entry in zip(rows, golden["after"], strict=True):
            for k, answer in enumerate(("chosen", "rejected")):
                key = f"base_{answer}" if kind == "base_" else answer
                error, case = abs(row["logprobs"][k] - entry[key]), f"row {entry['index']} {answer}"
                report.within(f"adapter of TRL{', merged' if kind == 'merged' else ', switched off' if kind else ''}: sums", error, 1.5e-3, case)


def _counts(directory, rows, report):
    """What the goldens say of themselves."""
    if (directory / "measured_error.json").exists():
        said = json.loads((directory / "measured_error.json").read_text(encoding="utf-8"))
        tokens = sum(len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in rows)
        report.equal("the goldens' own counts", (said["rows"], said["response_tokens"]), (len(rows), tokens), "measured_error.json")
    report.equal("the goldens' own counts", [row["index"] for row in rows], list(range(len(rows))), "rows.jsonl")


def check(program, directory, model, report):
    if model is None:
        raise CannotLook(f"{directory} needs --model CHECKPOINT, the model as a Hugging Face directory")
    rows, golden = _lines(directory / "rows.jsonl"), Tensors(directory / "logprobs.safetensors")
    _counts(directory, rows, report)
    try:
        _texts(program, model, rows, report)
        _plain_texts(program, model, rows, report)
        _scores(program, model, rows, golden, report)
        _logits(program, model, rows, golden, report)
        _greedy(program, model, rows, report)
        if (directory / "train_rows.jsonl").exists():
            trained = _lines(directory / "train_rows.jsonl")
            _examples(program, model, [{key: row[key] for key in ("prompt", "chosen", "rejected")} for row in trained], trained, "training row", report)
        if (directory / "gradient.json").exists():
            _gradient(program, model, directory, rows, report)
        if (directory / "trl_full.json").exists():
            _trajectory(program, model, directory, "trl_full", report)
        if (directory / "trl_lora.json").exists():
            _trajectory(program, model, directory, "trl_lora", report)
    except Unsupported as error:
        report.not_supported(f"{directory.name}: {error}")
