#include "align/replay_mix.h"
#include "cli/command.h"
#include "cli/rows.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    CommonOptions common;
    const char *generated, *offline, *out;
    uint64_t generated_rows, offline_rows, seed, round;
    double gamma;
    bool count;
} Values;

static const Option options[] = {
    {"generated", 'g', OPTION_TEXT, offsetof(Values, generated), "FILE", NULL, 0, 0, "pairs that a round made"},
    {"offline", 'd', OPTION_TEXT, offsetof(Values, offline), "FILE", NULL, 0, 0, "the offline pairs"},
    {"gamma", 0, OPTION_REAL, offsetof(Values, gamma), "SHARE", "0.5", 0, 1, "share of offline pairs in the result"},
    {"out", 'o', OPTION_TEXT, offsetof(Values, out), "FILE", "-", 0, 0, "JSON lines; -: standard output"},
    {"seed", 0, OPTION_WHOLE, offsetof(Values, seed), "N", "0", 0, 18446744073709551615.0, "of the draw"},
    {"round", 0, OPTION_WHOLE, offsetof(Values, round), "N", "1", 0, 4294967295.0, "each round draws anew"},
    {"count", 0, OPTION_FLAG, offsetof(Values, count), NULL, NULL, 0, 0,
     "only the two numbers, for --generated-rows and --offline-rows"},
    {"generated-rows", 0, OPTION_WHOLE, offsetof(Values, generated_rows), "N", "0", 0, 4294967295.0,
     "with --count: pairs that a round made"},
    {"offline-rows", 0, OPTION_WHOLE, offsetof(Values, offline_rows), "N", "0", 0, 4294967295.0,
     "with --count: offline pairs"},
};

static int print_counts(size_t generated, size_t offline, Error *error) {
    return command_print_json(
        json_pack("{s:I, s:I}", "generated", (json_int_t)generated, "offline", (json_int_t)offline), error);
}

/* Numbers that tell prompts apart, the same in both files. */
static int number_prompts(json_t *index, const PreferenceFile *file, size_t *number, Error *error) {
    for (size_t i = 0; i < file->count; i++) {
        char *text = json_dumps(file->rows[i].prompt, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
        if (text == NULL) return error_set(error, ERROR_MEMORY, "no memory for the prompts");
        const json_t *known = json_object_get(index, text);
        number[i] = known != NULL ? (size_t)json_integer_value(known) : json_object_size(index);
        if (known == NULL) json_object_set_new(index, text, json_integer((json_int_t)number[i]));
        free(text);
    }
    return 0;
}

static json_t *pair_row(const PreferenceRow *row, bool offline) {
    return json_pack("{s:O, s:O, s:O, s:s}", "prompt", row->prompt, "chosen", row->chosen, "rejected", row->rejected,
                     "source", offline ? "offline" : "generated");
}

static int draw(const Values *v, const PreferenceFile *generated, const PreferenceFile *offline, Error *error) {
    size_t g = generated->count, o = offline->count;
    size_t *number = calloc(g + o + 1, sizeof *number), *drawn = calloc(g + o + 1, sizeof *drawn);
    json_t *index = json_object();
    ReplayCounts counts;
    RowWriter writer;
    int result = -1;
    if (number == NULL || drawn == NULL || index == NULL)
        error_set(error, ERROR_MEMORY, "no memory for the prompts");
    else if (number_prompts(index, generated, number, error) == 0 &&
             number_prompts(index, offline, number + g, error) == 0 &&
             replay_mix_draw(number, g, number + g, o, json_object_size(index), v->gamma, v->seed, (uint32_t)v->round,
                             drawn, drawn + g, &counts, error) == 0)
        result = rows_open_writer(&writer, v->out, error);
    if (result == 0) {
        for (size_t i = 0; i < counts.generated && result == 0; i++)
            result = rows_write(&writer, pair_row(&generated->rows[drawn[i]], false), error);
        for (size_t i = 0; i < counts.offline && result == 0; i++)
            result = rows_write(&writer, pair_row(&offline->rows[drawn[g + i]], true), error);
        result = rows_close_writer(&writer, result, error);
    }
    json_decref(index);
    free(number);
    free(drawn);
    return result;
}

static int run(const void *values, Session *session, Error *error) {
    const Values *v = values;
    const PreferenceOptions pairs = {.use = PREFERENCE_PAIRS};
    PreferenceFile generated = {0}, offline = {0};
    ReplayCounts counts;
    (void)session;
    if (v->count)
        return replay_mix_counts(v->offline_rows, v->generated_rows, v->gamma, &counts, error) != 0
                   ? -1
                   : print_counts(counts.generated, counts.offline, error);
    if (v->generated == NULL || v->offline == NULL)
        return error_set(error, ERROR_USAGE, "dice mix needs --generated and --offline; see `dice mix --help`");
    int result = preference_file_read(&generated, v->generated, &pairs, error);
    if (result == 0) result = preference_file_read(&offline, v->offline, &pairs, error);
    if (result == 0) result = draw(v, &generated, &offline, error);
    preference_file_free(&generated);
    preference_file_free(&offline);
    return result;
}

COMMAND_DEFINE(mix, Values, options, .summary = "a training set of generated pairs with a share of offline ones",
               .arguments = "", .least = 0, .most = 0,
               .description = "Draws min(offline (1 - gamma), generated) generated pairs and gamma / (1 - gamma) times "
                              "as many offline ones, without\n"
                              "replacement; offline pairs only of prompts that the drawn generated pairs do not hold. "
                              "gamma 1: offline pairs only.",
               .examples = "  dice mix --generated pairs.jsonl --offline offline.jsonl --gamma 0.5 --out train.jsonl\n"
                           "  dice mix --count --generated-rows 4000 --offline-rows 10000 --gamma 0.5");
