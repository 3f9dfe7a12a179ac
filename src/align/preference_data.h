/* preference_data.h - prompts and preference pairs as token ids, with what was left out and why.
 *
 * Every distinct prompt of a run (its messages, and its row's own variables of the chat template) has one number,
 * whatever file it came from, so that the replay mix can keep generated and offline prompts apart. Truncation, each
 * rule counted [PD-1]:
 *
 *   a prompt over max_prompt_tokens    dropped, or its first (keep_start) or last (keep_end) tokens stay
 *   a pair over max_tokens             dropped; keep_start: each response loses its end; keep_end: the prompt its start
 *
 * A prompt that then leaves no room for a response is always dropped. Pairs that are there already, token by token, are
 * counted, and left out where the rules say so [PD-2]. Rows of token ids are taken as they are, without a tokenizer.
 * Memory: a PreferenceData owns everything in it. Claims: [PD-n] are checked by tests/unit/test_preference_data.c. */
#pragma once
#include "base/log.h"
#include "formats/preference_file.h"
#include "text/chat.h"

typedef enum { OVERLONG_DROP, OVERLONG_KEEP_START, OVERLONG_KEEP_END } OverlongRule;

typedef struct {
    const Chat *chat;   // an empty one can only read rows of token ids
    bool wrap;          // plain-text rows become conversations
    const char *system; // system message for conversations that have none; "" or NULL: none
    ChatEnd end;
    size_t max_tokens; // of prompt + response; >= 2
    size_t vocabulary; // of the model: every id must be below it; 0: not checked
    OverlongRule overlong;
    size_t max_prompt_tokens; // 0: no limit
    OverlongRule overlong_prompt;
    bool deduplicate; // pairs
    bool keep_all;    // rows with an empty answer, or with equal ones, too
} EncodeRules;

/* A prompt; `text` is its JSON (messages or a string) as it was read first. The order of keys makes no other prompt. */
typedef struct {
    char *text;
    int32_t *ids; // rendered for sampling; NULL where it leaves no room for a response
    size_t length;
    bool overlong;     // it leaves none
    bool cut;          // it was longer than max_prompt_tokens
    bool from_prompts; // it was in a file of prompts
} EncodedPrompt;

typedef struct {
    size_t prompt_number, line;
    size_t file;     // which of the files that pairs were added from, from 0
    int32_t *prompt; // (prompt_length) the common start of both whole texts
    size_t prompt_length;
    int32_t *response[2]; // chosen, rejected; rejected NULL where the row has one answer only
    size_t length[2];
    json_t *answer[2];   // the answers as they were read: messages, text or ids
    double reference[2]; // "reference_logprobs" of the row: sums under the loss reference, as `dice score` writes them;
                         // else NaN
} EncodedPair;

typedef struct {
    EncodedPrompt *prompt;
    size_t prompts;
    EncodedPair *pair;
    size_t pairs;
    size_t overlong_prompts, overlong_pairs;   // dropped
    size_t cut_prompts, cut_pairs, cut_starts; // prompts cut; pairs whose responses, or whose prompt, lost tokens
    size_t repeated_prompts, repeated_pairs;   // rows whose prompt, or whose whole pair, was there before
    size_t files;                              // that pairs were added from
    json_t *index;                             // prompt with sorted keys -> number
    json_t *seen;                              // its keys are the hashes of the pairs' ids
} PreferenceData;

void preference_data_free(PreferenceData *data);

/* Appends the pairs of a file. completions: rows with one answer are wanted (SFT). Says what it found to the log. */
int preference_data_add_pairs(PreferenceData *data, const char *path, const EncodeRules *rules, bool completions,
                              const Log *log, Error *error);
/* Appends the distinct prompts of a file, encoded for sampling. */
int preference_data_add_prompts(PreferenceData *data, const char *path, const EncodeRules *rules, const Log *log,
                                Error *error);

/* Adds the system message and wraps plain rows as the rules say; for readers that encode rows themselves. */
int preference_data_prepare_row(const EncodeRules *rules, PreferenceRow *row, Error *error);

/* The variables of a row for the chat template. A new reference; NULL where there are none. */
json_t *preference_data_variables(const PreferenceRow *row);

/* Appends the first pair as a person reads it: every token, those of the responses marked. Nothing where there is no
 * pair, or no tokenizer. */
int preference_data_show_first(const PreferenceData *data, const Chat *chat, Buffer *out, Error *error);
