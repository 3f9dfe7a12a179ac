"""Writes two small tokenizers and what Hugging Face `tokenizers` says about them.

usage: make_tokenizer_goldens.py        (in the repository; needs `pip install tokenizers==0.23.3`)

  tests/data/tokenizer_bytes.json    byte-level BPE of 256 bytes, 140 merges and special tokens (as Llama 3, Qwen, SmolLM2)
  tests/data/tokenizer_pieces.json   SentencePiece-style BPE with byte fallback (as Llama 2, Mistral, Gemma)
  tests/data/tokenizer_goldens.jsonl a header; then for each variant {"variant", "base", "set", "model"}: the members of the base
                                     that it replaces; and behind it a line a text: ids without and with special tokens, and
                                     both decoded, special tokens kept and skipped
Both are trained here, on the text below; ties go to the pair that sorts first, so that the files come out the same again.
"""
import collections
import json
import pathlib

import tokenizers

DATA = pathlib.Path(__file__).parent.parent / "data"
TEXT = """The river carries the boats past the old mill, and the miller counts them: one, two, three hundred boats a year.
"Isn't it strange," she said, "that they're never late? I've seen them at 6:45, I'd swear, every day since 1987."
When the water is high the boats go faster; when the water is low they wait for the rain.
def count(boats):\n    total = 0\n    for boat in boats:\n        total += boat.weight * 2\n    return total\n
The answer is 42. The answer was 4200, or 12345678 before the flood. The rain comes from the west, the wind from the north.
Der Fluss trägt die Boote an der alten Mühle vorbei, und der Müller zählt sie. Größe ändert daran nichts.
Le meunier compte les bateaux; l'été, l'eau est très basse. Où est-ce qu'ils vont ? Déjà loin, à la mer.
Река несёт лодки мимо старой мельницы. Мельник считает их каждый день.
河水带着小船流过老磨坊。磨坊主每天数船。川は舟を運ぶ。粉屋は毎日舟を数える。
강은 배를 나른다. 물방앗간 주인은 매일 배를 센다. 🚤🚤 👩‍🌾 ☔️
"""
TEXTS = [
    "", " ", "  ", "\n", "\t", " \n", "\n \n", "   boat", "boat   ", "boat  boat", " boat\n\n  the mill \n", "\r\n\r\nThe", "a\u00a0b\u2003c\u3000d",
    "The river carries the boats past the old mill.", "they're I'd I've it's we'll I'm can't 'TIS IT'S THEY'RE 'ſ", "''s'' 'sea 'revenue", "l'été, l'eau",
    "0", "12", "123", "1234", "12345678901", "x1y22z333w4444", "3.14159 1,000 6:45", "٣٤٥ ४५६ Ⅻ ²³ ½ 𝟙𝟚", " 1 22  333", "\n1\n\n22",
    "def count(boats):\n    total = 0\n\treturn total\n", "a+=b; c!=d && e||f // g /* h */ #i @j $k %l ^m ~n `o`", "... !!! ?!?! ---- ==== ____", "(a)[b]{c}<d>",
    "Größe Mühle très déjà", "Gro\u0308\u00dfe e\u0301te\u0301 \u0041\u030a \u212b", "\u0301 \u0301x e\u0323\u0301 e\u0301\u0323", "Река несёт лодки", "河水带着小船", "川は舟を運ぶ。", "강은 배를 나른다",
    "\u1112\u1161\u11ab", "🚤", "🚤🚤 👩‍🌾 ☔️ 🇩🇪", "日本语English混じりtext", "\u200bzero\u200dwidth\ufeff", "\ue000\uffff\U0010ffff", "\u0000", "a\u0000b\u0001\u0004\u007f", "\u0085\u180e\u001c",
    "\u2581", "\u2581\u2581boat", "the\u2581mill", "a \u2581 b", "Ġthe Ċ", "<0x41><0x0A>", "<unk>", "<|end|>", "<|start|>user\nHow many boats?<|end|>\n<|start|>", "<|end|><|end|>  <|end|>",
    "x<|end|>y", "<|start", "<|start|", "<<|end|>>", "<|pad|> \n <|pad|>boat", "boat<mill>mill", "boat <mill> mill", "the<mill> <mill>the <mill>", "BOATboat boat", " mill  mill mills windmill", "</s>The river</s> <s>",
    "a" * 70, "ab" * 40, " " * 70, "\n" * 40, "1" * 50, "é" * 40, "🚤" * 30, "the " * 30, ".," * 40,
]
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CASED = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def alphabet():
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(rest)}


