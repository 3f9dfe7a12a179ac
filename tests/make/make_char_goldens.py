#!/usr/bin/env python3
"""Writes tests/data/jinja_chars.txt: what Python's str methods say of each character, a hash per 256 of them.

usage: tests/make/make_char_goldens.py > tests/data/jinja_chars.txt      (Python 3.11, Unicode 14)

Line: first code point, FNV-1a hash (64 bits) over, for every character: one byte of flags (isspace, ends a line for
splitlines, isprintable, isalpha, isdecimal, isdigit, isnumeric), then the code points of lower(), upper() and title(),
each followed by 0, as 32-bit little-endian numbers. Blocks whose letters are alike in Unicode 14 and 15, without
U+10A0 .. U+1FFF, whose special cases (polytonic Greek) the engine leaves out.
"""
import sys

BLOCKS = [*range(0x0000, 0x0500, 0x100), 0x2000, 0x2100, 0x2400, 0x3000, 0x6000, 0xAC00, 0xD700, 0xFF00, 0x1F300]


def fnv(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


def record(c):
    tests = [c.isspace(), len(("a" + c + "b").splitlines()) == 2, c.isprintable(), c.isalpha(), c.isdecimal(), c.isdigit(), c.isnumeric()]
    data = bytes([sum(1 << i for i, yes in enumerate(tests) if yes)])
    for text in (c.lower(), c.upper(), c.title()):
        for code in [*map(ord, text), 0]:
            data += code.to_bytes(4, "little")
    return data


print(f"# made by tests/make/make_char_goldens.py, Python {sys.version.split()[0]}")
for first in BLOCKS:
    codes = [c for c in range(first, first + 256) if not 0xD800 <= c < 0xE000]
    print(f"{first:x} {fnv(b''.join(record(chr(c)) for c in codes)):016x}")
