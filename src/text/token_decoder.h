/* token_decoder.h - ids to text as they come, never half a character.
 *
 * A token may end inside a character (a byte-level token, or <0xE2>). Its bytes are held back until the rest comes, so
 * that every push appends valid UTF-8 [TD-1], and all pushes and the finish together are tokenizer_decode of all ids
 * [TD-2]. Bytes that cannot become a character are U+FFFD, as the reference writes them. Memory: the decoder owns the
 * held-back bytes; the Tokenizer is borrowed and must outlive it. Claims: [TD-n] are checked by
 * tests/unit/test_token_decoder.c. */
#pragma once
#include "text/bpe_tokenizer.h"

typedef struct TokenDecoder TokenDecoder;

int token_decoder_create(TokenDecoder **decoder, const Tokenizer *tokenizer, bool skip_special, Error *error);
void token_decoder_free(TokenDecoder *decoder); // NULL is fine

/* Appends what `id` completes. An id without a token is nothing. */
int token_decoder_push(TokenDecoder *decoder, int32_t id, Buffer *out, Error *error);
/* Appends what was held back and makes the decoder new. */
int token_decoder_finish(TokenDecoder *decoder, Buffer *out, Error *error);
