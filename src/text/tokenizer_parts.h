/* tokenizer_parts.h - the inside of a Tokenizer, for bpe_tokenizer.c and token_decoder.c. */
#pragma once
#include "text/added_tokens.h"
#include "text/bpe_model.h"
#include "text/bpe_tokenizer.h"
#include "text/decode_rules.h"
#include "text/normalizer.h"
#include "text/pretokenize.h"
#include "text/vocabulary.h"

enum {
    TOKEN_SPECIAL = 1,
    TOKEN_HAS_FORM = 2 // an added token that the normalizer changes; decoding begins with its form
};

struct Tokenizer {
    Normalizer *normalizer;
    AddedTokens *added;
    Pretokenizer *pretokenizer;
    BpeModel *model;
    DecodeRules decode;
    TokenList prefix, suffix; // of the post-processor
    Vocabulary tokens;        // the model's and the added ones, as the file spells them
    uint8_t *flags;           // (ids) TOKEN_*
    int32_t bos, eos, pad;
};
