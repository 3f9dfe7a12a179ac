#include "base/rng.h"
#include "formats/preference_file.h"
#include "test.h"

#include <string.h>
#include <zlib.h>

static int parse(PreferenceFile *file, const char *text, PreferenceUse use, Error *error) {
    return preference_file_parse(file, text, strlen(text), "data.jsonl", &(PreferenceOptions){.use = use}, error);
}

static void parse_ok(PreferenceFile *file, const char *text, PreferenceUse use) {
    Error error = {0};
    if (parse(file, text, use, &error) != 0) fail_msg("%s", error.message);
}

static void counts_what_it_drops(void **state) { // [PF-1]
    (void)state;
    const char *text =
        "\xef\xbb\xbf{\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": \"r\"}\r\n"
        "\n"
        "{\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": \" \"}\n"
        "{\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": \"c\"}\n"
        "{\"prompt\": \" \\n\", \"chosen\": \"c\", \"rejected\": \"r\"}\n"
        "{\"prompt\": \"p\", \"chosen\": \"\", \"rejected\": \"r\"}\n"
        "{\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": [{\"role\": \"user\", \"content\": \"r\"}]}\n"
        "{\"prompt\": \"q\", \"chosen\": \"c\", \"rejected\": \"r\"}";
    PreferenceFile file;
    parse_ok(&file, text, PREFERENCE_PAIRS);
    assert_true(file.count == 2 && file.rows[0].line == 1 && file.rows[1].line == 8 && !file.gzip && !file.array);
    assert_true(file.dropped[DROP_EMPTY_ANSWER] == 3 && file.first[DROP_EMPTY_ANSWER] == 3);
    assert_true(file.dropped[DROP_EQUAL] == 1 && file.first[DROP_EQUAL] == 4);
    assert_true(file.dropped[DROP_EMPTY_PROMPT] == 1 && file.first[DROP_EMPTY_PROMPT] == 5);
    Buffer said = {0};
    preference_file_describe(&file, &said);
    assert_string_equal(
        said.data,
        "data.jsonl: JSON lines, 2 rows. Prompts: \"prompt\" (text), 2. Answers: \"chosen\" and \"rejected\" (texts), "
        "2. "
        "Dropped for an empty prompt: 1, the first in line 5. Dropped for an empty answer: 3, the first in line 3. "
        "Dropped for equal chosen and rejected: 1, the first in line 4.");
    buffer_free(&said);
    preference_file_free(&file);
    PreferenceOptions keep = {.use = PREFERENCE_PAIRS, .keep_empty = true, .keep_equal = true};
    Error error = {0};
    assert_int_equal(preference_file_parse(&file, text, strlen(text), "x", &keep, &error), 0);
    assert_int_equal(file.count, 5); // all but the empty prompt and the answer that is none
    preference_file_free(&file);
    assert_int_equal(preference_file_parse(&file, text, strlen(text), "x", NULL, &error), 0);
    assert_int_equal(file.count, 6); // prompts alone
    preference_file_free(&file);
}

static void keeps_a_tool_call_without_text(void **state) {
    (void)state;
    PreferenceFile file;
    parse_ok(&file,
             "{\"prompt\": \"p\", \"chosen\": [{\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{}]}], "
             "\"rejected\": \"r\"}",
             PREFERENCE_PAIRS);
    assert_int_equal(file.count, 1);
    preference_file_free(&file);
}

static void names_file_line_and_column(void **state) {
    (void)state;
    static const struct {
        const char *text;
        PreferenceUse use;
        ErrorCode code;
        const char *words;
    } cases[] = {
        {"", PREFERENCE_PROMPTS, ERROR_INPUT, "data.jsonl: JSON lines, 0 rows. There is no row that can be used."},
        {" \n\n", PREFERENCE_PROMPTS, ERROR_INPUT, "0 rows"},
        {"[]", PREFERENCE_PROMPTS, ERROR_INPUT, "a JSON array, 0 rows"},
        {"{\"prompt\": \"p\"}\n{\"prompt\": x}\n", PREFERENCE_PROMPTS, ERROR_INPUT, "data.jsonl:2:12: not valid JSON"},
        {"{\"prompt\": \"p\"}\n{\"prompt\": \"\xff\"}\n", PREFERENCE_PROMPTS, ERROR_INPUT,
         "data.jsonl:2:12: not valid JSON: unable to decode byte 0xff"},
        {"{\"prompt\": \"p\"}\n{\"prompt\": \"\\ud800\"}\n", PREFERENCE_PROMPTS, ERROR_INPUT, "data.jsonl:2:"},
        {"{\"prompt\": \"p\"}\n7\n", PREFERENCE_PROMPTS, ERROR_INPUT, "data.jsonl:2: this row is a whole number"},
        {"[\n  {\"prompt\": \"p\"},\n  {\"prompt\": x}\n]", PREFERENCE_PROMPTS, ERROR_INPUT,
         "data.jsonl:3:14: not valid JSON"},
        {"[{\"prompt\": \"p\"} {\"prompt\": \"p\"}]", PREFERENCE_PROMPTS, ERROR_INPUT,
         "data.jsonl:1:18: not valid JSON"},
        {"[{\"prompt\": \"p\"}", PREFERENCE_PROMPTS, ERROR_INPUT, "data.jsonl:1:16: not valid JSON"},
        {"[{\"prompt\": \"p\"}] x", PREFERENCE_PROMPTS, ERROR_INPUT, "data.jsonl:1:"},
        {"[{\"prompt\": \"p\"},]", PREFERENCE_PROMPTS, ERROR_INPUT, "data.jsonl:1:"},
        {"[\n{\"prompt\": \"p\"},\n\n{\"text\": \"p\"}\n]", PREFERENCE_PROMPTS, ERROR_INPUT,
         "data.jsonl:4: no prompt was found among the keys: text"},
        {"{\"prompt\": \"p\"}", PREFERENCE_PAIRS, ERROR_INPUT,
         "data.jsonl:1: this row has no \"chosen\" and \"rejected\", only a prompt"},
        {"{\"prompt\": \"p\"}", PREFERENCE_RESPONSES, ERROR_INPUT, "has no \"responses\""},
        {"{\"prompt\": \"p\"}", PREFERENCE_COMPLETIONS, ERROR_INPUT, "has no an"},
        {"{\"prompt\": \"p\", \"chosen\": \"c\", \"rejected\": \"c\"}", PREFERENCE_PAIRS, ERROR_INPUT,
         "0 rows. Dropped for equal chosen and rejected: 1, the first in line 1. There is no row"},
        {"PAR1\x15", PREFERENCE_PROMPTS, ERROR_UNSUPPORTED, "Parquet"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        PreferenceFile file;
        Error error = {0};
        assert_int_equal(parse(&file, cases[i].text, cases[i].use, &error), -1);
        if (error.code != cases[i].code || strstr(error.message, cases[i].words) == NULL)
            fail_msg("case %zu: code %d, \"%s\"", i, error.code, error.message);
        assert_null(file.rows);
    }
    Error error = {0};
    PreferenceFile file;
    assert_int_equal(preference_file_read(&file, "there is no such file", NULL, &error), -1);
    assert_int_equal(error.code, ERROR_IO);
}

static bool same_rows(const PreferenceFile *a, const PreferenceFile *b) {
    if (a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++)
        if (!json_equal(a->rows[i].prompt, b->rows[i].prompt) || !json_equal(a->rows[i].chosen, b->rows[i].chosen) ||
            !json_equal(a->rows[i].rejected, b->rows[i].rejected))
            return false;
    return true;
}

static void append_json(Buffer *out, json_t *object, size_t flags) {
    char *text = json_dumps(object, flags);
    buffer_append_text(out, text);
    free(text);
    json_decref(object);
}

/* A chat in one of the layouts that can hold it. Texts: [system, prompt, chosen, rejected]. */
static json_t *in_layout(size_t layout, const char *const t[4]) {
    switch (layout) {
    case 0:
        return json_pack("{s:[{s:s,s:s},{s:s,s:s}],s:[{s:s,s:s}],s:[{s:s,s:s}]}", "prompt", "role", "system", "content",
                         t[0], "role", "user", "content", t[1], "chosen", "role", "assistant", "content", t[2],
                         "rejected", "role", "assistant", "content", t[3]);
    case 1:
        return json_pack("{s:[{s:s,s:s},{s:s,s:s},{s:s,s:s}],s:[{s:s,s:s},{s:s,s:s},{s:s,s:s}]}", "chosen", "role",
                         "system", "content", t[0], "role", "user", "content", t[1], "role", "assistant", "content",
                         t[2], "rejected", "role", "system", "content", t[0], "role", "user", "content", t[1], "role",
                         "assistant", "content", t[3]);
    case 2:
        return json_pack("{s:s,s:s,s:s,s:s,s:s}", "system", t[0], "instruction", t[1], "input", "", "chosen", t[2],
                         "rejected", t[3]);
    case 3:
        return json_pack("{s:s,s:s,s:[s,s]}", "system", t[0], "instruction", t[1], "output", t[2], t[3]);
    default:
        return json_pack("{s:s,s:[{s:s,s:s}],s:{s:s,s:s},s:{s:s,s:s}}", "system", t[0], "conversations", "from",
                         "human", "value", t[1], "chosen", "from", "gpt", "value", t[2], "rejected", "from", "gpt",
                         "value", t[3]);
    }
}

/* The same random pairs in every layout, as lines, as an array with odd white space, and compressed, are the same rows.
 */
static void reads_the_same_from_every_form(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    static const char *const pieces[] = {"a", "\"", "\\",     "\n",         "]",   "}",   "{",
                                         ",", "[",  "\u4f60", "\U0001f600", "b c", "\\\""};
    for (uint32_t i = 0; i < 60; i++) {
        RngAddress a = {.seed = seed, .stream = RNG_TEST, .item = i};
        char text[20][4][128];
        size_t rows = 1 + rng_below(&a, 0, 20);
        for (uint32_t r = 0, position = 1; r < rows; r++)
            for (uint32_t t = 0; t < 4; t++) {
                char *p = text[r][t];
                p += snprintf(p, 16, "%u.%u", r, t);
                for (size_t n = rng_below(&a, position++, 12); n > 0; n--)
                    p += snprintf(p, 8, "%s", pieces[rng_below(&a, position++, 13)]);
            }
        PreferenceFile first = {0}, file;
        for (size_t layout = 0; layout < 5; layout++) {
            Buffer lines = {0}, array = {0};
            buffer_append_text(&array, " \n[\n");
            for (size_t r = 0; r < rows; r++) {
                const char *const t[4] = {text[r][0], text[r][1], text[r][2], text[r][3]};
                append_json(&lines, in_layout(layout, t), 0);
                buffer_append_text(&lines, "\n");
                append_json(&array, in_layout(layout, t), JSON_INDENT(r % 3));
                buffer_append_text(&array, r + 1 < rows ? " ,\r\n" : "\n]\n");
            }
            uint8_t *packed = malloc(lines.size + 1000);
            z_stream z = {0};
            assert_int_equal(deflateInit2(&z, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
            z.next_in = (Bytef *)lines.data, z.avail_in = (uInt)lines.size, z.next_out = packed,
            z.avail_out = (uInt)lines.size + 1000;
            assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
            Error error = {0};
            parse_ok(&file, lines.data, PREFERENCE_PAIRS);
            assert_int_equal(file.count, rows);
            if (layout == 0)
                first = file;
            else {
                assert_true(same_rows(&first, &file));
                preference_file_free(&file);
            }
            parse_ok(&file, array.data, PREFERENCE_PAIRS);
            assert_true(file.array && same_rows(&first, &file));
            json_array_clear(file.rows[0].prompt); // the comparison can fail
            assert_false(same_rows(&first, &file));
            preference_file_free(&file);
            assert_int_equal(preference_file_parse(&file, packed, z.total_out, "x",
                                                   &(PreferenceOptions){.use = PREFERENCE_PAIRS}, &error),
                             0);
            assert_true(file.gzip && same_rows(&first, &file));
            preference_file_free(&file);
            deflateEnd(&z);
            free(packed);
            buffer_free(&lines);
            buffer_free(&array);
        }
        preference_file_free(&first);
    }
}

/* Real files: rows as their README says. */
static void reads_the_data_sets(void **state) {
    (void)state;
    static const struct {
        const char *name;
        PreferenceUse use;
        size_t rows, dropped;
        PromptLayout layout;
    } sets[] = {{"data/dpo_en_demo/train.jsonl", PREFERENCE_PAIRS, 125, 0, PROMPT_MESSAGES},
                {"data/dpo_zh_demo/train.jsonl", PREFERENCE_PAIRS, 118, 0, PROMPT_MESSAGES},
                {"data/hh_rlhf_harmless/train.jsonl", PREFERENCE_PAIRS, 914, 0, PROMPT_MESSAGES},
                {"data/ultrafeedback_1200/train.jsonl", PREFERENCE_PAIRS, 460, 0, PROMPT_TEXT},
                {"data/llmbar/dev.jsonl", PREFERENCE_PAIRS, 451, 1, PROMPT_MESSAGES},
                {"data/pandalm_human/dev.jsonl", PREFERENCE_PAIRS, 357, 23, PROMPT_MESSAGES},
                {"data/prompts/mt_bench.jsonl", PREFERENCE_PROMPTS, 42, 0, PROMPT_TURNS},
                {"data/prompts/arena_hard_v0.1.jsonl", PREFERENCE_PROMPTS, 241, 0, PROMPT_TURNS},
                {"data/alpacaeval/prompts.jsonl", PREFERENCE_PROMPTS, 805, 0, PROMPT_TEXT},
                {"data/ifeval/dev.jsonl", PREFERENCE_PROMPTS, 267, 0, PROMPT_TEXT},
                {"data/text/sft_alpaca_en_demo.jsonl", PREFERENCE_COMPLETIONS, 500, 0, PROMPT_CHAT}};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        char path[512];
        if (test_shared(sets[i].name, path, sizeof path) == NULL) skip();
        PreferenceFile file;
        Error error = {0};
        if (preference_file_read(&file, path, &(PreferenceOptions){.use = sets[i].use}, &error) != 0)
            fail_msg("%s", error.message);
        size_t dropped = file.dropped[DROP_EMPTY_PROMPT] + file.dropped[DROP_EMPTY_ANSWER] + file.dropped[DROP_EQUAL];
        if (file.count != sets[i].rows || dropped != sets[i].dropped || file.prompts[sets[i].layout] != file.count)
            fail_msg("%s: %zu rows, %zu dropped", path, file.count, dropped);
        preference_file_free(&file);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_what_it_drops), cmocka_unit_test(keeps_a_tool_call_without_text),
        cmocka_unit_test(names_file_line_and_column), cmocka_unit_test(reads_the_same_from_every_form),
        cmocka_unit_test(reads_the_data_sets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
