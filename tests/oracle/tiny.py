"""tiny/: small random models; log-probs, logits, greedy, gradients, trajectories (layout and bounds: the goldens' README)."""
import heapq
import json
import math
import shutil

import hidden
import lora
import losses
from program import Unsupported
from tensors import Tensors, distance, l2, largest

FLOAT32 = dict(logp_max=1.3e-4, logp_rms=1.2e-5, lse_max=4.3e-5, lse_rms=3.9e-6, logits_max=1.3e-4, logits_rms=1.1e-5,
               entropy_max=7.1e-5, entropy_rms=7.1e-6, sum=3.4e-4, tensor=4.8e-5, element=5.9e-5, total=2.7e-5, norm=9.6e-6,
               loss=8.2e-6, cosine=3.1e-11)
BFLOAT16 = dict(logp_max=0.63, logp_rms=0.11, lse_max=0.69, lse_rms=0.042, logits_max=0.78, logits_rms=0.097, entropy_max=0.51,
                entropy_rms=0.055, sum=2.7, tensor=0.25, element=0.34, total=0.17, norm=0.065, loss=0.068, cosine=0.0045)
TRAJECTORY = {"loss": 5e-6, "grad_norm": 2e-5, "rewards/chosen": 1.4e-5, "rewards/rejected": 1.4e-5, "rewards/margins": 1.4e-5,
              "logps/chosen": 1.2e-4, "logps/rejected": 1.2e-4, "learning_rate": 1e-12, "rewards/accuracies": 0.0,
              "logits/chosen": 8e-7, "logits/rejected": 8e-7, "entropy": 5e-6, "mean_token_accuracy": 1e-6}
GREEDY_GAP = 1e-3


def _load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def _branches(cases):
    for i, prompt in enumerate(cases["prompts"]):
        for j, branch in enumerate(prompt["branches"]):
            yield i, j, prompt["ids"], branch


def _score_rows(cases):
    return [{"prompt_ids": p["ids"], "response_ids": [b["ids"] for b in p["branches"]]} for p in cases["prompts"]]


def _logprobs(program, model, cases, golden, name, bounds, precision, report, place, squares=None):
    """golden(i, j): log-probs of the branch's tokens; squares(i, j): ln sum p^2 at their places."""
    errors = []
    for i, row in enumerate(program.score(model, _score_rows(cases), precision)):
        for j, found in enumerate(row["token_logprobs"]):
            expected, case = golden(i, j), f"{place} {precision} p{i}.b{j}"
            report.within(f"{precision} {name}: a token, max", largest(found, expected), bounds["logp_max"], case)
            report.within(f"{precision} {name}: sum of a branch", abs(row["logprobs"][j] - math.fsum(expected)), bounds["sum"], case)
            errors += [a - b for a, b in zip(found, expected)]
            if squares is not None:
                report.within(f"{precision} ln sum p^2 as scored, max", largest(row["token_log_sum_squares"][j], squares(i, j)),
                              2 * bounds["lse_max"] + bounds["logits_max"], case)
    report.rms(f"{precision} {name}: a token, rms", errors, bounds["logp_rms"], f"{place} {precision}")


def _row_figures(row):
    top = max(row)
    exps = [math.exp(x - top) for x in row]
    total = math.fsum(exps)
    lse = top + math.log(total)
    entropy = lse - math.fsum(e * x for e, x in zip(exps, row)) / total
    return lse, entropy, math.log(math.fsum(e * e for e in exps)) - 2 * math.log(total)


