"""Runs the built `dice` on rows, and reads what it says."""
import json
import os
import pathlib
import subprocess
import tempfile

from report import CannotLook

USAGE, UNSUPPORTED = 2, 7  # exit codes of dice


class Unsupported(Exception):
    """dice says that it does not have this."""


class Program:
    def __init__(self, path):
        self.path = path
        self._scratch = tempfile.TemporaryDirectory(prefix="dice-oracle-")
        self._count = 0
        if not os.access(path, os.X_OK):
            raise CannotLook(f"{path} is not there: build it with `make`, or name it in DICE")

    def place(self, suffix=""):
        """A new path in the scratch directory."""
        self._count += 1
        return pathlib.Path(self._scratch.name) / f"{self._count}{suffix}"

    def rows(self, rows):
        path = self.place(".jsonl")
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    def run(self, *arguments):
        """The standard output of a call that must succeed."""
        call = [self.path, *map(str, arguments)]
        done = subprocess.run(call, capture_output=True, text=True, encoding="utf-8", check=False)
        if done.returncode == UNSUPPORTED:
            raise Unsupported(done.stderr.strip().splitlines()[-1])
        if done.returncode != 0:
            raise RuntimeError(f"`{' '.join(call)}` exits with {done.returncode}: {done.stderr.strip()[-600:]}")
        return done.stdout

    def refuses(self, *arguments):
        """Whether dice says that the command line or the recipe is wrong."""
        return subprocess.run([self.path, *map(str, arguments)], capture_output=True, check=False).returncode == USAGE

    def complaint(self, *arguments):
        """What dice says on standard error where it fails, "" where it does not."""
        done = subprocess.run([self.path, *map(str, arguments)], capture_output=True, text=True, encoding="utf-8", check=False)
        return done.stderr.strip() if done.returncode != 0 else ""

    def lines(self, *arguments):
        return [json.loads(line) for line in self.run(*arguments, "--quiet").split("\n") if line]

    def object(self, *arguments):
        return json.loads(self.run(*arguments, "--quiet", "--json"))

    def score(self, model, rows, precision, *more):
        """Rows of token ids -> their answers' {"logprobs", "token_logprobs"}."""
        return self.lines("score", "--model", model, "--data", self.rows(rows), "--per-token", "--precision", precision, *more)

    def merge(self, model, adapter, dtype):
        """Directory of the model with a LoRA adapter merged in."""
        out = self.place()
        self.run("export", model, out, "--adapter", adapter, "--merge", "--dtype", dtype, "--quiet")
        return out

    def logits(self, model, rows, precision):
        """Rows of {"ids", "positions"?} -> path of a safetensors file."""
        out = self.place(".safetensors")
        self.run("inspect", "logits", model, "--tokens", self.rows(rows), "--out", out, "--precision", precision, "--quiet")
        return out

    def gradient(self, model, rows, method, beta, precision):
        """(path of the gradient, {"loss", "grad_norm", ...})"""
        out = self.place(".safetensors")
        text = self.run("inspect", "gradient", model, "--data", self.rows(rows), "--method", method, "--beta", beta,
                        "--out", out, "--precision", precision, "--quiet")
        return out, json.loads(text)

    def train(self, model, rows, settings, *more):
        """(directory of the trained model, metrics of every step), float32, rows in order."""
        out, metrics = self.place(), self.place(".jsonl")
        sets = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        self.run("train", "--model", model, "--data", self.rows(rows), "--out", out, "--metrics", metrics, "--in-order",
                 "--precision", "float32", "--quiet", *sets, *more)
        return out, [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
