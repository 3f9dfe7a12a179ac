#include "base/file.h"
#include "base/rng.h"
#include "formats/recipe.h"
#include "formats/recipe_key.h"
#include "test.h"

#include <string.h>
#include <unistd.h>

#define MINIMAL "model: m\noutput: o\ndata: {offline: d.jsonl}\n"

static int parse(Recipe *recipe, const char *text, const char *set, Error *error) {
    return recipe_parse(recipe, text, strlen(text), "r.yaml", "/home", &set, set != NULL, error);
}

static Recipe parsed(const char *text, const char *set) {
    Recipe recipe;
    Error error = {0};
    if (parse(&recipe, text, set, &error) != 0) fail_msg("%s", error.message);
    return recipe;
}

static void refuses(const char *text, const char *set, const char *message) {
    Recipe recipe;
    Error error = {0};
    if (parse(&recipe, text, set, &error) == 0) fail_msg("accepted: %s %s", text, set != NULL ? set : "");
    assert_string_equal(error.message, message);
    assert_int_equal(error.code, ERROR_USAGE);
    assert_null(recipe.model);
    assert_null(recipe.directory);
}

static void defaults_are_those_of_the_schema(void **state) {
    (void)state;
    Recipe r = parsed(MINIMAL, NULL);
    assert_string_equal(r.model, "/home/m");
    assert_null(r.reference);
    assert_int_equal(r.rounds, 2);
    assert_int_equal(r.precision, RECIPE_PRECISION_AUTO);
    assert_string_equal(r.data.system, "");
    assert_int_equal(r.data.max_tokens, 4096);
    assert_true(r.sample.temperature == 0.9 && r.sample.top_p == 1 && r.sample.spare == 0.15);
    assert_int_equal(r.sample.responses, 16);
    assert_int_equal(r.sample.stop.count, 0);
    assert_false(r.sample.all);
    assert_int_equal(r.filter.min_responses, 8);
    assert_int_equal(r.reward.alpha, RECIPE_ALPHA_EXACT);
    assert_true(r.train.learning_rate == 5e-7 && r.train.adam_eps == 1e-8 && r.train.clip_norm == 1);
    assert_int_equal(r.train.checkpoint_every, 50);
    assert_int_equal(r.export.shard_bytes, 5000000000);
    recipe_free(&r);
    recipe_free(&r);
}

static void every_kind_of_value_is_read(void **state) {
    (void)state;
    Recipe r = parsed(
        "# a comment\nmodel: \"/abs/m # 1\"\nreference: ../sft\noutput: runs/a\nseed: 18446744073709551615\n"
        "data:\n  offline: d.gz\n  system: |\n    Be brief.\n    Be kind.\n  chat: 'never'\n"
        "sample:\n  temperature: 0\n  all: true\n  stop: [\"<|im_end|>\", 2]\nexport: {shard_bytes: 2_000_000_000}\n"
        "train:\n  learning_rate: 1e-6\nfilter:\nmix: ~\n",
        NULL);
    assert_string_equal(r.model, "/abs/m # 1");
    assert_string_equal(r.reference, "/home/../sft");
    assert_true(r.seed == UINT64_MAX);
    assert_string_equal(r.data.system, "Be brief.\nBe kind.\n");
    assert_int_equal(r.data.chat, RECIPE_CHAT_NEVER);
    assert_true(r.sample.temperature == 0 && r.sample.all);
    assert_int_equal(r.sample.stop.count, 2);
    assert_string_equal(r.sample.stop.item[0], "<|im_end|>");
    assert_string_equal(r.sample.stop.item[1], "2");
    assert_int_equal(r.export.shard_bytes, 2000000000);
    assert_true(r.train.learning_rate == 1e-6);
    recipe_free(&r);
}

