"""tokenizers/: ids of texts and of conversations (layout: the goldens' README)."""
import gzip
import hashlib
import json
import lzma
import os
import pathlib
import struct

from program import Unsupported
from report import CannotLook

_P1, _P2, _P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_P4, _P5, _M = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5, (1 << 64) - 1


def _rotate(x, r):
    return (x << r | x >> (64 - r)) & _M


def xxh64(data):
    """XXH64 with seed 0, as 16 hexadecimal digits. Source: the xxHash specification."""
    def lane(accumulator, word):
        return _rotate((accumulator + word * _P2) & _M, 31) * _P1 & _M

    size, at = len(data), 0
    if size >= 32:
        v = [(_P1 + _P2) & _M, _P2, 0, -_P1 & _M]
        while at + 32 <= size:
            for k in range(4):
                v[k] = lane(v[k], int.from_bytes(data[at + 8 * k : at + 8 * k + 8], "little"))
            at += 32
        h = (_rotate(v[0], 1) + _rotate(v[1], 7) + _rotate(v[2], 12) + _rotate(v[3], 18)) & _M
        for k in range(4):
            h = ((h ^ lane(0, v[k])) * _P1 + _P4) & _M
    else:
        h = _P5
    h = (h + size) & _M
    while at + 8 <= size:
        h = (_rotate(h ^ lane(0, int.from_bytes(data[at : at + 8], "little")), 27) * _P1 + _P4) & _M
        at += 8
    if at + 4 <= size:
        h = (_rotate(h ^ int.from_bytes(data[at : at + 4], "little") * _P1 & _M, 23) * _P2 + _P3) & _M
        at += 4
    for byte in data[at:]:
        h = _rotate(h ^ byte * _P5 & _M, 11) * _P1 & _M
    h = (h ^ h >> 33) * _P2 & _M
    h = (h ^ h >> 29) * _P3 & _M
    return f"{h ^ h >> 32:016x}"


