/* tokenizer_document.h - parts of a tokenizer.json, for vocabularies that come in another file.
 *
 * Every function returns a new reference, or NULL when memory is exhausted. Source: the documents that the converters
 * of transformers write for the same vocabularies. */
#pragma once
#include "base/json.h"
#include <stdbool.h>
#include <stdint.h>

/* SentencePiece: a space becomes U+2581. prefix: one is put in front of every stretch of text, and taken away when it
 * is decoded. collapse: spaces at the ends go and runs of them become one, first. */
json_t *tokenizer_document_spm_normalizer(bool prefix, bool collapse);
json_t *tokenizer_document_spm_decoder(bool prefix);

/* An entry of "added_tokens". */
typedef struct {
    const char *text;
    size_t bytes;
    int64_t id;
    bool special;
    bool takes_space_behind; // ASCII white space that follows belongs to it
} DocumentToken;

json_t *tokenizer_document_added(const DocumentToken *token);

/* TemplateProcessing with a token in front (before) and behind; their text is NULL where there is none. null where
 * neither is. */
typedef struct {
    const char *text; // terminated
    int64_t id;
} DocumentEnd;

json_t *tokenizer_document_post_processor(const DocumentEnd *before, const DocumentEnd *behind);

/* The whole: a BPE with byte fallback over vocab and merges, which are borrowed like `added`; post_processor is taken
 * over; unknown: the text of the unknown token or NULL. */
typedef struct {
    json_t *vocab, *merges, *added, *post_processor;
    const char *unknown;
    bool byte_fallback, prefix, collapse;
} SpmDocument;

json_t *tokenizer_document_spm(const SpmDocument *parts);