/* Every choice of every key, in the order of the enums. */
static void choices_stand_in_the_order_of_their_enums(void **state) {
    (void)state;
    Recipe r = parsed(MINIMAL, NULL);
    static const struct {
        const char *set;
        int expected;
    } cases[] = {{"precision=float32", RECIPE_PRECISION_FLOAT32},
                 {"precision=bfloat16", RECIPE_PRECISION_BFLOAT16},
                 {"data.chat=always", RECIPE_CHAT_ALWAYS},
                 {"data.overlong=keep_start", RECIPE_OVERLONG_KEEP_START},
                 {"reward.reference=initial", RECIPE_REFERENCE_INITIAL},
                 {"reward.alpha=grid", RECIPE_ALPHA_GRID},
                 {"reward.alpha=fixed", RECIPE_ALPHA_FIXED},
                 {"reward.precision=float32", RECIPE_SCORE_FLOAT32},
                 {"reward.precision=bfloat16", RECIPE_SCORE_BFLOAT16},
                 {"reward.response_end=template", RECIPE_RESPONSE_END_TEMPLATE},
                 {"train.weighted_pairs=offline", RECIPE_WEIGHTED_OFFLINE},
                 {"train.f_divergence=forward_kl", RECIPE_DIVERGENCE_FORWARD_KL},
                 {"train.f_divergence=js_divergence", RECIPE_DIVERGENCE_JS_DIVERGENCE},
                 {"train.f_divergence=alpha_divergence", RECIPE_DIVERGENCE_ALPHA_DIVERGENCE},
                 {"train.schedule=linear", RECIPE_SCHEDULE_LINEAR},
                 {"train.schedule=cosine", RECIPE_SCHEDULE_COSINE},
                 {"export.dtype=float32", RECIPE_DTYPE_FLOAT32},
                 {"export.dtype=bfloat16", RECIPE_DTYPE_BFLOAT16}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Error error = {0};
        if (recipe_set(&r, cases[i].set, &error) != 0) fail_msg("%s", error.message);
        int found[] = {
            (int)r.precision,          (int)r.data.chat,        (int)r.data.overlong,       (int)r.reward.reference,
            (int)r.reward.alpha,       (int)r.reward.precision, (int)r.reward.response_end, (int)r.train.weighted_pairs,
            (int)r.train.f_divergence, (int)r.train.schedule,   (int)r.export.dtype};
        static const int field[] = {0, 0, 1, 2, 3, 4, 4, 5, 5, 6, 7, 8, 8, 8, 9, 9, 10, 10};
        assert_int_equal(found[field[i]], cases[i].expected);
    }
    recipe_free(&r);
}

/* [RC-1] */
static void wrong_values_are_refused_with_their_place(void **state) {
    (void)state;
    refuses(MINIMAL "sample:\n  temperature: 700\n", NULL,
            "r.yaml:5:16: sample.temperature is 700 where a number from 0 to 100 was expected");
    refuses(MINIMAL "sample:\n  temperature: warm\n", NULL,
            "r.yaml:5:16: sample.temperature is warm where a number from 0 to 100 was expected");
    refuses(MINIMAL "sample:\n  top_p: 0\n", NULL,
            "r.yaml:5:10: sample.top_p is 0 where a number above 0, at most 1 was expected");
    refuses(MINIMAL "train: {label_smoothing: 0.5}\n", NULL,
            "r.yaml:4:26: train.label_smoothing is 0.5 where a number from 0 to below 0.5 was expected");
    refuses(MINIMAL "rounds: 1.5\n", NULL,
            "r.yaml:4:9: rounds is 1.5 where a whole number from 0 to 1000 was expected");
    refuses(MINIMAL "rounds: -1\n", NULL, "r.yaml:4:9: rounds is -1 where a whole number from 0 to 1000 was expected");
    refuses(MINIMAL "seed: 18446744073709551616\n", NULL,
            "r.yaml:4:7: seed is 18446744073709551616 where a whole number from 0 to 2^64-1 was expected");
    refuses(MINIMAL "rounds: \"2\"\n", NULL,
            "r.yaml:4:9: rounds is \"2\" where a whole number from 0 to 1000 was expected");
    refuses(MINIMAL "mix: {gamma: .nan}\n", NULL,
            "r.yaml:4:14: mix.gamma is .nan where a number from 0 to 1 was expected");
    refuses(MINIMAL "mix: {gamma: 0x1}\n", NULL,
            "r.yaml:4:14: mix.gamma is 0x1 where a number from 0 to 1 was expected");
    refuses(MINIMAL "sample: {all: yes}\n", NULL, "r.yaml:4:15: sample.all is yes where true or false was expected");
    refuses(MINIMAL "precision: bf16\n", NULL,
            "r.yaml:4:12: precision is bf16 where one of auto, bfloat16, float32 was expected");
    refuses(MINIMAL "precision: auto|bfloat16\n", NULL,
            "r.yaml:4:12: precision is auto|bfloat16 where one of auto, bfloat16, float32 was expected");
    refuses(MINIMAL "seed: [1]\n", NULL,
            "r.yaml:4:7: seed is a list where a whole number from 0 to 2^64-1 was expected");
    refuses(MINIMAL "seed: {a: 1}\n", NULL,
            "r.yaml:4:7: seed is a group of keys where a whole number from 0 to 2^64-1 was expected");
    refuses(MINIMAL "sample: {stop: x}\n", NULL, "r.yaml:4:16: sample.stop is x where a list of texts was expected");
    refuses(MINIMAL "sample: {stop: [[x]]}\n", NULL, "r.yaml:4:17: sample.stop holds a list where a text was expected");
    refuses(MINIMAL "sample: 5\n", NULL, "r.yaml:4:9: sample is 5 where a group of keys was expected");
    refuses(MINIMAL "? [a]\n: b\n", NULL, "r.yaml:4:3: a list stands where the name of a key was expected");
    refuses(MINIMAL "rounds: 2\nrounds: 3\n", NULL,
            "r.yaml:5:1: \"rounds\" is there twice, first in line 4; remove one");
    refuses(MINIMAL "data: {system: x}\n", NULL, "r.yaml:4:1: \"data\" is there twice, first in line 3; remove one");
    refuses(MINIMAL "mix: {gamma: 0, gamma: 1}\n", NULL,
            "r.yaml:4:17: \"mix.gamma\" is there twice, first in line 4; remove one");
}

