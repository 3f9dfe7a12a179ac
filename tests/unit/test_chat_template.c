#include "base/clock.h"
#include "base/file.h"
#include "test.h"
#include "text/chat_template.h"
#include <string.h>

static const struct tm january = {
    .tm_year = 126, .tm_mon = 0, .tm_mday = 15, .tm_hour = 12, .tm_wday = 4, .tm_yday = 14};

static ChatTemplate *compile(const char *source, size_t bytes) {
    ChatTemplate *chat;
    Error error = {0};
    if (chat_template_compile(&chat, source, bytes, "t", &error) != 0) fail_msg("%s", error.message);
    return chat;
}

/* True where the rendering is the golden's "expected" with its "spans", or fails where the golden says so. */
static bool holds(const json_t *golden, const ChatTemplate *chat, const ChatContext *context, const char *spans_key) {
    const json_t *expected = json_object_get(golden, "expected"), *raised = json_object_get(golden, "error");
    const json_t *wanted = json_object_get(golden, spans_key);
    Buffer out = {0};
    ChatSpans spans = {0};
    Error error = {0};
    int status = chat == NULL ? -1 : chat_template_render(chat, context, &out, &spans, &error);
    bool good;
    if (expected == NULL) {
        good = status != 0 && out.size == 0 && spans.count == 0;
        good = good && (raised == NULL ||
                        (error.code == ERROR_INPUT && strstr(error.message, json_string_value(raised)) != NULL));
    } else {
        good = status == 0 && out.size == json_string_length(expected) &&
               memcmp(out.data, json_string_value(expected), out.size) == 0;
        good = good && (wanted == NULL || spans.count == json_array_size(wanted));
    }
    for (size_t i = 0; good && wanted != NULL && i < spans.count; i++) {
        const json_t *span = json_array_get(wanted, i);
        good = spans.spans[i].begin_char == (size_t)json_integer_value(json_array_get(span, 0)) &&
               spans.spans[i].end_char == (size_t)json_integer_value(json_array_get(span, 1));
    }
    if (!good) printf("got: %s\n", status != 0 ? error.message : out.data);
    buffer_free(&out);
    chat_spans_free(&spans);
    return good;
}

/* Calls `each` with every line of a JSON Lines file; returns how many there are. */
static size_t for_lines(const char *path, void (*each)(const json_t *line, void *state), void *state) {
    FileMap map;
    Error error = {0};
    if (file_map(&map, path, &error) != 0) fail_msg("%s", error.message);
    size_t lines = 0;
    for (size_t at = 0; at < map.size; lines++) {
        const uint8_t *end = memchr(map.data + at, '\n', map.size - at);
        size_t size = end == NULL ? map.size - at : (size_t)(end - map.data) - at;
        json_t *line = json_parse((const char *)map.data + at, size, path, lines + 1, &error);
        if (line == NULL) fail_msg("%s", error.message);
        each(line, state);
        json_decref(line);
        at += size + 1;
    }
    file_unmap(&map);
    return lines;
}

typedef struct {
    const char *folder;
    char name[128]; // of the template that is compiled
    ChatTemplate *chat;
    json_t *context; // of the file's first line
    size_t wrong;
} Goldens;

static ChatContext context_of(const json_t *golden) {
    return (ChatContext){
        .messages = json_object_get(golden, "messages"),
        .tools = json_object_get(golden, "tools"),
        .add_generation_prompt = json_is_true(json_object_get(golden, "add_generation_prompt")),
        .bos_token = json_string_value(json_object_get(golden, "bos_token")),
        .eos_token = json_string_value(json_object_get(golden, "eos_token")),
        .extra = json_object_get(golden, "extra"),
        .now = &january,
    };
}

