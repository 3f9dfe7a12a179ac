"""Writes a llama2.c model (version 0 export) as a Hugging Face checkpoint. usage: stories260k_to_hf.py MODEL.bin DIRECTORY

llama2.c turns neighbouring elements of a head, Hugging Face element i with i + D/2: rows of q and k change places.
"""
import json
import pathlib
import struct
import sys


def read(path):
    data = path.read_bytes()
    dim, hidden, layers, heads, kv_heads, vocabulary, positions = struct.unpack("<7i", data[:28])
    assert vocabulary > 0, "a separate classifier is not handled"
    size, at = dim // heads, 28
    tensors = {}

    def take(rows, columns):
        nonlocal at
        begin, at = at, at + 4 * rows * columns
        return data[begin:at]

    def take_layers(name, rows, columns, heads_to_turn=0):
        for layer in range(layers):
            values = take(rows, columns)
            if heads_to_turn:
                row = [values[4 * columns * r:4 * columns * (r + 1)] for r in range(rows)]
                values = b"".join(row[size * h + i] for h in range(heads_to_turn) for i in [*range(0, size, 2), *range(1, size, 2)])
            tensors[f"model.layers.{layer}.{name}.weight"] = ([rows, columns] if columns > 1 else [rows], values)

    tensors["model.embed_tokens.weight"] = ([vocabulary, dim], take(vocabulary, dim))
    take_layers("input_layernorm", dim, 1)
    take_layers("self_attn.q_proj", dim, dim, heads)
    take_layers("self_attn.k_proj", kv_heads * size, dim, kv_heads)
    take_layers("self_attn.v_proj", kv_heads * size, dim)
    take_layers("self_attn.o_proj", dim, dim)
    take_layers("post_attention_layernorm", dim, 1)
    take_layers("mlp.gate_proj", hidden, dim)
    take_layers("mlp.down_proj", dim, hidden)
    take_layers("mlp.up_proj", hidden, dim)
    tensors["model.norm.weight"] = ([dim], take(dim, 1))
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": dim, "intermediate_size": hidden,
              "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads, "vocab_size": vocabulary,
              "max_position_embeddings": positions, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
              "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float32"}
    return config, tensors


def write(directory, config, tensors):
    directory.mkdir(parents=True, exist_ok=True)
    header, at = {}, 0
    for name, (shape, values) in tensors.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + len(values)]}
        at += len(values)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (directory / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"".join(v for _, v in tensors.values()))
    (directory / "config.json").write_text(json.dumps(config, indent=1))


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[2]), *read(pathlib.Path(sys.argv[1])))
