"""dice/dice.json: alpha, pairs, filters, replay (exact rational arithmetic)."""
import json

NOTHING = 0.0


def _rows(case):
    for n, (score, length, kept) in enumerate(zip(case["score"], case["length_chars"], case["kept"])):
        yield {"prompt": f"p{n}", "responses": [f"r{k}" for k in range(len(score))], "rewards": score, "chars": length, "kept": kept}


def _pairs(program, path, rows, alpha):
    found = [None] * len(rows)
    for pair in program.lines("pairs", "--data", path, "--alpha", alpha):
        found[int(pair["prompt"][1:])] = [pair["chosen_index"], pair["rejected_index"]]
    return found


def _near(a, b):
    return (a is None) == (b is None) and (a is None or abs(a - b) <= 1e-9 * max(abs(a), abs(b)))


def _alpha(program, case, name, report):
    rows = list(_rows(case))
    path = program.rows(rows)
    intervals = case["optimal_intervals"]
    if intervals:
        fit = program.object("pairs", "--data", path, "--out", "none")
        match = [i for i in intervals if _near(fit["alpha_low"], i["low"]) and _near(fit["alpha_high"], i["high"])]
        report.equal("alpha: interval is an optimal one", bool(match), True, f"{name} [{fit['alpha_low']}, {fit['alpha_high']}]")
        inside = [i for i in intervals if i["low"] < fit["alpha"] and (i["high"] is None or fit["alpha"] < i["high"])]
        report.equal("alpha: inside an optimal interval", bool(inside), True, f"{name} alpha {fit['alpha']}")
        if match:
            report.within("gap at alpha, characters", abs(fit["gap_chars"] - match[0]["gap"]), 1e-6, name)
        report.within("smallest gap, characters", abs(abs(fit["gap_chars"]) - case["smallest_abs_gap"]), 1e-6, name)
        report.within("gap at 0, characters", abs(fit["gap_before_chars"] - case["gap_at_0"]), 1e-6, name)
    if case.get("grid_alpha") is not None:
        fit = program.object("pairs", "--data", path, "--out", "none", "--alpha", "grid")
        report.within("alpha on the authors' grid", abs(fit["alpha"] - case["grid_alpha"]), 1e-9, name)
        report.within("gap on the grid, characters", abs(fit["gap_chars"] - case["grid_gap"]), 1e-6, name)
    for at in case["pairs_at"]:
        found = _pairs(program, path, rows, at["alpha"])
        # A pair of a response with itself is a tie; dice drops it.
        expected = [None if pair is None or pair[0] == pair[1] else pair for pair in at["pairs"]]
        tied = [k for k, pair in enumerate(expected) if pair and _tied(case, k, pair, at["alpha"])]
        for k in tied:
            expected[k] = None
        report.equal("pairs", found, expected, f"{name} at alpha {at['alpha']}")


def _tied(case, n, pair, alpha):
    score = [case["score"][n][k] - alpha * case["length_chars"][n][k] for k in pair]
    return abs(score[0] - score[1]) <= 1e-12 * max(map(abs, score))


def check(program, directory, report):
    golden = json.loads((directory / "dice.json").read_text(encoding="utf-8"))
    for i, case in enumerate(golden["alpha_cases"]):
        _alpha(program, case, f"alpha case {i} ({case.get('kind', '')})", report)
    for i, row in enumerate(golden["replay"]):
        found = program.object("mix", "--count", "--offline-rows", row["offline_rows"], "--generated-rows", row["generated_available"],
                               "--gamma", repr(row["gamma"]))
        report.equal("replay counts", (found["generated"], found["offline"]), (row["generated"], row["offline"]), f"replay row {i} {row}")
    # A row with another, surely kept response on either side makes a pair of every filter case that is kept.
    rows = [{"prompt": f"p{i}", "responses": ["a", "b"], "rewards": [1.0, 0.0], "chars": [100, case["chars"]], "finish": ["stop", case["stop"]]}
            for i, case in enumerate(golden["filters"])]
    made = _pairs(program, program.rows(rows), rows, "0")
    for i, case in enumerate(golden["filters"]):
        report.equal("filters", made[i] is not None, case["kept"], f"filter case {i} {case}")
