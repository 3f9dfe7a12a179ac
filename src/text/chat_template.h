/* chat_template.h - a conversation as the one string that the model was trained on.
 *
 * A chat template is a Jinja2 program inside a model's tokenizer files. It is rendered here as Hugging Face
 * transformers renders it (Jinja2 3.1.6, ImmutableSandboxedEnvironment, trim_blocks, lstrip_blocks, loop controls,
 * tojson without \u escapes, raise_exception, strftime_now, {% generation %}), byte for byte, because one space more is
 * other tokens.
 *
 * A template comes with a download and is not trusted: it can only read the context, and steps (time), memory, output
 * and nesting are bounded; each breach is an ERROR_INPUT that names template, line and limit.
 *
 * Not here (ERROR_UNSUPPORTED, with its line): include, import, extends, block, autoescape, whole numbers beyond 64
 * bits, and the filters filesizeformat, pprint, random, striptags, urlencode, urlize, wordwrap and xmlattr.
 *
 * Different: `safe` and `escape` give plain strings, not Markup; map, select and their like walk their list at once, so
 * an item that fails does so even where nothing asks for it; what Python shows by its address shows its type alone.
 *
 * Memory: a ChatTemplate owns its tree and may be rendered by several threads at once. */
#pragma once
#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

typedef struct ChatTemplate ChatTemplate;

/* What a rendering may use; 0 stands for the default. */
typedef struct {
    size_t steps;        // evaluated nodes, and 32 bytes of text each; 20 million
    size_t memory_bytes; // 256 MiB
    size_t output_bytes; // 64 MiB
} ChatLimits;

/* What the template sees. Everything is borrowed and only read; text is UTF-8. */
typedef struct {
    const json_t *messages;  // array of {"role", "content", ...}
    const json_t *tools;     // NULL: none
    const json_t *documents; // NULL: none
    bool add_generation_prompt;
    const char *bos_token, *eos_token; // NULL: not defined, as in a tokenizer without one
    const json_t *extra;               // object of further variables (enable_thinking, ...); NULL: no others
    const struct tm *now;              // what strftime_now shows; NULL: the local time of the call
    ChatLimits limits;
} ChatContext;

/* The part of the output that one {% generation %} block wrote: [begin, end), in bytes and in code points. */
typedef struct {
    size_t begin_byte, end_byte;
    size_t begin_char, end_char;
} ChatSpan;

typedef struct {
    ChatSpan *spans; // in order of rendering
    size_t count, capacity;
} ChatSpans;

void chat_spans_free(ChatSpans *spans);

/* Parses `bytes` bytes of UTF-8. `name` stands in messages ("NAME:LINE: ..."), it is copied. ERROR_INPUT for a syntax
 * error, ERROR_UNSUPPORTED for a part of Jinja that is not here. *chat is NULL after a failure. */
int chat_template_compile(ChatTemplate **chat, const char *source, size_t bytes, const char *name, Error *error);

/* Appends the rendering to *out and its assistant parts (counted from the rendering's own start) to *spans, which may
 * be NULL. raise_exception(text) is ERROR_INPUT with that text. After a failure out and spans are as they were. */
int chat_template_render(const ChatTemplate *chat, const ChatContext *context, Buffer *out, ChatSpans *spans,
                         Error *error);

/* True where the template marks assistant parts with {% generation %}: only then a rendering has spans. */
bool chat_template_marks_assistant(const ChatTemplate *chat);

void chat_template_free(ChatTemplate *chat);