static void check_shared(const json_t *golden, void *state) {
    Goldens *g = state;
    const char *name = json_string_value(json_object_get(golden, "template"));
    if (strcmp(name, g->name) != 0) {
        char path[600];
        FileMap map;
        snprintf(path, sizeof path, "%s/%s.jinja", g->folder, name);
        snprintf(g->name, sizeof g->name, "%s", name);
        chat_template_free(g->chat);
        assert_int_equal(file_map(&map, path, NULL), 0);
        g->chat = compile((const char *)map.data, map.size);
        file_unmap(&map);
    }
    ChatContext context = context_of(golden);
    if (!holds(golden, g->chat, &context, "assistant_char_spans")) {
        printf("  %s, %s\n", name, json_string_value(json_object_get(golden, "context")));
        g->wrong++;
    }
}

/* The templates of well-known models, rendered by Jinja2 3.1.6 as transformers sets it up. */
static void templates_of_models(void **state) {
    (void)state;
    char path[512], folder[512];
    if (test_shared("data/chat_templates/goldens.jsonl", path, sizeof path) == NULL) skip();
    Goldens g = {.folder = test_shared("data/chat_templates/templates", folder, sizeof folder)};
    assert_non_null(g.folder);
    assert_int_equal(for_lines(path, check_shared, &g), 1098);
    chat_template_free(g.chat);
    assert_int_equal(g.wrong, 0);
}

static void check_own(const json_t *golden, void *state) {
    Goldens *g = state;
    const json_t *source = json_object_get(golden, "template");
    if (g->context == NULL) {
        g->context = json_incref(json_object_get(golden, "context"));
        assert_string_equal(json_string_value(json_object_get(golden, "jinja2")), "3.1.6");
        return;
    }
    ChatTemplate *chat;
    Error error = {0};
    chat_template_compile(&chat, json_string_value(source), json_string_length(source), "t", &error);
    ChatContext context = context_of(g->context);
    if (!holds(golden, chat, &context, "spans")) {
        printf("  %s: %s\n  %s\n", json_string_value(json_object_get(golden, "group")), json_string_value(source),
               error.message);
        g->wrong++;
    }
    chat_template_free(chat);
}

/* Our own templates, one feature each; tests/make/make_jinja_goldens.py rendered them. */
static void features(void **state) {
    (void)state;
    Goldens g = {0};
    assert_true(for_lines("tests/data/jinja_goldens.jsonl", check_own, &g) > 400);
    json_decref(g.context);
    assert_int_equal(g.wrong, 0);
}

/* The comparison sees a changed letter, a span that is off by one, and a failure that does not come. */
static void planted_faults_are_seen(void **state) {
    (void)state;
    static const char *const goldens[] = {
        "{\"expected\": \"aéb!\", \"spans\": [[1, 2]]}", // true
        "{\"expected\": \"aeb!\", \"spans\": [[1, 2]]}",
        "{\"expected\": \"aéb!\", \"spans\": [[1, 3]]}",
        "{\"expected\": \"aéb!\", \"spans\": []}",
        "{\"expected\": \"aéb\"}",
        "{\"fails\": true}",
        "{\"error\": \"no\"}",
    };
    static const char source[] = "a{% generation %}é{% endgeneration %}b{{ x }}";
    ChatTemplate *chat = compile(source, sizeof source - 1);
    json_t *extra = json_pack("{s:s}", "x", "!");
    const ChatContext context = {.extra = extra};
    for (size_t i = 0; i < sizeof goldens / sizeof goldens[0]; i++) {
        json_t *golden = json_loads(goldens[i], 0, NULL);
        assert_int_equal(holds(golden, chat, &context, "spans"), i == 0);
        json_decref(golden);
    }
    json_decref(extra);
    chat_template_free(chat);
}

static void check_failure(const char *source, const ChatLimits *limits, ErrorCode code, const char *message) {
    ChatTemplate *chat;
    Error error = {0};
    Buffer out = {0};
    ChatSpans spans = {0};
    ChatContext context = {.limits = *limits};
    buffer_append_text(&out, "before");
    int status = chat_template_compile(&chat, source, strlen(source), "file.jinja", &error);
    if (status == 0) status = chat_template_render(chat, &context, &out, &spans, &error);
    chat_template_free(chat);
    if (status == 0 || error.code != code || strcmp(error.message, message) != 0)
        fail_msg("%s\n got: %s", source, error.message);
    assert_string_equal(out.data, "before"); // as it was
    assert_int_equal(spans.count, 0);
    buffer_free(&out);
    chat_spans_free(&spans);
}