/* [RC-2] */
static void unknown_keys_name_the_nearest(void **state) {
    (void)state;
    refuses(MINIMAL "sample:\n  temprature: 1\n", NULL,
            "r.yaml:5:3: unknown key \"sample.temprature\"; did you mean \"sample.temperature\"?");
    refuses(MINIMAL "temperature: 1\n", NULL,
            "r.yaml:4:1: unknown key \"temperature\"; did you mean \"sample.temperature\"?");
    refuses(MINIMAL "samples: {}\n", NULL, "r.yaml:4:1: unknown key \"samples\"; did you mean \"sample\"?");
    refuses(MINIMAL "train: {gamma: 1}\n", NULL,
            "r.yaml:4:9: unknown key \"train.gamma\"; did you mean \"mix.gamma\"?");
    refuses(MINIMAL "quantum: 1\n", NULL, "r.yaml:4:1: unknown key \"quantum\"; `dice help recipe` lists the keys");
    refuses(MINIMAL "temprature_temprature_temprature_temprature_temprature_temprature_temprature: 1\n", NULL,
            "r.yaml:4:1: unknown key \"temprature_temprature_temprature_temprature_temprature_tempr...\"; "
            "`dice help recipe` lists the keys");
    refuses(MINIMAL "<<: {seed: 1}\n", NULL, "r.yaml:4:1: unknown key \"<<\"; `dice help recipe` lists the keys");
}

/* [RC-1] */
static void what_is_no_recipe_is_refused(void **state) {
    (void)state;
    refuses("", NULL, "r.yaml: the recipe is empty; at least model: and output: were expected");
    refuses("# nothing\n---\n", NULL, "r.yaml: the recipe is empty; at least model: and output: were expected");
    refuses("- a\n", NULL,
            "r.yaml:1:1: a list stands where the keys of a recipe were expected, such as \"model: PATH\"");
    refuses("hello\n", NULL,
            "r.yaml:1:1: hello stands where the keys of a recipe were expected, such as \"model: PATH\"");
    refuses(MINIMAL "---\nmodel: x\n", NULL, "r.yaml:4:1: a second YAML document begins; a recipe is one document");
    refuses("model: m\nsample:\n\ttop_k: 3\n", NULL,
            "r.yaml:3:1: a tab stands where YAML wants spaces; indent with spaces");
    refuses("model: &a [*a, *a]\n", NULL,
            "r.yaml:1:8: YAML anchors (&) and aliases (*) are not supported in a recipe; write the value out, or in "
            "quotes");
    refuses("model: *a\n", NULL,
            "r.yaml:1:8: YAML anchors (&) and aliases (*) are not supported in a recipe; write the value out, or in "
            "quotes");
    refuses("model: !!str m\n", NULL,
            "r.yaml:1:8: YAML tags (!) are not supported in a recipe; write the value in quotes");
    refuses("model: \"a\\0b\"\n", NULL, "r.yaml:1:8: the text contains a NUL character");
    refuses("model: m\noutput: \xc3\xa9t\xe9\n", NULL,
            "r.yaml:2:11: not UTF-8 text (incomplete UTF-8 octet sequence); save the file as UTF-8");
    refuses("\xff\xfem\0o", NULL, "r.yaml:1:1: not UTF-8 text (invalid leading UTF-8 octet); save the file as UTF-8");
    refuses("model: \x01\n", NULL, "r.yaml:1:8: the control character 0x01 is not allowed in YAML");
    refuses("model: [a\n", NULL, "r.yaml:1:8: model is a list where a path was expected");
    refuses("model: m\nsample: {stop: [a\n", NULL,
            "r.yaml:3:1: not valid YAML: did not find expected ',' or ']' while parsing a flow sequence");
    refuses("model: \"m\n", NULL,
            "r.yaml:2:1: not valid YAML: found unexpected end of stream while scanning a quoted scalar");
    refuses("output: o\n", NULL,
            "r.yaml: the key \"model\" is missing: the model to start from, pi(0): a Hugging Face directory or a .gguf "
            "file");
    refuses("model: m\noutput:\n", NULL,
            "r.yaml: the key \"output\" is missing: the run directory: everything the run produces");
}

