"""Real files of ../shared/data that carry their goldens: tokenizers/ and chat_templates/ (layouts: their READMEs)."""
import collections
import json
import re

from program import Unsupported

# llama.cpp's names of the vocabularies that stand in folders of their own
SAME = {"llama-bpe": "llama3", "qwen2": "qwen3"}


def _rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def _tokenizer(root, name):
    """The file that a golden's name stands for."""
    places = [root / "llama_cpp" / f"ggml-vocab-{name}.gguf", root / SAME.get(name, name) / "tokenizer.json",
              root / SAME.get(name, name) / "tokenizer.model"]
    return next((p for p in places if p.exists()), None)


def _check_ids(program, golden, tokenizer, report):
    rows = _rows(golden)
    try:
        found = program.lines("inspect", "tokenizer", tokenizer, "--encode", program.rows([{"text": r["text"]} for r in rows]), "--decode")
    except Unsupported as error:
        report.not_supported(f"{golden.name}: {error}")
        return
    for n, (row, line) in enumerate(zip(rows, found, strict=True)):
        case = f"{golden.parent.name}/{golden.name} text {n} with {tokenizer.parent.name}/{tokenizer.name}"
        report.equal("ids", line["ids"], row["ids"], case)
        if "goldens" in golden.parts and "roundtrip" not in row and not golden.name.startswith("chat_"):
            report.equal("decoded text", line["decoded"], row["text"], case)


def _check_mistral_samples(program, root, report):
    """mistral-common's chats: their text, special tokens spelled in it, spaces as U+2581, line ends as bytes, and its ids. It writes the space
    that the tokenizer puts in front of a text; version 1 spells [INST] with ordinary tokens."""
    for path in sorted(root.glob("mistral_common_samples/*/text_*.txt")):
        version = path.stem.removeprefix("text_")
        tokenizer, golden = _tokenizer(root, f"mistral_{version}"), path.with_name(f"tokens_{version}.json")
        if tokenizer is None:
            print(f"{path.parent.name}/{path.name}: there is no tokenizer of version {version}; left out")
            continue
        text, ids = path.read_text(encoding="utf-8"), json.loads(golden.read_text(encoding="utf-8"))["tokens"]
        text = re.sub(r"(</?s>)\u2581" if version == "v1" else r"(</?s>|\[/?[A-Z_]+\])\u2581", r"\1", text).replace("\u2581", " ").replace("<0x0A>", "\n")
        found = program.lines("inspect", "tokenizer", tokenizer, "--encode", program.rows([{"text": text}]))
        report.equal("ids of mistral-common's chats", found[0]["ids"], ids, f"{path.parent.name}/{golden.name} with {tokenizer.name}")


def check_tokenizers(program, root, report):
    _check_mistral_samples(program, root, report)
    for golden in sorted(root.glob("goldens/*.jsonl")) + sorted(root.glob("llama_cpp/*.jsonl")):
        name = golden.stem.split("__")[-1]
        tokenizer = _tokenizer(root, name)
        if tokenizer is None:
            report.cannot_look(f"{golden.name}: there is no tokenizer {name}")
            continue
        _check_ids(program, golden, tokenizer, report)
        if (root / name / "tokenizer.model").exists() and tokenizer.suffix == ".json":
            _check_ids(program, golden, root / name / "tokenizer.model", report)


def check_templates(program, root, report):
    """goldens.jsonl: renderings, spans of {% generation %}, and those that must fail. The date of strftime_now cannot be set."""
    rows = collections.defaultdict(list)
    for row in _rows(root / "goldens.jsonl"):
        rows[row["template"]].append(row)
    dated = 0
    for name, of_template in sorted(rows.items()):
        template = root / "templates" / f"{name}.jinja"
        if "strftime_now" in template.read_text(encoding="utf-8"):
            dated += len(of_template)
            continue
        good = [row for row in of_template if "expected" in row]
        found = program.lines("inspect", "template", template, "--messages", program.rows(good))
        for n, (row, line) in enumerate(zip(good, found, strict=True)):
            case = f"{name} {row['context']} {n}"
            report.equal("renderings", line["text"], row["expected"], case)
            if "assistant_char_spans" in row:
                report.equal("spans of {% generation %}", line["spans"], row["assistant_char_spans"], case)
        for row in of_template:
            if "error" in row:
                said = program.complaint("inspect", "template", template, "--messages", program.rows([row]))
                report.equal("renderings that fail", row["error"] in said, True, f"{name} {row['context']}: {said}")
    if dated > 0:
        print(f"{dated} renderings show the date and are left to the unit test")
