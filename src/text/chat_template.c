#include "text/chat_template.h"
#include "text/jinja_eval.h"
#include "text/jinja_parser.h"
#include "text/jinja_render.h"
#include "text/jinja_utf8.h"

#include <stdlib.h>
#include <string.h>

#define STEPS 20000000
#define MEMORY_BYTES (256u << 20)
#define OUTPUT_BYTES (64u << 20)

struct ChatTemplate {
    char *name;
    JinjaRun run; // owns the tree
    JinjaTree tree;
};

void chat_spans_free(ChatSpans *spans) {
    free(spans->spans);
    *spans = (ChatSpans){0};
}

int chat_template_compile(ChatTemplate **chat, const char *source, size_t bytes, const char *name, Error *error) {
    ChatTemplate *made = calloc(1, sizeof *made);
    *chat = NULL;
    if (made == NULL || (made->name = strdup(name)) == NULL) {
        free(made);
        return error_set(error, ERROR_MEMORY, "%s: no memory left for the chat template", name);
    }
    made->run = jinja_run(made->name, MEMORY_BYTES, STEPS, error);
    if (jinja_parse(&made->run, source, bytes, &made->tree) != 0) {
        chat_template_free(made);
        return -1;
    }
    made->run.error = NULL; // the caller's; from here on the run only holds memory
    *chat = made;
    return 0;
}

/* Spans of blocks within captured text were measured before the text was cut or left out: none may end beyond the
 * output. */
static void clamp_spans(ChatSpans *spans, size_t first, const char *text, size_t bytes) {
    size_t chars = bytes == 0 ? 0 : jinja_utf8_count(text, bytes);
    for (size_t i = first; i < spans->count; i++) {
        ChatSpan *s = &spans->spans[i];
        if (s->end_byte > bytes) s->end_byte = bytes;
        if (s->end_char > chars) s->end_char = chars;
    }
}

int chat_template_render(const ChatTemplate *chat, const ChatContext *context, Buffer *out, ChatSpans *spans,
                         Error *error) {
    const ChatLimits *limits = &context->limits;
    size_t begin = out->size, first = spans == NULL ? 0 : spans->count;
    JinjaEval e = {
        .run = jinja_run(chat->name, limits->memory_bytes != 0 ? limits->memory_bytes : MEMORY_BYTES,
                         limits->steps != 0 ? limits->steps : STEPS, error),
        .tree = &chat->tree,
        .context = context,
        .out = out,
        .begin = begin,
        .output_limit = limits->output_bytes != 0 ? limits->output_bytes : OUTPUT_BYTES,
        .spans = spans,
    };
    e.run.now = context->now;
    e.root = jinja_take(&e.run, chat->tree.names, sizeof *e.root);
    int status = e.root == NULL || jinja_render_body(&e, chat->tree.body) == JINJA_FLOW_FAILED ? -1 : 0;
    if (status == 0) {
        buffer_append(out, "", 0); // terminated, also when nothing was written
        if (out->failed)
            status = error_set(error, ERROR_MEMORY, "%s: no memory left for the text of the chat", chat->name);
    }
    if (status == 0 && spans != NULL) clamp_spans(spans, first, out->data + begin, out->size - begin);
    if (status != 0) {
        out->size = begin;
        out->failed = false;
        if (out->data != NULL) out->data[begin] = 0;
        if (spans != NULL) spans->count = first;
    }
    jinja_run_free(&e.run);
    return status;
}

bool chat_template_marks_assistant(const ChatTemplate *chat) { return chat->tree.marks_assistant; }

void chat_template_free(ChatTemplate *chat) {
    if (chat == NULL) return;
    jinja_run_free(&chat->run);
    free(chat->name);
    free(chat);
}
