#!/usr/bin/env python3
"""What TRL's DPOTrainer logs in every step, beside `dice train` with train.log_logits: entropy, accuracies, logits, rewards, sums.

usage: tests/parity/trl_metrics.py CHECKPOINT...   (Hugging Face directories; small ones, such as ../shared/oracle/tiny/*/model)
Needs requirements.txt in an environment of its own: this is no part of `make check`. DICE names the program.
"""
import json, pathlib, sys

from datasets import Dataset
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))
from beside import base, dice, run, say

STEPS, MICRO, ACCUMULATED = 4, 2, 2
BOUNDS = {"loss": 5e-6, "grad_norm": 2e-4, "learning_rate": 1e-12, "rewards/chosen": 1.4e-5, "rewards/rejected": 1.4e-5, "rewards/margins": 1.4e-5,
          "rewards/accuracies": 0, "logps/chosen": 1.2e-4, "logps/rejected": 1.2e-4, "logits/chosen": 8e-7, "logits/rejected": 8e-7,
          "entropy": 5e-6, "mean_token_accuracy": 1e-6}  # as of a trajectory of the tiny goldens; the norm is one of many tens


class Plain(DPOTrainer):
    """Rows are token ids already."""

    def _prepare_dataset(self, dataset, *_, **__):
        return dataset


def trl(checkpoint, place, rows):
    words = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1}, unk_token="<pad>"))
    settings = DPOConfig(output_dir=str(place / "trl"), max_steps=STEPS, per_device_train_batch_size=MICRO, gradient_accumulation_steps=ACCUMULATED,
                         learning_rate=1e-3, lr_scheduler_type="constant", weight_decay=0.0, max_grad_norm=1.0, beta=0.1, logging_steps=1,
                         report_to="none", save_strategy="no", use_cpu=True, bf16=False, gradient_checkpointing=False, max_length=None,
                         train_sampling_strategy="sequential", disable_tqdm=True)
    trainer = Plain(model=base(checkpoint), ref_model=base(checkpoint), args=settings, train_dataset=Dataset.from_list(rows),
                    processing_class=PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>"))
    trainer.train()
    return [entry for entry in trainer.state.log_history if "loss" in entry]


def check(checkpoint, name, place, _, pairs):
    rows = pairs[: MICRO * ACCUMULATED] + pairs[::-1] + pairs[: MICRO * ACCUMULATED]
    (place / "ordered.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    keys = {"parity": "trl-1.x", "train.steps": STEPS, "train.pairs_per_step": MICRO * ACCUMULATED, "train.loss_pairs": MICRO, "train.beta": 0.1,
            "train.learning_rate": 1e-3, "train.schedule": "constant", "train.warmup_steps": 0, "train.weight_decay": 0, "train.clip_norm": 1,
            "train.log_logits": "true", "train.checkpoint_every": 0}
    dice("train", "--model", checkpoint, "--data", place / "ordered.jsonl", "--out", place / "ours", "--metrics", place / "ours.jsonl", "--in-order",
         "--precision", "float32", *(word for key, value in keys.items() for word in ("--set", f"{key}={value}")))
    ours = [line for line in map(json.loads, (place / "ours.jsonl").read_text().splitlines()) if "grad_norm" in line]
    theirs = trl(checkpoint, place, rows)
    say(f"{name}: steps that are logged by one alone", abs(len(ours) - len(theirs)), 0)
    for key, bound in BOUNDS.items():
        say(f"{name}: {key} of every step", max(abs(a[key] - b[key]) for a, b in zip(ours, theirs)), bound)


run(check)
