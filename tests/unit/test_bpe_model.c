#include "base/rng.h"
#include "test.h"
#include "text/bpe_model.h"
#include "text/bpe_model_parts.h"

#include <string.h>

static BpeModel *model_of(const char *file, bool byte_level) {
    BpeModel *m = NULL;
    Error error = {0};
    json_t *root = json_parse_file(file, &error);
    if (root == NULL || bpe_model_from_json(&m, json_object_get(root, "model"), byte_level, file, &error) != 0)
        fail_msg("%s", error.message);
    json_decref(root);
    return m;
}

static BpeModel *bytes_model(void) { return model_of("tests/data/tokenizer_bytes.json", true); }
static BpeModel *pieces_model(void) { return model_of("tests/data/tokenizer_pieces.json", false); }

static TokenList encode(const BpeModel *m, const char *text, size_t n) {
    BpeScratch *scratch = bpe_scratch_create();
    TokenList list = {0};
    Error error = {0};
    assert_non_null(scratch);
    if (n > 0 && bpe_model_encode(m, scratch, text, n, &list, &error) != 0) fail_msg("%s", error.message);
    bpe_scratch_free(scratch);
    return list;
}

static bool same(const TokenList *a, const TokenList *b) {
    return a->count == b->count && (a->count == 0 || memcmp(a->data, b->data, a->count * sizeof *a->data) == 0);
}

static size_t random_piece(const RngAddress *a, char *text) {
    static const char *const parts[] = {"the", "e",  " ",  "\u2581", "boat", "\u00df",   "Gr", "\u6cb3", "\U0001f6a4",
                                        "1",   "\n", "th", "er",     "s",    "\u2581th", "x",  "Q"};
    size_t n = 0, count = rng_below(a, 0, 30);
    for (uint32_t i = 1; i <= count; i++) {
        const char *part = parts[rng_below(a, i, sizeof parts / sizeof *parts)];
        memcpy(text + n, part, strlen(part));
        n += strlen(part);
    }
    return n;
}

/* [BM-1] Cutting where nothing joins changes no id; cutting anywhere (the planted fault) does. */
static void cuts_change_nothing(void **state) {
    (void)state;
    uint64_t seed = test_seed();
    for (int kind = 0; kind < 2; kind++) {
        BpeModel *cut = kind ? bytes_model() : pieces_model(), *whole = kind ? bytes_model() : pieces_model(),
                 *fault = kind ? bytes_model() : pieces_model();
        assert_true(cut->cuts);
        whole->cuts = false;
        memset(fault->joint, 0, sizeof fault->joint);
        size_t caught = 0;
        for (uint32_t i = 0; i < 10000; i++) {
            RngAddress a = {.seed = seed, .stream = RNG_TEST, .item = i};
            char text[400];
            size_t n = random_piece(&a, text);
            TokenList one = encode(cut, text, n), other = encode(whole, text, n), wrong = encode(fault, text, n);
            assert_true(same(&one, &other));
            caught += !same(&one, &wrong);
            token_list_free(&one), token_list_free(&other), token_list_free(&wrong);
        }
        assert_true(caught > 5000);
        bpe_model_free(cut), bpe_model_free(whole), bpe_model_free(fault);
    }
}

/* Where unknown characters fuse or vanish, pieces must stay whole. */
static void unknown_characters_forbid_cuts(void **state) {
    (void)state;
    Error error = {0};
    json_t *root = json_parse_file("tests/data/tokenizer_pieces.json", &error), *model = json_object_get(root, "model");
    BpeModel *m;
    json_object_set_new(model, "byte_fallback", json_false());
    assert_int_equal(bpe_model_from_json(&m, model, false, "test", &error), 0);
    assert_false(m->cuts);
    TokenList fused = encode(m, "\U0001f6a4\u6cb3\U0001f6a4", 11);
    assert_int_equal(fused.count, 1);
    assert_int_equal(fused.data[0], m->unk_id);
    token_list_free(&fused);
    bpe_model_free(m);
    json_object_set_new(model, "unk_token", json_string("no such token"));
    assert_int_equal(bpe_model_from_json(&m, model, false, "test", &error), 0);
    BpeScratch *scratch = bpe_scratch_create();
    assert_int_equal(bpe_model_encode(m, scratch, "e\u6cb3", 4, &fused, &error), -1);
    assert_true(error.code == ERROR_INPUT && strstr(error.message, "unk_token") != NULL);
    token_list_free(&fused);
    bpe_scratch_free(scratch);
    bpe_model_free(m);
    json_decref(root);
}

/* [BM-2] What is remembered of a string of the vocabulary changes nothing, and is what encoding it gives. */
static void remembers_whole_words(void **state) {
    (void)state;
    BpeModel *m = bytes_model();
    size_t whole = 0, parts = 0;
    for (size_t id = 0; id < m->bytes.ids; id++) {
        const VocabularyEntry *e = &m->bytes.entry[id];
        TokenList first = encode(m, e->text, e->bytes), again = encode(m, e->text, e->bytes);
        assert_true(same(&first, &again));
        bool one = first.count == 1 && first.data[0] == (int32_t)id;
        whole += one;
        parts += !one;
        assert_int_equal(atomic_load(&m->whole[id]), one ? 1 : 2);
        token_list_free(&first), token_list_free(&again);
    }
    assert_true(whole > 300 && whole + parts == m->bytes.ids);
    m->ignore_merges = true; // then each is itself
    for (size_t id = 0; id < m->bytes.ids; id++) {
        TokenList list = encode(m, m->bytes.entry[id].text, m->bytes.entry[id].bytes);
        assert_true(list.count == 1 && list.data[0] == (int32_t)id);
        token_list_free(&list);
    }
    bpe_model_free(m);
}

/* [BM-3] Steps per byte do not grow with the length, whatever the letters. */
static void long_pieces_take_linear_steps(void **state) {
    (void)state;
    static const char *const units[] = {"a", " ", "the", "\u6cb3", "th", "1"};
    static char text[60000];
    BpeModel *m = bytes_model();
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        uint64_t steps[2];
        for (size_t k = 0; k < 2; k++) {
            size_t unit = strlen(units[i]), n = (k ? 60000 : 30000) / unit * unit;
            for (size_t at = 0; at < n; at++) text[at] = units[i][at % unit];
            BpeScratch *scratch = bpe_scratch_create();
            TokenList list = {0};
            Error error = {0};
            assert_int_equal(bpe_model_encode(m, scratch, text, n, &list, &error), 0);
            steps[k] = bpe_scratch_steps(scratch);
            token_list_free(&list);
            bpe_scratch_free(scratch);
        }
        assert_true(steps[0] < 30000 * 60 && steps[1] <= steps[0] * 5 / 2);
    }
    bpe_model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_change_nothing), cmocka_unit_test(unknown_characters_forbid_cuts),
        cmocka_unit_test(remembers_whole_words), cmocka_unit_test(long_pieces_take_linear_steps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