def _lines(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _folders(directory, files):
    shared = [p / "shared" for p in pathlib.Path(__file__).resolve().parents]
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "dice"
    defaults = [s / "data" for s in shared if s.is_dir()] + [cache]
    return [directory, directory.parent, *map(pathlib.Path, files), *defaults]


def find(name, sha256, directory, files):
    """The file that a golden names, by its name and SHA-256, among the folders to look in."""
    base, seen = pathlib.Path(name).name, False
    for folder in _folders(directory, files):
        for path in sorted(folder.rglob(base)) if folder.is_dir() else [folder] if folder.name == base else []:
            seen = True
            if _sha256(path) == sha256:
                return path
    for folder in _folders(directory, files):  # under another name
        for path in sorted(folder.glob(f"*{pathlib.Path(name).suffix}")) if folder.is_dir() else []:
            if _sha256(path) == sha256:
                return path
    why = "is there with another content" if seen else "is not there"
    raise CannotLook(f"{name} (SHA-256 {sha256[:16]}...) {why}; name its folder with --files")


def _plain(program, path):
    """A tokenizer.json that dice can open: unpacked where it is compressed."""
    if path.suffix not in (".xz", ".gz"):
        return path
    out = program.place("-" + path.stem)
    opened = lzma.open(path) if path.suffix == ".xz" else gzip.open(path)
    with opened as file:
        out.write_bytes(file.read())
    return out


def _compare_ids(found, expected, report, case):
    if isinstance(expected, list):
        report.equal("ids", found, expected, case)
        return
    packed = b"".join(i.to_bytes(4, "little") for i in found)
    summary = {"n": len(found), "xxh64": xxh64(packed), "head": found[:20], "tail": found[-20:]}
    report.equal("ids of a long text", summary, expected, case)


def _compare_decoded(found, row, text, report, case):
    expected = row.get("decoded", text)
    if isinstance(expected, dict):
        data = found.encode("utf-8")
        report.equal("decoded long text", {"b": len(data), "xxh64": xxh64(data)}, expected, case)
    else:
        report.equal("decoded text", found, expected, case)


def _ids_file(program, path, files, report):
    header, *rows = _lines(path)
    corpus_path = next((p / "corpus.jsonl.gz" for p in (path.parent, path.parent.parent) if (p / "corpus.jsonl.gz").exists()), None)
    if corpus_path is None:
        raise CannotLook(f"{path}: corpus.jsonl.gz is neither beside it nor one folder above")
    with gzip.open(corpus_path) as file:
        raw = file.read()
    if hashlib.sha256(raw).hexdigest() != header["corpus_sha256"]:
        raise CannotLook(f"{corpus_path} is not the corpus of {path}")
    texts = {}
    for row in map(json.loads, raw.decode("utf-8").splitlines()):
        texts[row["i"]] = row["text"]
        report.equal("the corpus' own bytes", len(row["text"].encode("utf-8")), row["b"], f"corpus text {row['i']}")
    source = find(header["file"], header["file_sha256"], path.parent.parent, files)
    tokenizer, data = _plain(program, source), program.rows([{"text": texts[row["i"]]} for row in rows])
    try:
        plain = program.lines("inspect", "tokenizer", tokenizer, "--encode", data, "--decode")
        special = program.lines("inspect", "tokenizer", tokenizer, "--encode", data, "--add-special") if "prefix" in header else None
    except Unsupported as error:
        report.not_supported(f"{path.name}: {error}")
        return
    hf = "prefix" in header
    known = int(program.run("inspect", "tokenizer", tokenizer, "--quiet").split(" ids;")[0].rsplit(" ", 1)[1])
    strange = [n for n, row in enumerate(rows) if any(i >= known for i in row.get("hf", []) if isinstance(i, int))]
    if strange:  # a GGUF file without a token that the model's own tokenizer has
        print(f"{path.name}: {len(strange)} texts spell a token that {source.name} does not have; they are left out")
    for n, row in enumerate(rows):
        if n in strange:
            continue
        case = f"{path.parent.name}/{path.name} text {row['i']}"
        _compare_ids(plain[n]["ids"], row.get("hf", row["ids"]), report, case)
        if hf:
            _compare_decoded(plain[n]["decoded"], row, texts[row["i"]], report, case)
            expected = row.get("ids_special", header["prefix"] + plain[n]["ids"] + header["suffix"])
            report.equal("ids with special tokens around", special[n]["ids"], expected, case)
    if source.suffix == ".gguf":
        _literal_ids(program, path, source, rows, texts, report)


_ARRAY, _I32, _NORMAL, _UNKNOWN, _CONTROL, _USER = 9, 5, 1, 2, 3, 4


def _literal_gguf(program, source):
    """A copy of a GGUF file none of whose tokens are special: the unknown and control ones, and the "</s>" that llama.cpp takes for an end."""
    data = bytearray(source.read_bytes())

    def array_at(key):
        at = data.index(key) + len(key)
        kind, of, count = struct.unpack_from("<IIQ", data, at)
        assert kind == _ARRAY, f"{source}: {key} is not an array"
        return at + 16, of, count

    at, _, count = array_at(b"tokenizer.ggml.tokens")
    tokens = []
    for _ in range(count):
        size = struct.unpack_from("<Q", data, at)[0]
        tokens.append(bytes(data[at + 8 : at + 8 + size]))
        at += 8 + size
    at, of, count = array_at(b"tokenizer.ggml.token_type")
    assert of == _I32 and count == len(tokens), f"{source}: token types are not whole numbers, one a token"
    for n, kind in enumerate(struct.unpack_from(f"<{count}i", data, at)):
        if kind in (_UNKNOWN, _CONTROL) or (kind == _USER and tokens[n] == b"</s>"):
            struct.pack_into("<i", data, at + 4 * n, _NORMAL)
    out = program.place(".gguf")
    out.write_bytes(data)
    return out


def _literal_ids(program, path, source, rows, texts, report):
    """Special tokens spelled in the text are text. Where HF differs from llama.cpp, llama.cpp is not what we follow."""
    model, same = _literal_gguf(program, source), [row for row in rows if "hf" not in row]
    found = program.lines("inspect", "tokenizer", model, "--encode", program.rows([{"text": texts[row["i"]]} for row in same]))
    for row, line in zip(same, found, strict=True):
        case = f"{path.parent.name}/{path.name} text {row['i']}, as text"
        _compare_ids(line["ids"], row.get("ids_literal", row["ids"]), report, case)
    model.unlink()


_CHUNK = 64  # code points of a text


def _pieces(codes, members):
    """Words of a text in which every member of a class stands alone."""
    inside = [code in members for code in codes]
    return sum(1 for n, member in enumerate(inside) if member or n == 0 or inside[n - 1])


def _classes_file(program, path, report):
    """unicode_classes.txt: which code points a class holds, seen by how texts of all of them fall apart: a tokenizer that knows no
    word gives one unknown token a word."""
    codes = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    chunks = [codes[at : at + _CHUNK] for at in range(0, len(codes), _CHUNK)]
    texts = program.rows([{"text": "".join(map(chr, chunk))} for chunk in chunks])
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        name, count, *ranges = line.split(" ")
        members = {code for text in ranges for first, _, last in [text.partition("-")] for code in range(int(first, 16), int(last or first, 16) + 1)}
        report.equal("the classes' own sizes", len(members), int(count), f"{path.name} {name}")
        if name in ("Digits", "Punctuation"):
            split = {"type": name} | ({"individual_digits": True} if name == "Digits" else {"behavior": "Isolated"})
        else:
            split = {"type": "Split", "pattern": {"Regex": name}, "behavior": "Isolated", "invert": False}
        tokenizer = program.place(".json")
        tokenizer.write_text(json.dumps({"version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": split, "post_processor": None,
                                         "decoder": None, "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": False,
                                                                    "vocab": {"<unk>": 0}, "merges": []}}), encoding="utf-8")
        try:
            found = program.lines("inspect", "tokenizer", tokenizer, "--encode", texts)
        except Unsupported as error:
            print(f"{path.name} {name}: left out, {error}")
            continue
        for chunk, row in zip(chunks, found, strict=True):
            report.equal("members of a class", len(row["ids"]), _pieces(chunk, members), f"{path.name} {name} U+{chunk[0]:04X}-{chunk[-1]:04X}")


