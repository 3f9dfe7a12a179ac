"""Safetensors files with the standard library: names, shapes, and flat arrays of float."""
import array
import json
import math

_codes = {"F32": "f", "F64": "d", "I32": "i", "I64": "q"}


class Tensors:
    """A safetensors file, read when asked. `t["name"]` is a flat array; `t.shape("name")` its shape."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self._bytes = memoryview(file.read())
        length = int.from_bytes(self._bytes[:8], "little")
        self._header = json.loads(bytes(self._bytes[8 : 8 + length]))
        self._header.pop("__metadata__", None)
        self._data = self._bytes[8 + length :]

    def __contains__(self, name):
        return name in self._header

    def __iter__(self):
        return iter(self._header)

    def shape(self, name):
        return self._header[name]["shape"]

    def __getitem__(self, name):
        entry = self._header[name]
        begin, end = entry["data_offsets"]
        values = array.array(_codes[entry["dtype"]])
        values.frombytes(self._data[begin:end])
        return values


def write(path, values, shapes):
    """A file of float32 tensors: {name: flat array}, {name: shape}."""
    header, at = {}, 0
    for name, data in values.items():
        header[name] = {"dtype": "F32", "shape": shapes[name], "data_offsets": [at, at + 4 * len(data)]}
        at += 4 * len(data)
    text = json.dumps(header).encode("utf-8")
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(data.tobytes() for data in values.values()))


def l2(values):
    return math.sqrt(math.fsum(v * v for v in values))


def distance(a, b):
    return math.sqrt(math.fsum((x - y) ** 2 for x, y in zip(a, b, strict=True)))


def largest(a, b):
    return max((abs(x - y) for x, y in zip(a, b, strict=True)), default=0.0)
