/* Rendering chats: microseconds for a short chat of 10 messages (the cost of the engine) and GB/s for one with long
 * texts (the cost of copying). Templates: one of our own in the style of ChatML, and those of ../shared where they are
 * there. usage: bench_chat_template */
#include "base/file.h"
#include "text/chat_template.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { REPEATS = 15, MESSAGES = 10 };

static const char own[] =
    "{%- for message in messages %}\n"
    "    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}\n"
    "        {{- '<|' + message.role + '|>\\n' + message['content'] | trim + '<|end|>' + '\\n' }}\n"
    "    {%- elif message.role == 'assistant' %}\n"
    "        {{- '<|' + message.role + '|>\\n' }}{% generation %}{{ message.content }}<|end|>{% endgeneration %}\n"
    "    {%- endif %}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}{{- '<|assistant|>\\n' }}{%- endif %}\n";

/* `bytes` of text in every message, of which the first may be the system's. */
static json_t *make_chat(size_t bytes) {
    json_t *messages = json_array();
    char *text = malloc(bytes + 1);
    if (text == NULL) exit(1);
    for (size_t i = 0; i < bytes; i++) text[i] = (char)(i % 7 == 6 ? ' ' : 'a' + (char)(i % 26));
    text[bytes] = 0;
    for (int i = 0; i < MESSAGES; i++)
        json_array_append_new(messages,
                              json_pack("{s:s, s:s}", "role", i % 2 == 0 ? "user" : "assistant", "content", text));
    free(text);
    return messages;
}

static double cpu_seconds(void) { return (double)clock() / CLOCKS_PER_SEC; }

/* The time of a rendering in seconds. */
static double measure(const ChatTemplate *chat, const json_t *messages, int times, size_t *bytes) {
    double best = 1e9;
    const ChatContext context = {
        .messages = messages, .add_generation_prompt = true, .bos_token = "<s>", .eos_token = "</s>"};
    Buffer out = {0};
    ChatSpans spans = {0};
    Error error;
    for (int r = 0; r < REPEATS; r++) {
        double start = cpu_seconds();
        for (int i = 0; i < times; i++) {
            buffer_clear(&out);
            spans.count = 0;
            if (chat_template_render(chat, &context, &out, &spans, &error) != 0) {
                fprintf(stderr, "%s\n", error.message);
                exit(1);
            }
        }
        double seconds = (cpu_seconds() - start) / times;
        if (seconds < best) best = seconds;
    }
    *bytes = out.size;
    buffer_free(&out);
    chat_spans_free(&spans);
    return best;
}

static void report(const char *name, const char *source, size_t size) {
    ChatTemplate *chat;
    Error error;
    double start = cpu_seconds();
    if (chat_template_compile(&chat, source, size, name, &error) != 0) {
        fprintf(stderr, "%s\n", error.message);
        exit(1);
    }
    double compiled = cpu_seconds() - start;
    json_t *small = make_chat(100), *large = make_chat(100000);
    size_t bytes;
    double micros = measure(chat, small, 500, &bytes) * 1e6;
    double large_seconds = measure(chat, large, 5, &bytes);
    printf("%-24s compiled in %6.1f us, 10 messages of 100 bytes %6.1f us, of 100 kB %5.2f GB/s\n", name,
           compiled * 1e6, micros, (double)bytes / large_seconds * 1e-9);
    json_decref(small);
    json_decref(large);
    chat_template_free(chat);
}

int main(void) {
    static const char *const names[] = {"llama3", "llama3_1", "mistral_nemo", "qwen2_5", "qwen3", "gemma3", "zephyr"};
    report("own", own, sizeof own - 1);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[256];
        FileMap map;
        snprintf(path, sizeof path, "../shared/data/chat_templates/templates/%s.jinja", names[i]);
        if (!file_exists(path) || file_map(&map, path, NULL) != 0) continue;
        report(names[i], (const char *)map.data, map.size);
        file_unmap(&map);
    }
    return 0;
}