def train(words, count):
    """The first `count` merges on words, each a list of symbols."""
    counted, merges = collections.Counter(map(tuple, words)), []
    while len(merges) < count:
        pairs = collections.Counter()
        for word, times in counted.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += times
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        again = collections.Counter()
        for word, times in counted.items():
            joined, i = [], 0
            while i < len(word):
                whole = word[i:i + 2] == best
                joined.append(word[i] + word[i + 1] if whole else word[i])
                i += 2 if whole else 1
            again[tuple(joined)] += times
        counted = again
    return merges


def added(content, number, special=True, **flags):
    return {"id": number, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": special} | flags


def regex(pattern, behavior="Isolated"):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": False}


def sequence(key, *parts):
    return {"type": "Sequence", key: list(parts)}


def byte_level(prefix=False, cut=False):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": cut}


def template(front, back=()):
    tokens = [*front, *back]
    return {"type": "TemplateProcessing", "single": [*({"SpecialToken": {"id": t, "type_id": 0}} for t, _ in front), {"Sequence": {"id": "A", "type_id": 0}}, *({"SpecialToken": {"id": t, "type_id": 0}} for t, _ in back)],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": {t: {"id": t, "ids": [n], "tokens": [t]} for t, n in tokens}}


def build(vocab, merges, model, **parts):
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None} | parts | {
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False} | model |
        {"vocab": {token: i for i, token in enumerate(vocab)}, "merges": merges}}


def bytes_tokenizer():
    byte = alphabet()
    cut = tokenizers.pre_tokenizers.Split(tokenizers.Regex(LLAMA3), "isolated")
    words = [[byte[b] for b in piece.encode()] for piece, _ in cut.pre_tokenize_str(TEXT)]
    merges = train(words, 140)
    vocab = [byte[b] for b in range(256)] + [a + b for a, b in merges]
    n = len(vocab)
    return build(vocab, [f"{a} {b}" for a, b in merges], {}, pre_tokenizer=sequence("pretokenizers", regex(LLAMA3), byte_level()), decoder=byte_level(), post_processor=byte_level(),
                 added_tokens=[added("<|start|>", n), added("<|end|>", n + 1), added("<|pad|>", n + 2, rstrip=True), added("<mill>", n + 3, special=False, lstrip=True, normalized=True)])


def pieces_tokenizer():
    text = TEXT.replace(" ", "\u2581")
    words = [list(w) for line in text.split("\n") for w in ("\u2581" + line).replace("\u2581", " \u2581").split()]
    merges = train(words, 150)
    letters = sorted({c for w in words for c in w} - set("河川강🚤"))
    merges = [m for m in merges if all(c in letters for c in m[0] + m[1])]
    vocab = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + [a + b for a, b in merges] + letters
    return build(list(dict.fromkeys(vocab)), [list(m) for m in merges], {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True},
                 normalizer=sequence("normalizers", {"type": "Prepend", "prepend": "\u2581"}, {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}),
                 post_processor=template([("<s>", 1)]), decoder=sequence("decoders", {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}),
                 added_tokens=[added("<unk>", 0), added("<s>", 1), added("</s>", 2)])


