/* unicode_tables.h - general categories of Unicode 16, made by tools/make_unicode_tables.py, read by text/unicode.h. */
#pragma once
#include <stdint.h>

enum { UNICODE_BLOCKS_END = 0x20000, UNICODE_RANGES = 14 };

typedef struct {
    uint32_t first, last;
    uint8_t category;
} UnicodeRange;

extern const uint16_t unicode_block_of[UNICODE_BLOCKS_END / 64]; // code point / 64 -> block
extern const char unicode_block[];                               // block * 64 + code point % 64 -> 'A' + category
extern const UnicodeRange unicode_range[UNICODE_RANGES];         // from UNICODE_BLOCKS_END on; elsewhere Cn