def _logits(program, model, cases, golden, bounds, precision, report, place):
    rows = [{"ids": ids + branch["ids"]} for _, _, ids, branch in _branches(cases)]
    found = Tensors(program.logits(model, rows, precision))
    errors = {"lse": [], "entropy": [], "logits": [], "prompt": []}
    for n, (i, j, ids, branch) in enumerate(_branches(cases)):
        values, case, P = found[f"{n}.logits"], f"{place} {precision} p{i}.b{j}", len(ids)
        V = found.shape(f"{n}.logits")[1]
        report.equal("words of the vocabulary", V, cases["vocab_size"], case)
        at = lambda position: values[position * V : (position + 1) * V]
        key = f"p{i}.b{j}."
        for t in range(len(branch["ids"])):
            row = at(P - 1 + t)
            lse, entropy, squares = _row_figures(row)
            errors["lse"].append(lse - golden[key + "lse"][t])
            errors["entropy"].append(entropy - golden[key + "entropy"][t])
            report.within(f"{precision} logsumexp, max", abs(errors["lse"][-1]), bounds["lse_max"], f"{case} token {t}")
            report.within(f"{precision} entropy, max", abs(errors["entropy"][-1]), bounds["entropy_max"], f"{case} token {t}")
            report.within(f"{precision} ln sum p^2, max", abs(squares - golden[key + "log_sum_sq"][t]), 2 * bounds["lse_max"] + bounds["logits_max"],
                          f"{case} token {t}")
            first, second = heapq.nlargest(2, row)
            report.within(f"{precision} gap between the two best logits, max", abs(first - second - golden[key + "top2_gap"][t]),
                          2 * bounds["logits_max"], f"{case} token {t}")
            if golden[key + "top2_gap"][t] > 2 * bounds["logits_max"]:
                report.equal(f"{precision} argmax", max(range(V), key=row.__getitem__), golden[key + "argmax"][t], f"{case} token {t}")
        for name, position in (("logits_prompt_end", P - 1), ("logits_response_0", P), ("logits_end", P + len(branch["ids"]) - 1)):
            if key + name in golden:
                row = at(position)
                errors["logits"] += [a - b for a, b in zip(row, golden[key + name])]
                report.within(f"{precision} whole rows of logits, max", largest(row, golden[key + name]), bounds["logits_max"], f"{case} {name}")
        if j == 0 and f"p{i}.prompt_logp" in golden:
            for t in range(1, P):
                row = at(t - 1)
                error = row[ids[t]] - _row_figures(row)[0] - golden[f"p{i}.prompt_logp"][t - 1]
                errors["prompt"].append(error)
                report.within(f"{precision} log-prob of a prompt token, max", abs(error), bounds["logp_max"], f"{case} prompt token {t}")
    report.rms(f"{precision} logsumexp, rms", errors["lse"], bounds["lse_rms"], f"{place} {precision}")
    report.rms(f"{precision} entropy, rms", errors["entropy"], bounds["entropy_rms"], f"{place} {precision}")
    report.rms(f"{precision} whole rows of logits, rms", errors["logits"], bounds["logits_rms"], f"{place} {precision}")
    report.rms(f"{precision} log-prob of a prompt token, rms", errors["prompt"], bounds["logp_rms"], f"{place} {precision}")


def _copy(program, model):
    """A copy that may be changed, whatever the access rights of the goldens are."""
    other = program.place()
    other.mkdir()
    for file in model.iterdir():
        shutil.copyfile(file, other / file.name)
    return other


