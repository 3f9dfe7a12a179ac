/* bpe_model_parts.h - the inside of a BpeModel, for what reads one (bpe_model_json.c) and what runs it (bpe_model.c).
 */
#pragma once
#include "text/bpe_model.h"
#include "text/merge_table.h"
#include <stdatomic.h>

/* U+2581, which stands for a space in SentencePiece-style vocabularies; at a border it counts as one byte that UTF-8
 * does not have, so that words are told from other characters that end or begin with the same bytes. */
#define BPE_SPACE "\xe2\x96\x81"
enum { BPE_SPACE_FIRST = 0xe2, BPE_SPACE_LAST = 0x81, BPE_SPACE_CLASS = 0xff };

struct BpeModel {
    Vocabulary spelled;        // as in the file
    Vocabulary bytes;          // byte_level: those that are spelled in the byte alphabet, as bytes
    const Vocabulary *strings; // the one of the two that pieces are sought in
    MergeTable merges;
    int32_t byte_id[256];     // the symbol of a byte (byte_level) or of an ASCII character; -1: none
    int32_t fallback_id[256]; // of <0xNN>
    int32_t unk_id;           // -1: not in the vocabulary
    bool byte_level, byte_fallback, has_unk, fuse_unk, ignore_merges;
    bool cuts;              // `joint` may be used
    uint64_t joint[256][4]; // bit [last byte of the left][first byte of the right]: some merge joins there
    _Atomic uint8_t *whole; // (ids) what encoding a string of the vocabulary gave: see bpe_model.c
};
