"""LoRA: PEFT directories in and out, merged weights, and TRL's trainings of adapters (layout and bounds: the goldens' READMEs)."""
import json
import math

from tensors import Tensors, distance, l2, largest

TOKEN_MAX, TOKEN_RMS, FINAL, MERGED, TENSOR, WEIGHT = 1.3e-4, 1.2e-5, 1.1e-4, 1.1e-5, 3e-5, 1e-6
FIELDS = ("peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "bias", "fan_in_fan_out", "modules_to_save", "use_rslora", "use_dora",
          "rank_pattern", "alpha_pattern", "layers_to_transform", "inference_mode")


def _load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def directory_of(path):
    """A PEFT directory as (settings, tensors)."""
    return _load(path / "adapter_config.json"), Tensors(path / "adapter_model.safetensors")


def files(found, expected, report, place):
    """What was written has the names, shapes and settings of PEFT's own directory."""
    ours, theirs = directory_of(found), directory_of(expected)
    report.equal("adapter: names of the tensors", sorted(ours[1]), sorted(theirs[1]), place)
    for name in theirs[1]:
        if name in ours[1]:
            report.equal("adapter: shapes", ours[1].shape(name), theirs[1].shape(name), f"{place} {name}")
    for key in FIELDS:
        report.equal("adapter: settings", ours[0].get(key), theirs[0].get(key), f"{place} {key}")
    modules = [sorted({name.split(".")[-1] for name in settings["target_modules"]}) for settings, _ in (ours, theirs)]  # theirs may name layers
    report.equal("adapter: target modules", *modules, place)


def tensors(found, expected, report, place, bound=TENSOR):
    """The trained adapter against PEFT's."""
    ours, theirs = directory_of(found)[1], directory_of(expected)[1]
    for name in theirs:
        if name in ours:
            size = l2(theirs[name])
            report.within("adapter: a tensor, relative l2", distance(ours[name], theirs[name]) / (size or 1.0), bound, f"{place} {name}")


def norms(found, start, golden, report, place):
    """l2, largest, sum and way from the start of each trained tensor."""
    before, after = directory_of(start)[1], directory_of(found)[1]
    relative = lambda a, b: abs(a - b) / abs(b) if b else abs(a)
    for name, expected in golden.items():
        values, case = after[name], f"{place} {name}"
        report.within("adapter: final l2, relative", relative(l2(values), expected["l2"]), 5e-6, case)
        report.within("adapter: final largest value, relative", relative(max(map(abs, values)), expected["max_abs"]), 5e-6, case)
        report.within("adapter: final sum", abs(math.fsum(values) - expected["sum"]), 3.3e-5, case)
        report.within("adapter: way from the start, relative", relative(distance(values, before[name]), expected["moved_l2"]), 1e-4, case)


def _compare(name, rows, golden, prefix, bound, report, place):
    errors = []
    for i, row in enumerate(rows):
        for j, found in enumerate(row["token_logprobs"]):
            expected = golden[f"{prefix}.p{i}.b{j}.logp"]
            report.within(f"{name}: log-prob of a token, max", largest(found, expected), bound, f"{place} p{i}.b{j}")
            errors += [a - b for a, b in zip(found, expected, strict=True)]
    return errors


def _merged_weights(model, adapter, merged, report, place):
    """W + s B A in double against the merged file; what no adapter names must be the same to the bit."""
    settings, thin = directory_of(adapter)
    r = settings["r"]
    scale = settings["lora_alpha"] / (math.sqrt(r) if settings.get("use_rslora") else r)
    before, after = Tensors(model / "model.safetensors"), Tensors(merged / "model.safetensors")
    report.equal("merged: names of the tensors", sorted(after), sorted(before), place)
    for name in before:
        stem = "base_model.model." + name.removesuffix(".weight")
        w, found = before[name], after[name]
        if stem + ".lora_A.weight" not in thin:
            report.equal("merged: tensors without an adapter", found, w, f"{place} {name}")
            continue
        a, b, (rows, columns) = thin[stem + ".lora_A.weight"], thin[stem + ".lora_B.weight"], before.shape(name)
        error = 0.0
        for i in range(rows):
            for j in range(columns):
                exact = w[i * columns + j] + scale * math.fsum(b[i * r + k] * a[k * columns + j] for k in range(r))
                error = max(error, abs(found[i * columns + j] - exact))
        report.within("merged: a weight / the largest of its tensor", error / max(map(abs, found)), WEIGHT, f"{place} {name}")


def check_logprobs(program, model, directory, rows, report, place):
    """PEFT's directories as we read them, unmerged and merged."""
    golden, final = Tensors(directory / "final_logprobs.safetensors"), directory / "adapter_final"
    for prefix, adapter in (("adapter_init", directory / "adapter_init"), ("adapter", final)):
        found = program.score(model, rows, "float32", "--adapter", adapter)
        errors = _compare("adapter read", found, golden, prefix, TOKEN_MAX, report, place)
        report.rms("adapter read: log-prob of a token, rms", errors, TOKEN_RMS, place)
    whole = program.merge(model, final, "float32")
    _merged_weights(model, final, whole, report, place)
    merged = program.score(whole, rows, "float32")
    _compare("adapter merged", merged, golden, "merged", TOKEN_MAX, report, place)
    # The goldens' bound is for merging alone, in double; both of ours are float32 passes, so it holds for their rms.
    pairs = [(a, b) for x, y in zip(found, merged, strict=True) for a, b in zip(x["token_logprobs"], y["token_logprobs"], strict=True)]
    report.rms("adapter merged against unmerged: a token, rms", [x - y for a, b in pairs for x, y in zip(a, b)], MERGED, place)


def check_trained(program, model, directory, trained, golden, rows, report, place):
    """What our training wrote against what TRL's wrote."""
    files(trained, directory / "adapter_final", report, place)
    tensors(trained, directory / "adapter_final", report, place)
    norms(trained, directory / "adapter_init", golden["final_float64"], report, place)
    found = program.score(model, rows, "float32", "--adapter", trained)
    _compare("trajectory: final", found, Tensors(directory / "final_logprobs.safetensors"), "float64", FINAL, report, place)
