"""Writes src/text/unicode_tables.c. usage: make_unicode_tables.py > src/text/unicode_tables.c

Needs Unicode 16, the version of the reference's regex classes: Python 3.14's own unicodedata, or `pip install
unicodedata2==16.0.0` for an older Python. The table has two stages: code point >> 6 gives a block, blocks that are equal are
stored once. Above 0x20000 there are few ranges, listed as such.
"""
import sys

try:
    import unicodedata2 as unicodedata
except ImportError:
    import unicodedata

CATEGORIES = "Cn Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co".split()
BLOCK, LIMIT = 64, 0x20000


def wrapped(numbers):
    line = "   "
    for number in numbers:
        text = f" {number},"
        if len(line) + len(text) > 118:
            yield line
            line = "   "
        line += text
    yield line


def main():
    if unicodedata.unidata_version != "16.0.0":
        sys.exit(f"make_unicode_tables.py: Unicode 16.0.0 is needed, this Python has {unicodedata.unidata_version}")
    number = [CATEGORIES.index(unicodedata.category(chr(c))) for c in range(0x110000)]
    blocks, index = {}, []
    for start in range(0, LIMIT, BLOCK):
        block = "".join(chr(ord("A") + n) for n in number[start:start + BLOCK]).replace("\\", "\\\\")
        index.append(blocks.setdefault(block, len(blocks)))
    ranges, start = [], LIMIT
    for c in range(LIMIT + 1, 0x110001):
        if c == 0x110000 or number[c] != number[start]:
            if number[start]:
                ranges.append(f"    {{0x{start:X}, 0x{c - 1:X}, {number[start]}}}, // {CATEGORIES[number[start]]}")
            start = c
    print("/* Made by tools/make_unicode_tables.py from Unicode 16.0.0; not to be edited. */")
    print('#include "text/unicode_tables.h"\n')
    print("// clang-format off")
    print(f"const uint16_t unicode_block_of[{len(index)}] = {{")
    print(*wrapped(index), sep="\n")
    print("};\n")
    print(f"// 64 code points a string, 'A' + category:\n// {' '.join(CATEGORIES)}")
    print(f"const char unicode_block[{len(blocks) * BLOCK} + 1] =")
    print(*(f'    "{block}"' for block in blocks), sep="\n", end=";\n\n")
    print(f"const UnicodeRange unicode_range[UNICODE_RANGES] = {{")
    print(*ranges, sep="\n")
    print("};")
    print(f"made: {len(blocks)} blocks, UNICODE_RANGES = {len(ranges)}", file=sys.stderr)


main()
