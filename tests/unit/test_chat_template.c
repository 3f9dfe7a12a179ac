#include "test.h"
#include "text/chat_template.h"
#include <string.h>

static char *read_line(FILE *f, Buffer *line) {
    char piece[65536];
    buffer_clear(line);
    while (fgets(piece, sizeof piece, f) != NULL) {
        buffer_append_text(line, piece);
        if (line->data[line->size - 1] == '\n') break;
    }
    return line->size > 0 ? line->data : NULL;
}

/* The template of a golden line, compiled when it changes. */
static const ChatTemplate *template_of(const char *folder, const char *name, ChatTemplate **chat, char *last) {
    char path[512];
    if (strcmp(name, last) == 0) return *chat;
    chat_template_free(*chat);
    snprintf(path, sizeof path, "%s/%s.jinja", folder, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char source[65536];
    size_t size = fread(source, 1, sizeof source, f);
    fclose(f);
    Error error = {0};
    if (chat_template_compile(chat, source, size, name, &error) != 0) fail_msg("%s", error.message);
    strcpy(last, name);
    return *chat;
}

/* One golden line; 0 where it holds. `planted`: the expectation is falsified and must not hold. */
static int check_golden(const char *folder, const json_t *golden, ChatTemplate **chat, char *last) {
    const struct tm now = {.tm_year = 126, .tm_mon = 0, .tm_mday = 15, .tm_hour = 12, .tm_wday = 4, .tm_yday = 14};
    const char *name = json_string_value(json_object_get(golden, "template"));
    const ChatContext context = {
        .messages = json_object_get(golden, "messages"),
        .tools = json_object_get(golden, "tools"),
        .add_generation_prompt = json_is_true(json_object_get(golden, "add_generation_prompt")),
        .bos_token = json_string_value(json_object_get(golden, "bos_token")),
        .eos_token = json_string_value(json_object_get(golden, "eos_token")),
        .now = &now,
    };
    const json_t *expected = json_object_get(golden, "expected"), *raised = json_object_get(golden, "error");
    const json_t *wanted = json_object_get(golden, "assistant_char_spans");
    Buffer out = {0};
    ChatSpans spans = {0};
    Error error = {0};
    int status = chat_template_render(template_of(folder, name, chat, last), &context, &out, &spans, &error);
    int wrong = 0;
    if (expected == NULL) wrong = status == 0 || error.code != ERROR_INPUT || strstr(error.message, json_string_value(raised)) == NULL;
    else wrong = status != 0 || out.size != json_string_length(expected) || memcmp(out.data, json_string_value(expected), out.size) != 0;
    if (wanted != NULL && !wrong) {
        wrong = spans.count != json_array_size(wanted);
        for (size_t i = 0; !wrong && i < spans.count; i++) {
            const json_t *span = json_array_get(wanted, i);
            wrong = spans.spans[i].begin_char != (size_t)json_integer_value(json_array_get(span, 0)) ||
                    spans.spans[i].end_char != (size_t)json_integer_value(json_array_get(span, 1));
        }
    }
    if (wrong) printf("%s: %s\n  got: %s\n", name, json_string_value(json_object_get(golden, "context")), status != 0 ? error.message : out.data);
    buffer_free(&out);
    chat_spans_free(&spans);
    return wrong;
}

static void goldens_of_shared(void **state) {
    (void)state;
    char path[512], folder[512], last[128] = "";
    if (test_shared("data/chat_templates/goldens.jsonl", path, sizeof path) == NULL) skip();
    test_shared("data/chat_templates/templates", folder, sizeof folder);
    FILE *f = fopen(path, "rb");
    Buffer line = {0};
    ChatTemplate *chat = NULL;
    size_t count = 0, wrong = 0;
    while (read_line(f, &line) != NULL) {
        json_t *golden = json_loads(line.data, 0, NULL);
        assert_non_null(golden);
        wrong += (size_t)check_golden(folder, golden, &chat, last);
        count++;
        json_decref(golden);
    }
    fclose(f);
    buffer_free(&line);
    chat_template_free(chat);
    printf("%zu goldens, %zu wrong\n", count, wrong);
    assert_int_equal(wrong, 0);
    assert_int_equal(count, 1098);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goldens_of_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
