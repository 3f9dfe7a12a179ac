/* fuzz_template.c - any bytes as a chat template: compiled and rendered within small limits.
 * Asserts that two renderings agree in text, spans and message, that a failure leaves the output alone, that spans lie
 * within the output, and that the text is UTF-8. */
#include "text/chat_template.h"
#include "text/jinja_utf8.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char variables[] = "{\"messages\": [{\"role\": \"system\", \"content\": \"Be brief.\"}, {\"role\": "
                                "\"user\", \"content\": \"  Gr\\u00fc\\u00dfe \\ud83d\\ude00\\n\"},"
                                " {\"role\": \"assistant\", \"content\": \"<think>\\nhm\\n</think>\\n\\nHi\", "
                                "\"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\":"
                                " {\"a\": [1, 2.5, null, true]}}}]}, {\"role\": \"tool\", \"content\": [{\"type\": "
                                "\"text\", \"text\": \"7\"}]}], \"tools\": [{\"type\": \"function\","
                                " \"function\": {\"name\": \"f\", \"description\": \"\\\"q\\\"\", \"parameters\": "
                                "{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"number\"}}}}}],"
                                " \"extra\": {\"n\": 7, \"name\": \"Ada\", \"words\": [\"b\", \"A\", \"c\"], "
                                "\"numbers\": [3, 1, 2, -9223372036854775807], \"pi\": 3.25,"
                                " \"table\": {\"z\": 1, \"a\": \"two\"}, \"nothing\": null, \"yes\": true, \"people\": "
                                "[{\"name\": \"Bo\", \"age\": 31}, {\"name\": \"al\", \"age\": 25}]}}";

typedef struct {
    int status;
    Buffer out;
    ChatSpans spans;
    Error error;
} Rendering;

static Rendering render(const ChatTemplate *chat, const json_t *all) {
    static const struct tm now = {.tm_year = 126, .tm_mday = 15, .tm_hour = 12, .tm_wday = 4, .tm_yday = 14};
    const ChatContext context = {
        .messages = json_object_get(all, "messages"),
        .tools = json_object_get(all, "tools"),
        .add_generation_prompt = true,
        .bos_token = "<s>",
        .eos_token = "</s>",
        .extra = json_object_get(all, "extra"),
        .now = &now,
        .limits = {.steps = 20000, .memory_bytes = 4 << 20, .output_bytes = 1 << 16},
    };
    Rendering r = {0};
    r.status = chat_template_render(chat, &context, &r.out, &r.spans, &r.error);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static json_t *all;
    if (all == NULL) all = json_loads(variables, 0, NULL);
    assert(all != NULL);
    ChatTemplate *chat;
    Error error = {0};
    if (chat_template_compile(&chat, (const char *)data, size, "t", &error) != 0) {
        assert(chat == NULL && error.code != ERROR_NONE && error.message[0] != 0);
        return 0;
    }
    Rendering a = render(chat, all), b = render(chat, all);
    assert(a.status == b.status && a.out.size == b.out.size && a.spans.count == b.spans.count);
    assert(a.out.size == 0 || memcmp(a.out.data, b.out.data, a.out.size) == 0);
    assert(strcmp(a.error.message, b.error.message) == 0);
    assert(a.status == 0 ? a.error.code == ERROR_NONE
                         : a.error.code != ERROR_NONE && a.out.size == 0 && a.spans.count == 0);
    size_t bad;
    assert(a.out.size == 0 || jinja_utf8_valid(a.out.data, a.out.size, &bad));
    for (size_t i = 0; i < a.spans.count; i++) {
        const ChatSpan s = a.spans.spans[i], t = b.spans.spans[i];
        assert(memcmp(&s, &t, sizeof s) == 0);
        assert(s.begin_byte <= s.end_byte && s.end_byte <= a.out.size && s.begin_char <= s.end_char &&
               s.end_char <= s.end_byte);
    }
    buffer_free(&a.out);
    buffer_free(&b.out);
    chat_spans_free(&a.spans);
    chat_spans_free(&b.spans);
    chat_template_free(chat);
    return 0;
}