static void deep_or_huge_text_costs_nothing(void **state) {
    (void)state;
    enum { BYTES = (1 << 20) + 1 };
    char *text = malloc(BYTES);
    Recipe recipe;
    Error error = {0};
    assert_non_null(text);
    for (int kind = 0; kind < 3; kind++) {
        memset(text, "[{-"[kind], BYTES);
        for (int i = 1; kind == 2 && i < BYTES; i += 2) text[i] = ' ';
        assert_int_equal(recipe_parse(&recipe, text, BYTES - 1, "r.yaml", "", NULL, 0, &error), -1);
        assert_int_equal(error.code, ERROR_USAGE);
    }
    assert_int_equal(recipe_parse(&recipe, text, BYTES, "r.yaml", "", NULL, 0, &error), -1);
    assert_string_equal(error.message,
                        "r.yaml: 1048577 bytes are too many for a recipe (at most 1048576): is this another file?");
    free(text);
}

static void keys_are_held_against_each_other(void **state) {
    (void)state;
    refuses(
        "model: m\noutput: o\n", NULL,
        "r.yaml: the key \"data.offline\" (preference pairs) is missing: round 0 trains on them, unless \"reference\" "
        "names what the model was DPO-trained against");
    refuses("model: m\noutput: o\nreference: r\n", NULL,
            "r.yaml: the key \"data.offline\" (preference pairs) is missing: prompts are taken from them, unless "
            "\"data.prompts\" is given");
    refuses("model: m\noutput: o\nreference: r\ndata: {prompts: p}\n", NULL,
            "r.yaml: the key \"data.offline\" (preference pairs) is missing: mix.gamma asks for a share of them");
    Recipe r = parsed("model: m\noutput: o\nreference: r\ndata: {prompts: p}\nmix: {gamma: 0}\n", NULL);
    recipe_free(&r);
    refuses(MINIMAL "filter: {above_chars: 10, below_chars: 11}\n", NULL,
            "r.yaml: filter.above_chars 10 and filter.below_chars 11 leave no length between them");
    refuses(MINIMAL "reward: {alpha_value: 0.02}\n", NULL,
            "r.yaml: reward.alpha_value is given, but reward.alpha is not \"fixed\": it would not be used");
    r = parsed(MINIMAL "sample: {responses: 4}\n", NULL);
    assert_int_equal(r.filter.min_responses, 4);
    recipe_free(&r);
}

/* [RC-3] */
static void set_is_the_same_as_a_line_of_the_file(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"sample.temperature=0.7", MINIMAL "sample: {temperature: 0.7}\n"},
        {"seed=7", MINIMAL "seed: 7\n"},
        {"sample.all=true", MINIMAL "sample: {all: true}\n"},
        {"sample.stop=[</s>, \"a b\"]", MINIMAL "sample: {stop: [</s>, \"a b\"]}\n"},
        {"data.offline=a: b # c", "model: m\noutput: o\ndata: {offline: \"a: b # c\"}\n"},
        {"data.system=", MINIMAL},
        {"train.schedule=cosine", MINIMAL "train: {schedule: cosine}\n"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Buffer a = {0}, b = {0}, plain = {0};
        Recipe set = parsed(MINIMAL, cases[i][0]), file = parsed(cases[i][1], NULL), neither = parsed(MINIMAL, NULL);
        recipe_canonical(&set, &a);
        recipe_canonical(&file, &b);
        recipe_canonical(&neither, &plain);
        assert_string_equal(a.data, b.data);
        // Planted: an override that is lost shows.
        assert_int_equal(strcmp(a.data, plain.data) == 0, strcmp(cases[i][0], "data.system=") == 0);
        buffer_free(&a);
        buffer_free(&b);
        buffer_free(&plain);
        recipe_free(&set);
        recipe_free(&file);
        recipe_free(&neither);
    }
    Recipe r = parsed(MINIMAL "seed: 1\n", "seed="); // an empty value is the default again
    assert_int_equal(r.seed, 0);
    recipe_free(&r);
}