def variants(n, m):
    """n: the first added id of the byte-level tokenizer; m: the first free id of the other."""
    flags = [added("boat", n, single_word=True), added("mill", n + 1, lstrip=True, rstrip=True, special=False), added("the", n + 2, normalized=True, special=False, single_word=True), added("\n", n + 3, rstrip=True), added("<|end|>", n + 4, lstrip=True, rstrip=True)]
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    metaspace = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True}
    return [
        ("llama3", "bytes", {}, {}),
        ("llama3 with ids around", "bytes", {"post_processor": sequence("processors", byte_level(), template([("<|start|>", n)], [("<|end|>", n + 1), ("<|pad|>", n + 2)]))}, {"ignore_merges": True}),
        ("gpt2", "bytes", {"pre_tokenizer": byte_level(cut=True)}, {}),
        ("gpt2 with prefix space", "bytes", {"pre_tokenizer": byte_level(prefix=True, cut=True)}, {}),
        ("smollm", "bytes", {"pre_tokenizer": sequence("pretokenizers", {"type": "Digits", "individual_digits": True}, byte_level(cut=True))}, {}),
        ("qwen", "bytes", {"normalizer": {"type": "NFC"}, "pre_tokenizer": sequence("pretokenizers", regex(LLAMA3.replace("{1,3}", "")), byte_level())}, {}),
        ("a pattern of no known model", "bytes", {"pre_tokenizer": sequence("pretokenizers", regex(CASED), byte_level())}, {}),
        ("nothing cut", "bytes", {"pre_tokenizer": byte_level()}, {}),
        ("removed digits", "bytes", {"pre_tokenizer": sequence("pretokenizers", regex(r"\p{N}+", "Removed"), byte_level())}, {}),
        ("merged with next", "bytes", {"pre_tokenizer": sequence("pretokenizers", regex(r"\s", "MergedWithNext"), byte_level())}, {}),
        ("merged with previous, inverted", "bytes", {"pre_tokenizer": sequence("pretokenizers", regex(r"\w+", "MergedWithPrevious") | {"invert": True}, byte_level())}, {}),
        ("contiguous", "bytes", {"pre_tokenizer": sequence("pretokenizers", {"type": "Digits", "individual_digits": False}, regex("[a-z]", "Contiguous"), byte_level())}, {}),
        ("flags of added tokens", "bytes", {"added_tokens": flags}, {}),
        ("llama2", "pieces", {}, {}),
        ("gemma", "pieces", {"normalizer": spaces, "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}, "decoder": sequence("decoders", {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"})}, {}),
        ("metaspace", "pieces", {"normalizer": None, "pre_tokenizer": metaspace, "decoder": metaspace}, {}),
        ("metaspace always, not cut", "pieces", {"normalizer": None, "pre_tokenizer": metaspace | {"prepend_scheme": "always", "split": False}, "decoder": metaspace | {"prepend_scheme": "never"}}, {}),
        ("fused unknown", "pieces", {}, {"byte_fallback": False}),
        ("unknown one by one", "pieces", {"decoder": None}, {"byte_fallback": False, "fuse_unk": False}),
        ("unknown vanishes", "pieces", {"decoder": None}, {"byte_fallback": False, "unk_token": None}),
        ("normalized added tokens", "pieces", {"added_tokens": [added("boat", m, special=False, normalized=True), added("mill", m + 1, special=False, normalized=True, rstrip=True)]}, {}),
    ]


def main():
    bases = {"bytes": bytes_tokenizer(), "pieces": pieces_tokenizer()}
    for name, base in bases.items():
        (DATA / f"tokenizer_{name}.json").write_text(json.dumps(base, ensure_ascii=True, indent=0) + "\n")
    lines = [{"made_by": "tests/make/make_tokenizer_goldens.py", "tokenizers": tokenizers.__version__}]
    for name, base, changes, model in variants(*(len(b["model"]["vocab"]) for b in bases.values())):
        whole = bases[base] | changes
        whole = whole | {"model": whole["model"] | model}
        t = tokenizers.Tokenizer.from_str(json.dumps(whole))
        lines.append({"variant": name, "base": base, "set": changes, "model": model})
        for text in TEXTS:
            ids, special = (t.encode(text, add_special_tokens=add).ids for add in (False, True))
            line = {"text": text, "ids": ids, "decoded": t.decode(ids, skip_special_tokens=False)}
            if special != ids:
                line["special"] = special
            if (skipped := t.decode(special)) != line["decoded"]:
                line["skipped"] = skipped
            lines.append(line)
    (DATA / "tokenizer_goldens.jsonl").write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


main()