def _without_ends(program, model):
    """A copy of the model that no token ends: the goldens go on behind the end ids."""
    other = _copy(program, model)
    config = _load(other / "config.json") | {"eos_token_id": None}
    (other / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (other / "generation_config.json").unlink(missing_ok=True)
    return other


def _greedy(program, model, golden, report, place):
    model = model if golden.get("stops_at_eos", True) else _without_ends(program, model)
    rows = program.rows([{"prompt_ids": p["prompt"]} for p in golden["prompts"]])
    found = program.lines("sample", "--model", model, "--prompts", rows, "--responses", 1, "--temperature", 0, "--max-new-tokens",
                          golden["tokens"], "--precision", "float32")
    for n, (row, prompt) in enumerate(zip(found, golden["prompts"], strict=True)):
        sure = next((t for t, gap in enumerate(prompt["gap"]) if gap < GREEDY_GAP), golden["tokens"])
        report.equal("greedy ids (up to the first small gap)", row["response_ids"][0][:sure], prompt["ids"][:sure], f"{place} prompt {n}")


def _greedy_logits(program, model, golden, report, place):
    """The best logit and its distance to the second one, on the goldens' own path."""
    rows = [{"ids": p["prompt"] + p["ids"], "positions": [len(p["prompt"]) - 1 + t for t in range(len(p["ids"]))]} for p in golden["prompts"]]
    found = Tensors(program.logits(model, rows, "float32"))
    for n, prompt in enumerate(golden["prompts"]):
        values, V = found[f"{n}.logits"], found.shape(f"{n}.logits")[1]
        for t, (top, gap) in enumerate(zip(prompt["top_logit"], prompt["gap"], strict=True)):
            first, second = heapq.nlargest(2, values[t * V : (t + 1) * V])
            case = f"{place} prompt {n} token {t}"
            report.within("greedy: best logit", abs(first - top), FLOAT32["logits_max"], case)
            report.within("greedy: gap to the second logit", abs(first - second - gap), 2 * FLOAT32["logits_max"], case)


def _pairs(program, model, rows, golden, report, place):
    """Loss, rewards and log-probs of each pair alone."""
    for n, (row, pair) in enumerate(zip(rows, golden["pairs"], strict=True)):
        _, found = program.gradient(model, [row], "dpo", golden["beta"], "float32")
        case = f"{place} pair {n}"
        report.within("float32 loss of a pair", abs(found["loss"] - pair["loss"]), FLOAT32["loss"], case)
        for kind in ("chosen", "rejected"):
            report.within("float32 reward in a pair", abs(found[f"rewards/{kind}"] - pair[f"reward_{kind}"]), golden["beta"] * FLOAT32["sum"], case)
            report.within("float32 sum in a pair", abs(found[f"logps/{kind}"] - pair[f"logp_{kind}"]), FLOAT32["sum"], case)


def _described(model, directory, cases, report, place):
    """What cases.json says of the model is what its config says, and what the answers end with."""
    config = _load(model / "config.json")
    ends = config["eos_token_id"] if isinstance(config["eos_token_id"], list) else [config["eos_token_id"]]
    found = (config["model_type"], config["vocab_size"], config["bos_token_id"], ends)
    report.equal("the goldens' own names", found, (cases["model_type"], cases["vocab_size"], cases["bos"], cases["eos"]), place)
    report.equal("the goldens' own names", cases["config"], directory.name, place)
    for path in directory.glob("grads*.json"):
        golden, tokens = _load(path), sum(len(p["branches"][0]["ids"]) for p in cases["prompts"])
        report.equal("the goldens' own beta and tokens", (golden.get("beta", cases["beta"]), golden.get("tokens", tokens)), (cases["beta"], tokens),
                     f"{place} {path.name}")


def _gradient(program, model, rows, directory, name, method, beta, bounds, precision, report, place):
    path, figures = program.gradient(model, rows, method, beta, precision)
    found, expected, golden = Tensors(path), Tensors(directory / f"{name}.safetensors"), _load(directory / f"{name}.json")
    what = f"{precision} {method} gradient"
    report.within(f"{what}: loss", abs(figures["loss"] - golden["loss"]), bounds["loss"], place)
    report.within(f"{what}: norm, relative", abs(figures["grad_norm"] / golden["grad_norm"] - 1), bounds["norm"], place)
    report.equal(f"{what}: names of the tensors", sorted(found), sorted(expected), place)
    difference = square = found_square = along = 0.0
    for tensor in expected:
        if tensor not in found:
            continue
        a, b = found[tensor], expected[tensor]
        d, size, top = distance(a, b), l2(b), max(map(abs, b), default=0.0)
        report.equal(f"{what}: shapes", found.shape(tensor), expected.shape(tensor), f"{place} {tensor}")
        report.within(f"{what}: worst tensor, relative l2", d / size if size else d, bounds["tensor"], f"{place} {tensor}")
        report.within(f"{what}: worst element / largest of its tensor", largest(a, b) / top if top else largest(a, b), bounds["element"],
                      f"{place} {tensor}")
        if tensor in golden.get("tensor_norms", {}):
            norm = golden["tensor_norms"][tensor]
            report.within(f"{what}: norm of a tensor, relative", abs(l2(a) - norm) / norm if norm else l2(a), bounds["tensor"], f"{place} {tensor}")
        difference += d * d
        square += size * size
        found_square += l2(a) ** 2
        along += math.fsum(x * y for x, y in zip(a, b))
    report.within(f"{what}: all, relative l2", math.sqrt(difference / square), bounds["total"], place)
    cosine = along / math.sqrt(square * found_square)
    report.within(f"{what}: 1 - cosine", max(0.0, 1 - cosine), bounds["cosine"] + 1e-12, place)


def check_model(program, directory, report):
    """One model: NAME/."""
    model, cases, place = directory / "model", _load(directory / "cases.json"), directory.name
    golden = Tensors(directory / "logprobs.safetensors")
    _described(model, directory, cases, report, place)
    try:
        for precision, bounds in (("float32", FLOAT32), ("bfloat16", BFLOAT16)):
            _logprobs(program, model, cases, lambda i, j: golden[f"p{i}.b{j}.logp"], "log-prob", bounds, precision, report, place,
                      lambda i, j: golden[f"p{i}.b{j}.log_sum_sq"])
            _logits(program, model, cases, golden, bounds, precision, report, place)
            for i, j, _, branch in _branches(cases):
                report.within("the goldens' own sums", abs(math.fsum(golden[f"p{i}.b{j}.logp"]) - branch["logp_sum"]), 1e-9, f"{place} p{i}.b{j}")
                report.within("the goldens' own sums", abs(math.fsum(golden[f"p{i}.b{j}.ref_logp"]) - branch["ref_logp_sum"]), 1e-9, f"{place} p{i}.b{j}")
            pairs = [{"prompt_ids": p["ids"], "chosen_ids": p["branches"][0]["ids"], "rejected_ids": p["branches"][1]["ids"],
                      "reference_logprobs": [b["ref_logp_sum"] for b in p["branches"][:2]]} for p in cases["prompts"]]
            if (directory / "grads.json").exists():
                _gradient(program, model, pairs, directory, "grads", "dpo", cases["beta"], bounds, precision, report, place)
                if precision == "float32":
                    _pairs(program, model, pairs, _load(directory / "grads.json"), report, place)
            if (directory / "grads_sft.json").exists():
                texts = [{"prompt_ids": p["ids"], "chosen_ids": p["branches"][0]["ids"]} for p in cases["prompts"]]
                _gradient(program, model, texts, directory, "grads_sft", "sft", cases["beta"], bounds, precision, report, place)
        if (directory / "reference").exists():
            _logprobs(program, directory / "reference", cases, lambda i, j: golden[f"p{i}.b{j}.ref_logp"], "log-prob of the reference model",
                      FLOAT32, "float32", report, place)
        if (directory / "greedy.json").exists():
            _greedy(program, model, _load(directory / "greedy.json"), report, place)
            _greedy_logits(program, model, _load(directory / "greedy.json"), report, place)
        if (directory / "hidden.safetensors").exists():
            ids = cases["prompts"][0]["ids"] + cases["prompts"][0]["branches"][0]["ids"]
            hidden.check(program, model, directory / "hidden.safetensors", ids, report, place)
        if (directory / "config_alt.json").exists():
            other = _copy(program, model)
            shutil.copyfile(directory / "config_alt.json", other / "config.json")
            rows = _score_rows(cases)
            report.equal("the other key style of config.json: same bits", program.score(other, rows, "float32"), program.score(model, rows, "float32"), place)
    except Unsupported as error:
        report.not_supported(f"{place}: {error}")


def _settings(hyper):
    per_step = hyper["micro_batch"] * hyper["gradient_accumulation"]
    return per_step, {
        "train.steps": hyper["optimizer_steps"], "train.pairs_per_step": per_step, "train.learning_rate": hyper["learning_rate"],
        "train.schedule": hyper["schedule"], "train.warmup_steps": hyper["warmup_steps"], "train.adam_beta1": hyper["betas"][0],
        "train.adam_beta2": hyper["betas"][1], "train.adam_eps": hyper["eps"], "train.weight_decay": hyper["weight_decay"],
        "train.clip_norm": hyper["clip"], "train.loss_pairs": hyper["micro_batch"], "train.log_logits": "true",
        **losses.settings(hyper | {"loss_type": hyper["loss"]}), "train.checkpoint_every": 0, "export.dtype": "float32"}


def _tokens(data, pairs, prompts):
    """Tokens of the first pairs of the order, each prompt counted so often."""
    return sum(prompts * len(p["prompt_ids"]) + len(p["chosen_ids"]) + len(p["rejected_ids"]) for p in (data["pairs"][k] for k in data["order"][:pairs]))


def _own_numbers(golden, data, adapter, directory, report, place):
    """What a trajectory says twice, and what no program but TRL can say."""
    hyper, smallest = golden["hyper"], []
    mean = lambda values: math.fsum(values) / len(values)
    report.equal("the goldens' own batches", (data["micro_batch"], data["gradient_accumulation"]), (hyper["micro_batch"], hyper["gradient_accumulation"]), place)
    report.equal("the goldens' own end id", {p[key][-1] for p in data["pairs"] for key in ("chosen_ids", "rejected_ids")}, {data["end_id"]}, place)
    if adapter:
        said, config = golden["lora"], _load(directory / "adapter_init" / "adapter_config.json")
        scale = said["lora_alpha"] / (math.sqrt(said["r"]) if said["use_rslora"] else said["r"])
        for key in ("r", "lora_alpha", "lora_dropout", "use_rslora"):
            report.equal("the goldens' own adapter", config[key], said[key], f"{place} {key}")
        report.within("the goldens' own scale of the adapter", abs(said["scaling"][0] - scale), 1e-12, place)
    for step in golden["steps"]:
        case, double = f"{place} step {step['step']}", step["float64"]
        each = double["each"]
        smallest += [abs(a - b) for a, b in zip(each["rewards_chosen"], each["rewards_rejected"], strict=True) if a != b]
        report.equal("the goldens' own num_tokens", double["num_tokens"], _tokens(data, step["step"] * len(each["rewards_chosen"]), 2), case)
        report.within("the goldens' own micro-batches", abs(mean(double["micro_losses"]) - double["loss"]), 1e-12, case)
        for kind in ("chosen", "rejected"):
            report.within("the goldens' own rewards", abs(mean(each[f"rewards_{kind}"]) - double[f"rewards/{kind}"]), 1e-12, case)
        report.equal("the goldens' own num_tokens", step["num_tokens"], double["num_tokens"], case)
        report.within("the goldens' own rate", abs(step["lr_used"] - double["learning_rate"]), TRAJECTORY["learning_rate"], case)
        report.within("the goldens' own micro-batches in float32", largest(step["micro_losses"], double["micro_losses"]), TRAJECTORY["loss"], case)
    report.within("the goldens' own smallest margin, relative", abs(golden["smallest_nonzero_margin"] / min(smallest) - 1), 1e-9, place)
    for name, expected in golden["final_float64"].items():
        for key, bound in (("l2", 5e-6), ("max_abs", 5e-6), ("moved_l2", 1e-4)):
            report.within(f"the goldens' own final {key} in float32, relative", abs(golden["final"][name][key] - expected[key]) / (expected[key] or 1.0), bound, f"{place} {name}")
        report.within("the goldens' own final sum in float32", abs(golden["final"][name]["sum"] - expected["sum"]), 3.3e-5, f"{place} {name}")
    final = Tensors(directory / "final_logprobs.safetensors")
    for name in final:
        if name.startswith("float64."):
            single = final[("adapter." if adapter else "") + name.removeprefix("float64.")]
            report.within("the goldens' own final log-probs in float32", largest(single, final[name]), 1.1e-4, f"{place} {name}")
    names = Tensors((directory / golden["model"]).resolve() / "model.safetensors")
    for key, rank in (("weight_decay_on", 2), ("no_weight_decay_on", 1)):
        if key in golden:
            found = "all adapter tensors" if adapter else sorted(name for name in names if len(names.shape(name)) == rank)
            report.equal("the goldens' own weight decay", golden[key] if adapter else sorted(golden[key]), found, f"{place} {key}")


def check_trajectory(program, directory, report):
    """dpo_full/NAME, dpo_lora/NAME: TRL's training of a whole model or of an adapter, step by step."""
    data, golden, place = _load(directory / "data.json"), _load(directory / "trajectory.json"), f"{directory.parent.name}/{directory.name}"
    model, adapter = (directory / golden["model"]).resolve(), (directory / "adapter_init").exists()
    more = ("--adapter", directory / "adapter_init", "--reference", model) if adapter else ()
    try:
        per_step, settings = _settings(golden["hyper"])
        trained, metrics = program.train(model, [data["pairs"][k] for k in data["order"]], settings, *more)
    except Unsupported as error:
        report.not_supported(f"{place}: {error}")
        return
    steps = [m for m in metrics if "grad_norm" in m]
    report.equal("trajectory: steps", len(steps), len(golden["steps"]), place)
    for found, step in zip(steps, golden["steps"]):
        for name, bound in TRAJECTORY.items():
            report.within(f"trajectory: {name}", abs(found[name] - step["float64"][name]), bound, f"{place} step {step['step']}")
            report.within(f"the goldens' own {name} in float32", abs(step[name] - step["float64"][name]), bound, f"{place} step {step['step']}")
    _own_numbers(golden, data, adapter, directory, report, place)
    for found, step in zip(steps, golden["steps"]):
        report.equal("trajectory: num_tokens, a prompt once", found["num_tokens"], _tokens(data, step["step"] * per_step, 1), f"{place} step {step['step']}")
    cases = _load(model.parent / "cases.json")
    if adapter:
        lora.check_logprobs(program, model, directory, _score_rows(cases), report, place)
        lora.check_trained(program, model, directory, trained, golden, _score_rows(cases), report, place)
        return
    final = Tensors(directory / "final_logprobs.safetensors")
    for i, row in enumerate(program.score(trained, _score_rows(cases), "float32")):
        for j, found in enumerate(row["token_logprobs"]):
            report.within("trajectory: final log-prob of a token", largest(found, final[f"float64.p{i}.b{j}.logp"]), 1.1e-4, f"{place} p{i}.b{j}")
    before, after = Tensors(model / "model.safetensors"), Tensors(trained / "model.safetensors")
    for name, expected in golden["final_float64"].items():
        values, case = after[name], f"{place} {name}"
        relative = lambda a, b: abs(a - b) / abs(b) if b else abs(a)
        report.within("trajectory: final l2, relative", relative(l2(values), expected["l2"]), 5e-6, case)
        report.within("trajectory: final largest weight, relative", relative(max(map(abs, values)), expected["max_abs"]), 5e-6, case)
        report.within("trajectory: final sum", abs(math.fsum(values) - expected["sum"]), 3.3e-5, case)
        report.within("trajectory: way from the start, relative", relative(distance(values, before[name]), expected["moved_l2"]), 1e-4, case)


def check(program, directory, report):
    """The whole of tiny/."""
    for child in sorted(p for p in directory.iterdir() if p.is_dir()):
        if (child / "cases.json").exists():
            check_model(program, child, report)
        for run in sorted(p for p in child.iterdir() if (p / "trajectory.json").exists()) if child.name.startswith("dpo_") else []:
            check_trajectory(program, run, report)
    if (directory / "losses.json").exists():
        losses.check(program, directory, report)