static void messages_name_place_and_reason(void **state) {
    (void)state;
    static const struct {
        const char *source;
        ErrorCode code;
        const char *message;
    } cases[] = {
        {"a\n\n{{ x.y }}", ERROR_INPUT, "file.jinja:3: 'x' is undefined"},
        {"{% set d = {} %}\n{{ d.a.b }}", ERROR_INPUT, "file.jinja:2: a value of type dict has no attribute 'a'"},
        {"\n{{ [].append(1) }}", ERROR_INPUT,
         "file.jinja:2: a template may not use the attribute 'append' of a list, which could change it"},
        {"{{ raise_exception('Roles must alternate') }}", ERROR_INPUT, "file.jinja:1: Roles must alternate"},
        {"{% if a %}\nb", ERROR_INPUT,
         "file.jinja:1: the block that begins here does not end; '{% endif %}' was expected"},
        {"\n{{ a", ERROR_INPUT, "file.jinja:2: the tag that begins here does not end; '}}' was expected"},
        {"\n{# a", ERROR_INPUT, "file.jinja:2: the comment that begins here does not end; '#}' was expected"},
        {"{% raw %}a", ERROR_INPUT,
         "file.jinja:1: the raw block that begins here does not end; '{% endraw %}' was expected"},
        {"{{ 1 + }}", ERROR_INPUT, "file.jinja:1: unexpected '}}', an expression was expected"},
        {"{% fro x in y %}", ERROR_INPUT, "file.jinja:1: unexpected 'fro', a statement was expected"},
        {"{{ a & b }}", ERROR_INPUT, "file.jinja:1: unexpected character '&' in a tag"},
        {"{{ (a] }}", ERROR_INPUT, "file.jinja:1: unexpected ']', ')' was expected"},
        {"{{ x|shout }}", ERROR_INPUT, "file.jinja:1: the filter 'shout' does not exist"},
        {"{{ x is loud }}", ERROR_INPUT, "file.jinja:1: the test 'loud' does not exist"},
        {"{{ x|urlize }}", ERROR_UNSUPPORTED, "file.jinja:1: the filter 'urlize' of Jinja2 is not supported"},
        {"\n{% include 'x' %}", ERROR_UNSUPPORTED,
         "file.jinja:2: the statement 'include' is not supported in a chat template"},
        {"{{ 9223372036854775807 + 1 }}", ERROR_UNSUPPORTED, "file.jinja:1: a whole number does not fit into 64 bits"},
        {"{{ 1 + 'a' }}", ERROR_INPUT, "file.jinja:1: '+' does not work with a value of type int and one of type str"},
        {"{{ 'a'.replace('b') }}", ERROR_INPUT, "file.jinja:1: replace needs the argument 'new'"},
        {"{{ 'a'|trim(1, 2) }}", ERROR_INPUT, "file.jinja:1: trim takes at most 1 arguments, but got 2"},
        {"{{ 'a'|trim(by=1) }}", ERROR_INPUT, "file.jinja:1: trim has no argument 'by'"},
        {"{{ missing|tojson }}", ERROR_INPUT,
         "file.jinja:1: tojson: a value of type Undefined cannot be written as JSON"},
        {"\xff", ERROR_INPUT, "file.jinja:1: the chat template is not UTF-8: byte 0 is wrong"},
        {"{% for a, b in [[1]] %}{% endfor %}", ERROR_INPUT, "file.jinja:1: 1 values cannot be assigned to 2 names"},
        {"{{ 7 // 0 }}", ERROR_INPUT, "file.jinja:1: division by zero"},
        {"{{ range(200000) }}", ERROR_INPUT, "file.jinja:1: range has more than 100000 numbers"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_failure(cases[i].source, &(ChatLimits){0}, cases[i].code, cases[i].message);
}

/* A template may not take the machine down: each limit ends it, and says which. */
static void limits_hold(void **state) {
    (void)state;
    static const char steps[] = "t takes more than 100000 steps; check it for nested loops over large ranges";
    static const char memory[] = "t needs more than 1000000 bytes of memory; check it for a value that keeps growing";
    static const char output[] = "t writes more than 1000 bytes; check it for a loop that does not end";
    static const char depth[] =
        "nested deeper than 600 levels; check the chat template for a macro that calls itself without end";
    static const struct {
        const char *source, *reason;
    } cases[] = {
        {"{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", steps},
        {"{% for a in range(999) %}{% set b = 'x' * 100000 %}{% endfor %}", memory},
        {"{{ 'x' * 1000000000000 }}", memory},
        {"{{ [0] * 100000000000000000 }}", memory},
        {"{% set ns = namespace(x='ab') %}{% for a in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}", memory},
        {"{% set ns = namespace(x=[1]) %}{% for a in range(99) %}{% set ns.x = ns.x * 2 %}{% endfor %}", memory},
        {"{{ '%999999999d' % 1 }}", "a format asks for more than 100000 characters"},
        {"{{ 'ab'.replace('', 'x' * 90000).replace('', 'y' * 90000) }}", memory},
        {"{{ ('a' * 200000).rsplit('a' * 100000 ~ 'b') }}", steps},
        {"{{ ('a' * 200000).rsplit('a' ~ 'b' * 100000) }}", steps},
        {"{{ ('a' * 200000).strip('b' * 200000 ~ 'a') }}", steps},
        {"{% set a, b = 'a' * 200000 ~ 'b', 'a' * 200000 ~ 'c' %}{% for x in range(9999) %}{{ a == b }}{% endfor %}",
         steps},
        {"{% set a, b = 'a' * 200000 ~ 'b', 'a' * 200000 ~ 'c' %}{% for x in range(9999) %}{{ {a: 1}[b] }}{% endfor %}",
         steps},
        {"{% for a in range(999) %}{{ a }}{% endfor %}", output},
        {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", depth},
        {"{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns }}", depth},
        {"{% set ns = namespace() %}{% for i in range(700) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}", depth},
        {"{% set ns = namespace(x=1) %}{% for i in range(700) %}{% set ns.x = {'a': ns.x} %}{% endfor %}{{ ns.x|tojson "
         "}}",
         depth},
    };
    const ChatLimits limits = {.steps = 100000, .memory_bytes = 1000000, .output_bytes = 1000};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ChatTemplate *chat = compile(cases[i].source, strlen(cases[i].source));
        Buffer out = {0};
        Error error = {0};
        assert_int_equal(chat_template_render(chat, &(ChatContext){.limits = limits}, &out, NULL, &error), -1);
        const char *reason = cases[i].reason + (strncmp(cases[i].reason, "t ", 2) == 0 ? 2 : 0);
        if (error.code != ERROR_INPUT || strstr(error.message, reason) == NULL)
            fail_msg("%s\n got: %s", cases[i].source, error.message);
        assert_memory_equal(error.message, "t:1: ", 5);
        chat_template_free(chat);
        buffer_free(&out);
    }
}

/* Brackets, blocks and operators within each other end in an error, not in a crash. */
static void deep_sources_are_refused(void **state) {
    (void)state;
    static const char *const pieces[] = {
        "(",           "[",    "{1:", "-",   "not ", "a if b else ", "{% if a %}", "{% for a in b %}",
        "{% set x %}", "x.y(", "a[",  "a|d("};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        Buffer source = {0};
        Error error = {0};
        ChatTemplate *chat;
        if (pieces[i][1] != '%') buffer_append_text(&source, "{{ ");
        for (int n = 0; n < 20000; n++) buffer_append_text(&source, pieces[i]);
        if (pieces[i][1] != '%') buffer_append_text(&source, "x }}");
        assert_int_equal(chat_template_compile(&chat, source.data, source.size, "t", &error), -1);
        assert_null(chat);
        if (strstr(error.message, "nested deeper than") == NULL) fail_msg("%s\n got: %s", pieces[i], error.message);
        buffer_free(&source);
    }
    Buffer source = {0}; // a long chain is no nesting
    buffer_append_text(&source, "{{ 1");
    for (int n = 0; n < 20000; n++) buffer_append_text(&source, " + 1");
    buffer_append_text(&source, " }}");
    ChatTemplate *chat = compile(source.data, source.size);
    buffer_clear(&source);
    assert_int_equal(chat_template_render(chat, &(ChatContext){0}, &source, NULL, NULL), 0);
    assert_string_equal(source.data, "20001");
    chat_template_free(chat);
    buffer_free(&source);
}

/* Appends to what is there; spans count from the rendering's own start, in bytes and in code points. */
static void renderings_are_appended(void **state) {
    (void)state;
    static const char source[] = "é{% generation %}€{{ n }}{% endgeneration %}!";
    ChatTemplate *chat = compile(source, sizeof source - 1);
    json_t *extra = json_pack("{s:s%}", "n", "a\0b", (size_t)3);
    Buffer out = {0};
    ChatSpans spans = {0};
    assert_true(chat_template_marks_assistant(chat));
    for (int i = 0; i < 2; i++)
        assert_int_equal(chat_template_render(chat, &(ChatContext){.extra = extra}, &out, &spans, NULL), 0);
    assert_int_equal(out.size, 18);
    assert_memory_equal(out.data, "é€a\0b!é€a\0b!", 19);
    assert_int_equal(spans.count, 2);
    for (size_t i = 0; i < 2; i++) {
        const ChatSpan s = spans.spans[i];
        assert_int_equal(s.begin_byte, 2);
        assert_int_equal(s.end_byte, 8);
        assert_int_equal(s.begin_char, 1);
        assert_int_equal(s.end_char, 5);
    }
    json_decref(extra);
    buffer_free(&out);
    chat_spans_free(&spans);
    chat_template_free(chat);
    chat = compile("a", 1);
    assert_false(chat_template_marks_assistant(chat));
    chat_template_free(chat);
}

/* A span that Transformers would put beyond the output (its block was captured, the text cut) ends with the output. */
static void spans_stay_inside(void **state) {
    (void)state;
    static const char source[] = "ab{% set x %}{% generation %}a long answer{% endgeneration %}{% endset %}c";
    ChatTemplate *chat = compile(source, sizeof source - 1);
    Buffer out = {0};
    ChatSpans spans = {0};
    assert_int_equal(chat_template_render(chat, &(ChatContext){0}, &out, &spans, NULL), 0);
    assert_string_equal(out.data, "abc");
    assert_int_equal(spans.count, 1);
    assert_int_equal(spans.spans[0].begin_byte, 2);
    assert_int_equal(spans.spans[0].end_byte, 3);
    assert_int_equal(spans.spans[0].end_char, 3);
    buffer_free(&out);
    chat_spans_free(&spans);
    chat_template_free(chat);
}

/* What strftime_now shows without a given time is now; raise_exception and absent tokens behave as documented. */
static void context_defaults(void **state) {
    (void)state;
    static const char source[] =
        "{{ strftime_now('%Y')|length }}{{ bos_token is defined }}{{ messages is none }}{{ documents is none }}";
    ChatTemplate *chat = compile(source, sizeof source - 1);
    Buffer out = {0};
    assert_int_equal(chat_template_render(chat, &(ChatContext){0}, &out, NULL, NULL), 0);
    assert_string_equal(out.data, "4FalseTrueTrue");
    buffer_free(&out);
    chat_template_free(chat);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_of_models),
        cmocka_unit_test(features),
        cmocka_unit_test(planted_faults_are_seen),
        cmocka_unit_test(messages_name_place_and_reason),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(deep_sources_are_refused),
        cmocka_unit_test(renderings_are_appended),
        cmocka_unit_test(spans_stay_inside),
        cmocka_unit_test(context_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
