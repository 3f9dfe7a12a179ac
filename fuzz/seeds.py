#!/usr/bin/env python3
"""First inputs of a fuzz program, without which it would hardly get past the first byte.

usage: fuzz/seeds.py NAME DIRECTORY    writes inputs to DIRECTORY, and the words in them to DIRECTORY/../NAME.dict
Run from the root of the repository. A NAME that is not known here has no seeds, which is fine.
"""
import json
import pathlib
import re
import struct
import sys

TINY = sorted(pathlib.Path("tests/data/tiny").glob("*/model"))


def config():
    base = json.loads((TINY[0] / "config.json").read_text())
    generation = {"bos_token_id": 1, "eos_token_id": [2, 3], "pad_token_id": 0, "temperature": 0.7, "top_p": 0.9, "top_k": 20}
    scalings = [{"rope_type": "linear", "factor": 2.0}, {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32,
                "beta_fast": 32, "beta_slow": 1, "attention_factor": 1.1, "mscale": 1, "mscale_all_dim": 1, "truncate": False},
                {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}]
    gemma = {"model_type": "gemma3_text", "query_pre_attn_scalar": 16, "sliding_window": 8, "sliding_window_pattern": 2, "layer_types":
             ["sliding_attention", "full_attention"], "rope_local_base_freq": 1e4, "hidden_activation": "gelu_pytorch_tanh",
             "final_logit_softcapping": None, "attn_logit_softcapping": None, "rope_parameters":
             {"full_attention": {"rope_type": "default", "rope_theta": 1e6}, "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}}
    more = [{}, gemma, {"model_type": "mistral", "sliding_window": 4}, {"model_type": "qwen3", "head_dim": 16, "attention_bias": False},
            {"model_type": "qwen2", "use_sliding_window": True, "max_window_layers": 1, "sliding_window": 4, "mlp_bias": True}]
    more += [{"rope_scaling": s} for s in scalings] + [{"rope_parameters": dict(s, rope_theta=1e4)} for s in scalings]
    for changes in more:
        yield json.dumps(base | changes).encode() + b"\0" + json.dumps(generation).encode()
    yield from ((directory / "config.json").read_bytes() for directory in TINY)


def adapter():
    full = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "m", "r": 8, "lora_alpha": 16, "lora_dropout": 0.05,
            "target_modules": ["q_proj", "v_proj"], "bias": "none", "fan_in_fan_out": False, "modules_to_save": None, "use_rslora": True,
            "use_dora": False, "inference_mode": True, "init_lora_weights": True, "layers_to_transform": None, "rank_pattern": {},
            "alpha_pattern": {}}
    for targets in (full["target_modules"], "all-linear", "q_proj", ["model.layers.0.mlp.down_proj"]):
        yield json.dumps(full | {"target_modules": targets}).encode()


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def gguf_value(kind, value):
    """4 uint32, 6 float32, 7 bool, 8 string, (9, element): array"""
    if isinstance(kind, tuple):
        return struct.pack("<IQ", kind[1], len(value)) + b"".join(gguf_value(kind[1], v) for v in value)
    return text(value) if kind == 8 else struct.pack({4: "<I", 5: "<i", 6: "<f", 7: "<?"}[kind], value)


def gguf():
    tokens = ["<s>", "</s>", "a", "b", "ab", "<0x0A>", "\u2581"]
    common = [("general.architecture", 8, "llama"), ("general.alignment", 4, 32), ("llama.block_count", 4, 1), ("llama.context_length", 4, 64),
              ("llama.embedding_length", 4, 32), ("llama.feed_forward_length", 4, 32), ("llama.attention.head_count", 4, 2),
              ("llama.attention.head_count_kv", 4, 1), ("llama.attention.layer_norm_rms_epsilon", 6, 1e-5), ("llama.rope.freq_base", 6, 1e4),
              ("llama.rope.scaling.type", 8, "linear"), ("llama.rope.scaling.factor", 6, 2.0), ("llama.vocab_size", 4, len(tokens)),
              ("tokenizer.ggml.tokens", (9, 8), tokens), ("tokenizer.ggml.token_type", (9, 5), [3, 3, 1, 1, 1, 6, 1]),
              ("tokenizer.ggml.bos_token_id", 4, 0), ("tokenizer.ggml.eos_token_id", 4, 1), ("tokenizer.ggml.add_bos_token", 7, True),
              ("tokenizer.chat_template", 8, "{{ messages }}")]
    models = [[("tokenizer.ggml.model", 8, "gpt2"), ("tokenizer.ggml.pre", 8, "smollm"), ("tokenizer.ggml.merges", (9, 8), ["a b"])],
              [("tokenizer.ggml.model", 8, "llama"), ("tokenizer.ggml.scores", (9, 6), [0, 0, -1, -2, -0.5, 0, -3])]]
    # {type: (elements, bytes) of a block}
    blocks = {0: (1, 4), 1: (1, 2), 30: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84), 11: (256, 110),
              12: (256, 144), 13: (256, 176), 14: (256, 210)}
    for version in (2, 3):
        for model in models:
            for kind, (elements, size) in blocks.items():
                count = max(elements, 32)
                names = ["token_embd.weight", "blk.0.attn_q.weight"]
                pairs = b"".join(text(k) + struct.pack("<I", t[0] if isinstance(t, tuple) else t) + gguf_value(t, v) for k, t, v in common + model)
                data, tensors = b"", b""
                for name in names:
                    tensors += text(name) + struct.pack("<IQQIQ", 2, count, 2, kind, len(data))
                    data += (b"\x01\x3c\x10\x20" * (count * size))[: count // elements * size * 2]
                    data += b"\0" * (-len(data) % 32)
                head = b"GGUF" + struct.pack("<IQQ", version, len(names), len(common + model)) + pairs + tensors
                yield head + b"\0" * (-len(head) % 32) + data


def recipe():
    for path in sorted(pathlib.Path("recipes").glob("*.yaml")):
        yield path.read_bytes()
    for line in ("sample.stop=[a, b]", "train.learning_rate=1e-6", "data.offline=x.jsonl", "export.dtype=bfloat16", "lora.r=8"):
        yield line.encode()


def rows():
    message = lambda role, content: {"role": role, "content": content}
    pair = {"prompt": "Why?", "chosen": "So.", "rejected": "Well, then."}
    chat = {"prompt": [message("system", "Be kind."), message("user", "Why?")], "chosen": [message("assistant", "So.")],
            "rejected": [message("assistant", "Well.")], "tools": [{"type": "function", "function": {"name": "f"}}],
            "chat_template_kwargs": {"enable_thinking": False}}
    whole = {"chosen": [message("user", "a"), message("assistant", "b")], "rejected": [message("user", "a"), message("assistant", "c")]}
    binarized = dict(whole, prompt="a", score_chosen=8.0, score_rejected=2.0)
    alpaca = {"instruction": "Add.", "input": "1 2", "chosen": "3", "rejected": "4", "system": "s", "history": [["q", "a"]]}
    older = {"instruction": "Add.", "input": "", "output": ["3", "4"]}
    sharegpt = {"conversations": [{"from": "human", "value": "a"}], "chosen": {"from": "gpt", "value": "b"}, "rejected": {"from": "gpt", "value": "c"}}
    responses = {"prompt": "a", "responses": ["b", "c"], "rewards": [0.5, -1]}
    ids = {"prompt_ids": [1, 2], "chosen_ids": [3], "rejected_ids": [4, 5], "response_ids": [[3], [4]]}
    every = [pair, chat, whole, binarized, alpaca, older, sharegpt, responses, ids, {"prompt": "a"}, {"instruction": "a"}]
    for use in range(16):
        for row in every:
            line = json.dumps(row).encode()
            yield bytes([use]) + (line + b"\n" + line if use % 2 else b"[" + line + b"," + line + b"]")


def safetensors():
    shapes = {"a": ("F32", [2, 3], 24), "b": ("BF16", [4], 8), "c": ("F16", [1, 2, 2], 8), "d": ("F32", [], 4), "e": ("I64", [1], 8)}
    for names in ("a", "b", "c", "abc", "ad", "abcde"):
        header, at = {"__metadata__": {"format": "pt"}}, 0
        for name in names:
            dtype, shape, size = shapes[name]
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
            at += size
        body = json.dumps(header).encode()
        body += b" " * (-len(body) % 8)
        yield struct.pack("<Q", len(body)) + body + bytes(range(at))


def small_tokenizer(path):
    """A tokenizer.json of the tests with few tokens, so that inputs stay short."""
    whole = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    vocabulary = dict(sorted(whole["model"]["vocab"].items(), key=lambda item: item[1])[:24])
    whole["model"]["vocab"] = vocabulary
    pieces = [m if isinstance(m, list) else m.split(" ") for m in whole["model"]["merges"]]
    whole["model"]["merges"] = [" ".join(p) for p in pieces if all(x in vocabulary for x in (*p, "".join(p)))]
    for number, token in enumerate(whole["added_tokens"]):
        token["id"] = 24 + number
    return whole


def tokenizer():
    digits = {"type": "Digits", "individual_digits": True}
    split = {"type": "Split", "pattern": {"Regex": "\\p{L}+|\\s+(?!\\S)|[^\\s]"}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    metaspace = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": False}
    normalizers = [None, {"type": "NFC"}, {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"},
                   {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]}]
    decoders = [{"type": "ByteLevel"}, {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
                {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}]
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|start|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [], "special_tokens": {"<|start|>": {"id": "<|start|>", "ids": [24], "tokens": ["<|start|>"]}}}
    for path in ("tests/data/tokenizer_bytes.json", "tests/data/tokenizer_pieces.json"):
        whole = small_tokenizer(path)
        yield json.dumps(whole).encode()
        for before in (None, level, metaspace, {"type": "Sequence", "pretokenizers": [split, digits, dict(level, use_regex=False)]}):
            for normalizer in normalizers:
                for decoder in decoders:
                    changed = dict(whole, pre_tokenizer=before, normalizer=normalizer, decoder=decoder, post_processor=template)
                    yield json.dumps(changed).encode()
        yield json.dumps(dict(whole, model=dict(whole["model"], ignore_merges=True, byte_fallback=True, unk_token="a", fuse_unk=True))).encode()


def template():
    with open("tests/data/jinja_goldens.jsonl", encoding="utf-8") as lines:
        next(lines)
        yield from (json.loads(line)["template"].encode() for line in lines)


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def field(number, wire, value):
    return varint(number << 3 | wire) + (varint(len(value)) + value if wire == 2 else varint(value) if wire == 0 else value)


def spm():
    pieces = [("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3), ("<0x0A>", 0, 6), ("\u2581", -3, 1), ("b", -3, 1), ("o", -3, 1),
              ("bo", -1, 1), ("\u2581bo", -0.5, 1), ("<user>", 0, 4)]
    for fallback, prefix, collapse in [(1, 1, 0), (0, 0, 0), (0, 1, 1)]:
        body = b"".join(field(1, 2, field(1, 2, t.encode()) + field(2, 5, struct.pack("<f", s)) + field(3, 0, k)) for t, s, k in pieces)
        yield body + field(2, 2, field(3, 0, 2) + field(35, 0, fallback)) + field(3, 2, field(3, 0, prefix) + field(4, 0, collapse))


def words(inputs):
    """Names and short strings as libFuzzer's dictionary takes them."""
    found = {word for data in inputs for word in re.findall(rb'[A-Za-z_][A-Za-z0-9_.\-]{2,30}', data)}
    return "".join(f'"{word.decode()}"\n' for word in sorted(found)[:2000])


def main():
    name, target = sys.argv[1], pathlib.Path(sys.argv[2])
    makers = {m.__name__: m for m in (config, adapter, gguf, recipe, rows, safetensors, tokenizer, template, spm)}
    if name not in makers:
        return
    inputs = list(makers[name]())
    for number, data in enumerate(inputs):
        (target / f"seed_{number:03}").write_bytes(data)
    (target.parent / f"{name}.dict").write_text(words(inputs), encoding="ascii")


main()