def _model_of_chats(program, path, files):
    """A directory with the tokenizer and the template that chat_NAME.jsonl.gz was made with."""
    name = path.name.removeprefix("chat_").removesuffix(".jsonl.gz")
    tokenizer = next((p for p in (path.parent / name / "tokenizer.json.xz", path.parent / name / "tokenizer.json") if p.exists()), None)
    template = None
    for folder in _folders(path.parent, files):
        template = template or next(iter(sorted(folder.rglob(f"{name}.jinja"))), None) if folder.is_dir() else template
    if tokenizer is None or template is None:
        raise CannotLook(f"{path.name} needs {name}/tokenizer.json(.xz) beside it and {name}.jinja under --files")
    model = program.place()
    model.mkdir()
    (model / "tokenizer.json").write_bytes(_plain(program, tokenizer).read_bytes())
    (model / "chat_template.jinja").write_bytes(template.read_bytes())
    (model / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
                                                   "num_attention_heads": 1, "vocab_size": 1 << 18, "rms_norm_eps": 1e-5}), encoding="utf-8")
    return model


def _chats_file(program, path, files, report):
    _, *rows = _lines(path)
    model = _model_of_chats(program, path, files)
    asked = [(row, "", "text", "ids") for row in rows] + [(row, "gen", "text_gen", "ids_gen") for row in rows]
    asked += [(row, "prompt", "prompt_text", "prompt_ids") for row in rows if "prompt_text" in row]
    calls = [{"messages": row["messages"][:-1] if kind == "prompt" else row["messages"], "add_generation_prompt": kind != ""} for row, kind, _, _ in asked]
    found = program.lines("inspect", "template", model, "--messages", program.rows(calls))
    for (row, _, text, ids), line in zip(asked, found, strict=True):
        report.equal("rendered conversations", line["text"], row[text], f"{path.name} {row['i']} {text}")
        report.equal("ids of conversations", line["ids"], row[ids], f"{path.name} {row['i']} {ids}")
    sure = [row for row in rows if "prompt_ids" in row and row.get("prompt_is_prefix", True)]
    data = program.rows([{"prompt": row["messages"][:-1], "chosen": row["messages"][-1:], "rejected": row["messages"][-1:]} for row in sure])
    examples = program.lines("inspect", "example", model, "--data", data, "--response-end", "template", "--row", "0", "--json")
    made = {example["line"]: example for example in examples}
    for line, row in enumerate(sure, 1):
        # dice leaves out rows whose prompt or answer says nothing
        blank = not row["messages"][-1]["content"].strip() or not any(m["content"].strip() for m in row["messages"][:-1])
        report.equal("rows that become examples", line in made, not blank, f"{path.name} {row['i']}")
        if line in made:
            report.equal("response ids of conversations", made[line]["chosen_ids"], row["response_ids"], f"{path.name} {row['i']}")


def check_file(program, path, files, report):
    if path.name == "unicode_classes.txt":
        _classes_file(program, path, report)
    elif path.name.startswith("chat_"):
        _chats_file(program, path, files, report)
    else:
        _ids_file(program, path, files, report)


def check(program, directory, files, report):
    kinds = ("unicode_classes.txt", "chat_*.jsonl.gz", "hf/*.jsonl.gz", "llama_cpp/*.jsonl.gz")
    paths = [path for kind in kinds for path in sorted(directory.glob(kind))]
    if not paths:
        paths = [p for p in sorted(directory.glob("*.jsonl.gz")) if p.name != "corpus.jsonl.gz"]
    for path in paths:
        try:
            check_file(program, path, files, report)
        except CannotLook as error:
            report.cannot_look(str(error))
        except RuntimeError as error:
            report.off.append(f"{path.name}: {error}")
