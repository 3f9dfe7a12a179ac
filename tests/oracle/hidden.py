"""tiny/NAME/hidden.safetensors: activations inside the model, seen through its logits.

dice shows logits only. So a copy of the checkpoint is cut behind a layer, what it should not add is set to zero, and its head is
the identity: its logits are the activation there, through a norm of weight 1. What that norm takes out, the activation's size,
decides what the next layer's output is.
"""
import array
import json
import math

import tensors
from tensors import Tensors, largest

BOUND = 2e-5  # what the goldens' own check allows from here to the logits
O, DOWN = "self_attn.o_proj.", "mlp.down_proj."


def _rows(values, width):
    return [values[at : at + width] for at in range(0, len(values), width)]


def _norm(row, eps, weight=None):
    scale = 1 / math.sqrt(math.fsum(x * x for x in row) / len(row) + eps)
    return [x * scale for x in row] if weight is None else [x * scale * w for x, w in zip(row, weight, strict=True)]


class Cut:
    """A model of which the layers [0, layers) remain."""

    def __init__(self, program, model):
        self.program, self.weights = program, Tensors(model / "model.safetensors")
        self.config = json.loads((model / "config.json").read_text(encoding="utf-8"))
        self.V, self.C = self.weights.shape("model.embed_tokens.weight")
        self.offset = 1.0 if self.config["model_type"].startswith("gemma") else 0.0  # norms multiply by it more than their weight
        self.unit = array.array("f", [1.0 - self.offset] * self.C)

    def norm(self, row, name):
        """A norm of the model, or without a name one of weight 1."""
        weight = None if name is None else [self.offset + w for w in self.weights[name]]
        return _norm(row, self.config["rms_norm_eps"], weight)

    def sandwiched(self, layer, part, row):
        """What a layer adds for the output of one of its two parts."""
        name = f"model.layers.{layer}.{'post_attention' if part == 'self_attn' else 'post_feedforward'}_layernorm.weight"
        sandwich = f"model.layers.{layer}.post_feedforward_layernorm.weight" in self.weights
        return self.norm(row, name) if sandwich else row

    def activations(self, ids, layers, without=(), last_norm=False):
        """Rows of the normed activation behind the layers, the last of which adds nothing through the matrices `without`."""
        kept = {}
        for name in self.weights:
            number = int(name.split(".")[2]) if name.startswith("model.layers.") else -1
            if number < layers and name != "lm_head.weight":
                kept[name] = self.weights[name]
            if number == layers - 1 and any(part in name for part in without):
                kept[name] = array.array("f", bytes(4 * len(kept[name])))
        if not last_norm:
            kept["model.norm.weight"] = self.unit
        head = array.array("f", bytes(4 * self.V * self.C))
        for i in range(self.C):
            head[i * self.C + i] = 1.0
        shapes = {name: self.weights.shape(name) for name in kept} | {"lm_head.weight": [self.V, self.C]}
        config = self.config | {"num_hidden_layers": layers, "tie_word_embeddings": False}
        if config.get("layer_types"):
            config["layer_types"] = config["layer_types"][:layers]
        model = self.program.place()
        model.mkdir()
        (model / "config.json").write_text(json.dumps(config), encoding="utf-8")
        tensors.write(model / "model.safetensors", kept | {"lm_head.weight": head}, shapes)
        logits = Tensors(self.program.logits(model, [{"ids": ids}], "float32"))["0.logits"]
        return [row[: self.C] for row in _rows(logits, self.V)]


def check(program, model, path, ids, report, place):
    golden, cut = Tensors(path), Cut(program, model)
    if cut.V < cut.C:
        report.cannot_look(f"{path}: a head of {cut.V} words cannot show {cut.C} numbers")
        return
    hidden = {name: _rows(golden[name], cut.C) for name in golden}

    def seen(name, found, expected):
        for t, (a, b) in enumerate(zip(found, expected, strict=True)):
            report.within("float32 activations, normed, max", largest(a, b), BOUND, f"{place} {name} row {t}")

    def sums(name, found, expected):
        for t, (a, b) in enumerate(zip(found, expected, strict=True)):
            report.within("the goldens' own activations, relative", largest(a, b) / max(map(abs, b)), 1e-6, f"{place} {name} row {t}")

    added = lambda x, layer, part: [[a + b for a, b in zip(row, cut.sandwiched(layer, part, more), strict=True)]
                                    for row, more in zip(x, hidden[f"layer{layer}.{part}"], strict=True)]
    normed = lambda x, name=None: [cut.norm(row, name) for row in x]
    layers, x = cut.config["num_hidden_layers"], hidden["embed"]
    scale = math.sqrt(cut.C) if cut.offset else 1.0
    table = _rows(cut.weights["model.embed_tokens.weight"], cut.C)
    sums("embed", x, [[scale * w for w in table[i]] for i in ids])
    seen("embed", cut.activations(ids, 1, (O, DOWN)), normed(x))
    for layer in range(layers):
        between = added(x, layer, "self_attn")
        seen(f"layer{layer}.self_attn", cut.activations(ids, layer + 1, (DOWN,)), normed(between))
        x = hidden[f"layer{layer}.out"]
        sums(f"layer{layer}.out", x, added(between, layer, "mlp"))
        seen(f"layer{layer}.out", cut.activations(ids, layer + 1), normed(x))
    sums("norm", hidden["norm"], normed(x, "model.norm.weight"))
    seen("norm", cut.activations(ids, layers, last_norm=True), hidden["norm"])
    report.equal("activations: names", sorted(golden), sorted(["embed", "norm"] + [f"layer{n}.{part}" for n in range(layers)
                                                                                   for part in ("self_attn", "mlp", "out")]), place)
