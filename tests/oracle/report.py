"""What a comparison found: the largest error of each quantity beside its bound, and every case that is off."""
import math


class CannotLook(Exception):
    """Something needed for the comparison is not there."""


class Report:
    def __init__(self):
        self.rows = {}  # quantity -> [largest error, bound, cases]
        self.off = []
        self.unsupported = []
        self.missing = []

    def within(self, quantity, error, bound, case):
        """error is a number >= 0; not a number is off."""
        row = self.rows.setdefault(quantity, [0.0, bound, 0])
        row[2] += 1
        if not error <= row[0]:
            row[0] = error
        if not error <= bound:
            self.off.append(f"{case}: {quantity} is off by {error:.3g}, bound {bound:.3g}")

    def rms(self, quantity, errors, bound, case):
        if errors:
            self.within(quantity, math.sqrt(math.fsum(e * e for e in errors) / len(errors)), bound, case)

    def equal(self, quantity, found, expected, case):
        row = self.rows.setdefault(quantity, [0.0, 0.0, 0])
        row[2] += 1
        if found != expected:
            row[0] = max(row[0], 1.0)
            self.off.append(f"{case}: {quantity}: found {_short(found)}, expected {_short(expected)}")

    def not_supported(self, what):
        self.unsupported.append(what)

    def cannot_look(self, what):
        self.missing.append(what)

    def print(self):
        if self.rows:
            print(f"{'quantity':58} {'largest error':>14} {'bound':>10} {'cases':>7}")
        for quantity, (error, bound, cases) in self.rows.items():
            print(f"{quantity:58} {error:14.3g} {bound:10.3g} {cases:7}{'' if error <= bound else '  OFF'}")
        for line in self.off:
            print("off:", line)
        for line in self.unsupported:
            print("not supported yet:", line)
        for line in self.missing:
            print("could not look:", line)

    @property
    def code(self):
        if self.off:
            return 1
        return 2 if self.unsupported or self.missing or not self.rows else 0


def _short(value):
    text = repr(value)
    return text if len(text) < 160 else text[:157] + "..."
