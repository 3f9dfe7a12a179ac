/* chat.h - conversations as token ids: the tokenizer, the chat template and the end tokens of one model directory.
 *
 * A prompt is an array of messages ({"role", "content", ...}) or a plain text (a JSON string). A conversation is
 * rendered by the model's chat template with the assistant's turn opened, a plain text is encoded with the tokenizer's
 * own special tokens. A pair's prompt is what the ids of prompt, prompt + chosen and prompt + rejected have in common
 * at their start; the rest is response, also a character of the prompt that a merge has swallowed (as TRL 1.16 does)
 * [CH-1].
 *
 * Where a response ends: CHAT_END_STOP keeps ids up to and including the first stop token, which is what sampling
 * yields; CHAT_END_TEMPLATE keeps what the template puts behind it too (ChatML's newline), which is what TRL trains on
 * [CH-2]. Plain responses get the end-of-text token appended unless they end with it. Memory: a Chat owns all it points
 * to and is never changed after loading. Claims: tests/unit/test_chat.c. */
#pragma once
#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"
#include "text/bpe_tokenizer.h"
#include "text/chat_template.h"

enum { CHAT_STOP_MAX = 24 };
typedef enum { CHAT_END_STOP, CHAT_END_TEMPLATE } ChatEnd;

typedef struct {
    Tokenizer *tokenizer;
    ChatTemplate *chat_template; // NULL: the model has none
    int32_t stop[CHAT_STOP_MAX]; // end tokens of config.json, generation_config.json and the tokenizer, distinct
    size_t stop_count;
} Chat;

/* directory: a Hugging Face checkpoint. A model without a template is fine until a conversation is rendered. */
int chat_load(Chat *chat, const char *directory, Error *error);
void chat_free(Chat *chat);

/* Adds end tokens: each a token as the vocabulary spells it, or a whole number; count 0 leaves the model's own,
 * otherwise they replace those. ERROR_USAGE for one that the vocabulary does not have. */
int chat_set_stop(Chat *chat, const char *const *tokens, size_t count, Error *error);

/* Appends the rendering of messages. `extra`: further variables of the template (object) or NULL. */
int chat_render(const Chat *chat, const json_t *messages, const json_t *extra, bool open_turn, Buffer *out,
                Error *error);
/* Appends the ids of a prompt, the assistant's turn opened. */
int chat_encode_prompt(const Chat *chat, const json_t *prompt, const json_t *extra, TokenList *ids, Error *error);

/* The ids of a prompt and of `responses` answers to it (arrays of messages behind a conversation, strings behind plain
 * text, ids behind ids). Lists are overwritten. An answer without tokens is ERROR_INPUT. */
int chat_encode_responses(const Chat *chat, const json_t *prompt, const json_t *extra, const json_t *const *response,
                          size_t responses, ChatEnd end, TokenList *prompt_ids, TokenList *response_ids, Error *error);
/* Appends the text of a sampled response, without the stop token at its end and other special tokens. */
int chat_decode_response(const Chat *chat, const int32_t *ids, size_t length, Buffer *out, Error *error);
bool chat_is_stop(const Chat *chat, int32_t id);
