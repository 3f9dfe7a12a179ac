/* byte_alphabet.h - how byte-level vocabularies spell bytes: every byte is one printable character.
 *
 * Bytes that are printable in Latin-1 stand for themselves, the other 68 are U+0100, U+0101, ... in order; so a space
 * is U+0120. Source: GPT-2's bytes_to_unicode (Radford et al. 2019). */
#pragma once
#include <stdint.h>

/* The byte that a character stands for, -1 where it stands for none. */
static inline int byte_alphabet_byte(uint32_t code) {
    if ((code >= 33 && code <= 126) || (code >= 161 && code <= 255 && code != 173)) return (int)code;
    if (code < 256 || code >= 256 + 68) return -1;
    int k = (int)code - 256; // of 0..32, 127..160, 173
    return k < 33 ? k : k < 67 ? k + 94 : 173;
}
