#include "checkpoint_cases.h"
#include "cli/inspect.h"
#include <unistd.h>

/* What `dice inspect template` prints. */
static CheckpointDirectory scratch;
static Error error;
static char printed[16384];

static int setup(void **state) {
    (void)state;
    checkpoint_create(&scratch, checkpoint_template);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    checkpoint_remove(&scratch);
    return 0;
}

static char *path_of(const char *name) { return file_join(scratch.path, name); }

/* The result of the command; its standard output is then in `printed`. messages NULL: the sample conversation. */
static int inspect(const char *name, const char *messages, bool marked) {
    char *path = path_of(name), *rows = path_of("rows.jsonl"), out[] = "/tmp/dice-inspect-XXXXXX";
    if (messages != NULL) checkpoint_put(&scratch, "rows.jsonl", messages);
    const InspectValues values = {.messages = messages == NULL ? NULL : rows, .marked = marked};
    fflush(stdout);
    int file = mkstemp(out), keep = dup(1);
    dup2(file, 1);
    error = (Error){0};
    int result = inspect_template(&values, path, &error);
    fflush(stdout);
    dup2(keep, 1);
    ssize_t n = pread(file, printed, sizeof printed - 1, 0);
    printed[n > 0 ? n : 0] = 0;
    close(file), close(keep), unlink(out);
    free(path), free(rows);
    return result;
}

/* What a template makes of one message "ab", marked; without the sentence above it. */
static const char *marked(const char *template) {
    checkpoint_put(&scratch, "t.jinja", template);
    if (inspect("t.jinja", "{\"messages\": [{\"role\": \"user\", \"content\": \"ab\"}]}\n", true) != 0)
        fail_msg("%s", error.message);
    const char *line = strchr(printed, '\n');
    assert_non_null(line);
    return line + 1;
}

static void refused(const char *template, const char *messages, ErrorCode code, const char *text) {
    checkpoint_put(&scratch, "t.jinja", template);
    for (int mark = 0; mark < 2; mark++) {
        assert_int_equal(inspect("t.jinja", messages, mark), -1);
        if (strstr(error.message, text) == NULL) fail_msg("\"%s\" is not in: %s", text, error.message);
        assert_int_equal(error.code, code);
    }
}

/* Without {% generation %} the last answer is marked, as far as its stop token. */
static void the_last_answer_is_marked(void **state) {
    (void)state;
    assert_int_equal(inspect(".", NULL, false), 0);
    assert_non_null(strstr(printed, "the last answer, up to its stop token"));
    assert_non_null(strstr(printed, "Hi, what can I do for you?<|end|>\n"));
    assert_non_null(strstr(printed, "<|start|>assistant\n[[One, two, three.<|end|>]]\n"));
    assert_int_equal(inspect(".", "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}", true), 0);
    assert_null(strstr(strchr(printed, '\n'), "[[")); // nobody answered
    assert_int_equal(inspect(".", "{\"messages\": []}", true), 0);
    assert_null(strstr(strchr(printed, '\n'), "[["));
}

/* Blocks in each other, in captured text or without text give spans that overlap, repeat or are empty. */
static void every_span_is_printed_once(void **state) {
    (void)state;
    assert_string_equal(marked("x{% generation %}y{% endgeneration %}z"), "x[[y]]z\n");
    assert_string_equal(marked("x{% generation %}y{% generation %}zz{% endgeneration %}w{% endgeneration %}tail"),
                        "x[[yz]][[zw]]tail\n");
    assert_string_equal(marked("{% macro f(x) %}{% generation %}{{ x }}{% endgeneration %}{% endmacro %}"
                               "a{% generation %}{{ f('in') }}{% endgeneration %}b"),
                        "a[[in]]b\n");
    assert_string_equal(marked("a{% generation %}{% endgeneration %}b"), "ab\n");
    assert_string_equal(marked("a{% set y %}{% generation %}a long text{% endgeneration %}{% endset %}b"), "a[[b]]\n");
    assert_string_equal(marked("{% generation %}\xc3\xa9{% endgeneration %}"), "[[\xc3\xa9]]\n");
    assert_string_equal(marked(""), "\n");
}

static void rows_become_lines(void **state) {
    (void)state;
    checkpoint_put(&scratch, "t.jinja",
                   "{{ bos_token }}{% generation %}\xc3\xa9{{ messages[0].content }}{% endgeneration %}");
    assert_int_equal(inspect("t.jinja",
                             "{\"messages\": [{\"content\": \"a\"}], \"bos_token\": \"<\"}\n"
                             "{\"messages\": [{\"content\": \"bc\"}]}\n",
                             false),
                     0);
    assert_string_equal(printed, "{\"text\":\"<\xc3\xa9"
                                 "a\",\"spans\":[[1,3]]}\n{\"text\":\"\xc3\xa9"
                                 "bc\",\"spans\":[[0,3]]}\n");
    assert_int_equal(inspect(".", "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}", false), 0);
    assert_non_null(strstr(printed, "\"ids\":[396,")); // a directory has a tokenizer
    assert_null(strstr(printed, "spans"));
}

static void what_cannot_be_shown_is_told(void **state) {
    (void)state;
    static const char good[] = "{\"messages\": []}\n";
    refused("x", "{\"messages\": []}\n5\n", ERROR_INPUT,
            "rows.jsonl, row 2: a row of {\"messages\": [...]} was expected");
    refused("x", "{\"messages\": {}}\n", ERROR_INPUT, "row 1: a row of");
    refused("x", "{\"messages\": [], \"chat_template_kwargs\": 3}\n", ERROR_INPUT, "must be an object");
    refused("x", "{\"messages\": [}\n", ERROR_INPUT, "rows.jsonl:1");
    refused("{{ raise_exception('no') }}", good, ERROR_INPUT, "no");
    refused("{% if %}", good, ERROR_INPUT, "t.jinja");
    refused("{% for i in range(100000000) %}{% for i in range(100000000) %}{% endfor %}{% endfor %}", good, ERROR_INPUT,
            "row 1");
    assert_int_equal(inspect("nowhere", good, true), -1);
    assert_int_equal(error.code, ERROR_IO);
    CheckpointDirectory plain;
    checkpoint_create(&plain, NULL);
    const InspectValues values = {0};
    assert_int_equal(inspect_template(&values, plain.path, &error), -1);
    assert_non_null(strstr(error.message, "has no chat template"));
    checkpoint_remove(&plain);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_answer_is_marked),
        cmocka_unit_test(every_span_is_printed_once),
        cmocka_unit_test(rows_become_lines),
        cmocka_unit_test(what_cannot_be_shown_is_told),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