static void wrong_overrides_are_refused(void **state) {
    (void)state;
    refuses(MINIMAL, "seed", "--set seed: there is no \"=\"; write KEY=VALUE, such as sample.temperature=0.7");
    refuses(MINIMAL, "sample.temprature=1",
            "--set: unknown key \"sample.temprature\"; did you mean \"sample.temperature\"?");
    refuses(MINIMAL, "sampel.top_p=1", "--set: unknown key \"sampel.top_p\"; `dice help recipe` lists the keys");
    refuses(MINIMAL, "sample=1", "--set: \"sample\" is a group of keys; set one of them, sample.KEY=VALUE");
    refuses(MINIMAL, "seed=x", "--set: seed is x where a whole number from 0 to 2^64-1 was expected");
    refuses(MINIMAL, "sample.stop=[a",
            "--set sample.stop:2:1: not valid YAML: did not find expected ',' or ']' while parsing a flow sequence");
    refuses(MINIMAL, "sample.stop=a", "--set sample.stop:1:1: sample.stop is a where a list of texts was expected");
    refuses(MINIMAL, "model=\xff", "--set: the value is not UTF-8 text");
    refuses(MINIMAL, "model=",
            "r.yaml: the key \"model\" is missing: the model to start from, pi(0): a Hugging Face "
            "directory or a .gguf file");
}

static void a_failed_set_changes_nothing(void **state) {
    (void)state;
    static const char *const sets[] = {"seed=x", "sample.stop=[a, [b]]", "sample.stop=[a, b", "sample.stop=[a]\n---\n"};
    Recipe r = parsed(MINIMAL "sample: {stop: [z]}\n", NULL);
    Buffer before = {0}, after = {0};
    recipe_canonical(&r, &before);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        Error error = {0};
        assert_int_equal(recipe_set(&r, sets[i], &error), -1);
        buffer_clear(&after);
        recipe_canonical(&r, &after);
        assert_string_equal(before.data, after.data);
    }
    buffer_free(&before);
    buffer_free(&after);
    recipe_free(&r);
}

/* [RC-4] */
static void paths_start_at_the_recipe(void **state) {
    (void)state;
    char directory[] = "/tmp/dice-test-XXXXXX", path[64];
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/r.yaml", directory);
    Error error = {0};
    assert_int_equal(file_write(path, MINIMAL, sizeof MINIMAL - 1, &error), 0);
    const char *sets[] = {"data.prompts=p", "output=/abs", "data.validation=~/v"};
    Recipe r;
    setenv("HOME", "/home/me", 1);
    assert_int_equal(recipe_load(&r, path, sets, 3, &error), 0);
    snprintf(path, sizeof path, "%s/m", directory);
    assert_string_equal(r.model, path);
    snprintf(path, sizeof path, "%s/p", directory);
    assert_string_equal(r.data.prompts, path);
    assert_string_equal(r.output, "/abs");
    assert_string_equal(r.data.validation, "/home/me/v");
    recipe_free(&r);
    snprintf(path, sizeof path, "%s/none.yaml", directory);
    assert_int_equal(recipe_load(&r, path, NULL, 0, &error), -1);
    assert_int_equal(error.code, ERROR_IO);
    assert_non_null(strstr(error.message, "none.yaml: cannot open: No such file or directory; check the path"));
    file_remove_tree(directory, NULL);
}

