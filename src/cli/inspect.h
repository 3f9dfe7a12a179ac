/* inspect.h - the parts of `dice inspect`: files, words, and what a model computes. */
#pragma once
#include "cli/command.h"
#include "text/token_list.h"

typedef struct {
    CommonOptions common;
    const char *encode, *text, *messages, *data, *tokens, *out, *method, *adapter, *reference, *response_end, *system;
    OptionList set;
    bool decode, add_special, marked;
    uint64_t row;
    double beta;
} InspectValues;

/* path: a safetensors file, a GGUF file, or a checkpoint directory. */
int inspect_file(const InspectValues *v, const char *path, Error *error);
int inspect_tokenizer(const InspectValues *v, const char *path, Error *error);
int inspect_template(const InspectValues *v, const char *path, Error *error);
int inspect_example(const InspectValues *v, const char *path, Session *session, Error *error);
int inspect_logits(const InspectValues *v, const char *path, Session *session, Error *error);
int inspect_gradient(const InspectValues *v, const char *path, Session *session, Error *error);
int inspect_loss(const InspectValues *v, const char *path, Session *session, Error *error);

/* [id, ...], a new reference. */
json_t *inspect_id_list(const TokenList *ids);
/* A file of JSON lines as an array (a new reference); NULL and an error with the line where one is broken. */
json_t *inspect_read_lines(const char *path, Error *error);
