/* round_cases.h - a run without a model: a store with the responses of round 1, and the parts of a DiceRun that read
 * it.
 *
 * Prompts 0 (text), 2 and 5 (conversations) of 7; K = 3. Kept, with more than 2 characters and two responses a prompt:
 *   prompt 0: k 0 "", k 1 "aaaa", k 2 "bbbbbb"      prompt 2: k 0 "one" cut, k 2 "three"; k 1 is not there
 *   prompt 5: k 0 "same", k 1 "same", k 2 "other" */
#pragma once
#include "align/round_table.h"
#include "base/file.h"
#include "test.h"
#include <string.h>

enum { ROUND_PROMPTS = 7 };

typedef struct {
    char directory[64];
    Recipe recipe;
    EncodedPrompt prompt[ROUND_PROMPTS];
    char prompt_text[ROUND_PROMPTS][64];
    EncodedPair offline;
    const EncodedPair *offline_list[1];
    DiceRun run;
} RoundCases;

static const char *const round_hash = "0123456789abcdef0123456789abcdef";

static inline void round_cases_put(RoundCases *c, uint32_t prompt, uint32_t k, const char *text, bool stopped) {
    Error error = {0};
    int32_t ids[4] = {5, 6, 7, 397};
    float logprob[4] = {-0.5f, -1, -0.25f, -2};
    StoredResponse r = {.round = 1,
                        .prompt = prompt,
                        .k = k,
                        .ids = ids,
                        .logprob = logprob,
                        .length = 1 + k,
                        .text = (char *)(uintptr_t)text,
                        .chars = strlen(text),
                        .stopped = stopped};
    memcpy(r.model, round_hash, sizeof r.model);
    if (run_store_put_response(c->run.store, &r, &error) != 0) fail_msg("%s", error.message);
}

static inline void round_cases_create(RoundCases *c) {
    static const char *const text = "model: m\noutput: run\ndata: {offline: p}\nsample: {responses: 3}\n"
                                    "filter: {above_chars: 2, min_responses: 2}\n";
    Error error = {0};
    *c = (RoundCases){0};
    snprintf(c->directory, sizeof c->directory, "/tmp/dice-round-XXXXXX");
    assert_non_null(mkdtemp(c->directory));
    char *path = file_join(c->directory, "run.db");
    if (recipe_parse(&c->recipe, text, strlen(text), "r.yaml", c->directory, NULL, 0, &error) != 0 ||
        file_make_directory(c->recipe.output, &error) != 0 || run_store_open(&c->run.store, path, &error) != 0)
        fail_msg("%s", error.message);
    free(path);
    for (uint32_t p = 0; p < ROUND_PROMPTS; p++) {
        snprintf(c->prompt_text[p], sizeof c->prompt_text[p],
                 p == 0 ? "\"plain %u\"" : "[{\"role\":\"user\",\"content\":\"chat %u\"}]", p);
        c->prompt[p].text = c->prompt_text[p];
        if (run_store_put_prompt(c->run.store, p, NULL, 0, c->prompt_text[p], &error) != 0)
            fail_msg("%s", error.message);
    }
    c->offline = (EncodedPair){.prompt_number = 4, .answer = {json_string("good"), json_string("bad")}};
    c->offline_list[0] = &c->offline;
    c->run.recipe = &c->recipe;
    c->run.data.prompt = c->prompt, c->run.data.prompts = ROUND_PROMPTS;
    c->run.train_pair = c->offline_list, c->run.train_pairs = 1;
    round_cases_put(c, 5, 2, "other", true);
    round_cases_put(c, 0, 1, "aaaa", true);
    round_cases_put(c, 0, 0, "", true);
    round_cases_put(c, 2, 2, "three", true);
    round_cases_put(c, 0, 2, "bbbbbb", true);
    round_cases_put(c, 2, 0, "one", false);
    round_cases_put(c, 5, 1, "same", true);
    round_cases_put(c, 5, 0, "same", true);
}

static inline void round_cases_free(RoundCases *c) {
    run_store_close(c->run.store);
    recipe_free(&c->recipe);
    for (int r = 0; r < 2; r++) json_decref(c->offline.answer[r]);
    file_remove_tree(c->directory, NULL);
}