/* [RC-5] */
static void canonical_text_holds_what_decides_results(void **state) {
    (void)state;
    Recipe a = parsed(MINIMAL, NULL), b;
    Buffer first = {0}, second = {0};
    Error error = {0};
    static const char *const free_sets[] = {"threads=3", "output=elsewhere",  "report.show=1",
                                            "rounds=5",  "sample.branches=8", "train.checkpoint_every=7"};
    assert_int_equal(recipe_parse(&b, MINIMAL, sizeof MINIMAL - 1, "r.yaml", "/moved/", free_sets, 6, &error), 0);
    recipe_canonical(&a, &first);
    recipe_canonical(&b, &second);
    assert_string_equal(first.data, second.data);
    assert_non_null(strstr(first.data, "model: \"m\"\nreference: null\nseed: 0\nprecision: auto\n"));
    assert_non_null(strstr(first.data, "train.learning_rate: 5e-07\n"));
    assert_non_null(strstr(first.data, "data.system: \"\"\n"));
    assert_null(strstr(first.data, "threads"));
    size_t lines = 0, fixed = 0; // each key that decides is there, on one line
    for (size_t i = 0; i < first.size; i++) lines += first.data[i] == '\n';
    for (size_t i = 0; i < recipe_key_count; i++) fixed += recipe_keys[i].fixed;
    assert_int_equal(lines, fixed);
    assert_int_equal(recipe_set(&b, "data.system=a\nb: \"c\"", &error), 0);
    buffer_clear(&second);
    recipe_canonical(&b, &second);
    assert_non_null(strstr(second.data, "\ndata.system: \"a\\nb: \\\"c\\\"\"\n"));
    buffer_free(&first);
    buffer_free(&second);
    recipe_free(&a);
    recipe_free(&b);
}

static void numbers_come_back_exactly(void **state) {
    (void)state;
    Recipe r = parsed(MINIMAL, NULL);
    size_t key = recipe_key_find("sample", "temperature");
    RngAddress address = {.seed = test_seed(), .stream = RNG_TEST};
    size_t short_differs = 0;
    for (uint32_t i = 0; i < 2000; i++) {
        Buffer text = {0};
        char short_text[32];
        double value = rng_uniform(&address, i) * (i % 2 ? 1 : 1e-9);
        r.sample.temperature = value;
        recipe_key_format(&r, &recipe_keys[key], &text);
        r.sample.temperature = 7;
        assert_int_equal(recipe_key_set(&r, &recipe_keys[key], text.data, false, "x", NULL), 0);
        assert_true(r.sample.temperature == value);
        buffer_free(&text);
        snprintf(short_text, sizeof short_text, "%.15g", value);
        short_differs += strtod(short_text, NULL) != value;
    }
    assert_true(short_differs > 200); // planted: fifteen digits are not enough
    recipe_free(&r);
}

/* [RC-6] */
static void differences_are_listed_both_ways(void **state) {
    (void)state;
    Buffer out = {0};
    recipe_difference("a: 1\nb.c: \"x: y\"\nd: 2\n", "a: 1\nb.c: \"z\"\ne: 3\n", &out);
    assert_string_equal(out.data, "b.c: \"x: y\" -> \"z\"\nd: 2 -> (not there)\ne: (not there) -> 3\n");
    buffer_clear(&out);
    recipe_difference("a: 1\nab: 2\n", "ab: 2\na: 1\n", &out);
    assert_int_equal(out.size, 0);
    recipe_difference("no end", "", &out);
    assert_string_equal(out.data, "no end:  -> (not there)\n");
    buffer_free(&out);
}

/* docs/recipe.md is the reference; DICE_WRITE_DOCS=1 writes it anew. */
static void the_documentation_is_the_reference(void **state) {
    (void)state;
    Buffer out = {0};
    Error error = {0};
    recipe_reference(&out);
    assert_false(out.failed);
    for (size_t i = 0; i < recipe_key_count; i++) {
        char row[64];
        snprintf(row, sizeof row, "\n| `%s`", recipe_keys[i].name);
        assert_non_null(strstr(out.data, row));
    }
    if (getenv("DICE_WRITE_DOCS") != NULL)
        assert_int_equal(file_write("docs/recipe.md", out.data, out.size, &error), 0);
    FileMap map;
    if (file_map(&map, "docs/recipe.md", &error) != 0) fail_msg("%s", error.message);
    if (map.size != out.size || memcmp(map.data, out.data, out.size) != 0)
        fail_msg("docs/recipe.md is out of date; DICE_WRITE_DOCS=1 build/tests/test_recipe writes it");
    file_unmap(&map);
    buffer_free(&out);
}

/* Several files with weights: from the file, from --set, in the canonical text, and what is wrong with them. */
static void offline_may_be_several_files(void **state) {
    (void)state;
    static const char *const same[][2] = {
        {"model: m\noutput: o\ndata:\n  offline:\n    - a.jsonl\n    - {path: /x/b.gz, weight: 0.25}\n    - {weight: "
         "2, path: "
         "c}\n",
         NULL},
        {MINIMAL, "data.offline=[a.jsonl, {path: /x/b.gz, weight: 0.25}, {path: c, weight: 2}]"}};
    for (size_t i = 0; i < 2; i++) {
        Recipe r = parsed(same[i][0], same[i][1]);
        Buffer text = {0};
        const RecipeSources *s = &r.data.offline;
        assert_true(s->count == 3 && s->item[0].weight == 1 && s->item[1].weight == 0.25 && s->item[2].weight == 2);
        assert_string_equal(s->item[0].path, "/home/a.jsonl");
        assert_string_equal(s->item[1].path, "/x/b.gz");
        recipe_canonical(&r, &text);
        assert_non_null(strstr(text.data, "data.offline: [{\"path\":\"a.jsonl\",\"weight\":1},{\"path\":\"/x/b.gz\","
                                          "\"weight\":0.25},{\"path\":\"c\",\"weight\":2}]\n"));
        buffer_free(&text);
        recipe_free(&r);
    }
    Recipe r = parsed(MINIMAL, "data.offline=[{path: d.jsonl}]"); // the same as the path alone
    Buffer text = {0};
    Error error = {0};
    recipe_canonical(&r, &text);
    assert_non_null(strstr(text.data, "data.offline: \"d.jsonl\"\n"));
    assert_int_equal(recipe_set(&r, "data.offline=[x, {path: y, weight: 0}]", &error), -1); // then it is as it was
    assert_true(r.data.offline.count == 1 && strcmp(r.data.offline.item[0].path, "/home/d.jsonl") == 0);
    buffer_free(&text);
    recipe_free(&r);
    static const char *const bad[][2] = {
        {"{offline: [{path: a, weight: -1}]}",
         "a weight of data.offline is -1 where a number above 0, at most 1000 was expected"},
        {"{offline: [{path: a, weight: nan}]}", "a weight of data.offline is nan where a number"},
        {"{offline: [{weight: 1}]}", "an entry of data.offline has no path"},
        {"{offline: [{path: a, path: b}]}",
         "path stands in data.offline where path or weight, each once, was expected"},
        {"{offline: [{path: a, wieght: 2}]}", "wieght stands in data.offline where path or weight"},
        {"{offline: [{path: [a]}]}", "data.offline is a list where a path, or a list of paths"},
        {"{offline: [[a]]}", "data.offline is a list where a path, or a list of paths"},
        {"{offline: {path: a}}", "data.offline is a group of keys where a path, or a list"},
        {"{offline: []}", "the key \"data.offline\" (preference pairs) is missing"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char whole[200];
        error = (Error){0};
        snprintf(whole, sizeof whole, "model: m\noutput: o\ndata: %s\n", bad[i][0]);
        if (parse(&r, whole, NULL, &error) == 0) fail_msg("accepted: %s", whole);
        if (error.code != ERROR_USAGE || strstr(error.message, bad[i][1]) == NULL) fail_msg("%s", error.message);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_schema),
        cmocka_unit_test(every_kind_of_value_is_read),
        cmocka_unit_test(choices_stand_in_the_order_of_their_enums),
        cmocka_unit_test(wrong_values_are_refused_with_their_place),
        cmocka_unit_test(unknown_keys_name_the_nearest),
        cmocka_unit_test(what_is_no_recipe_is_refused),
        cmocka_unit_test(deep_or_huge_text_costs_nothing),
        cmocka_unit_test(keys_are_held_against_each_other),
        cmocka_unit_test(set_is_the_same_as_a_line_of_the_file),
        cmocka_unit_test(wrong_overrides_are_refused),
        cmocka_unit_test(a_failed_set_changes_nothing),
        cmocka_unit_test(paths_start_at_the_recipe),
        cmocka_unit_test(canonical_text_holds_what_decides_results),
        cmocka_unit_test(offline_may_be_several_files),
        cmocka_unit_test(numbers_come_back_exactly),
        cmocka_unit_test(differences_are_listed_both_ways),
        cmocka_unit_test(the_documentation_is_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
