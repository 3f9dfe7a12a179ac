#include "text/jinja_builder.h"
#include "base/size.h"
#include "text/jinja_utf8.h"

#include <string.h>

void jinja_build_room(JinjaBuilder *b, size_t size) {
    size_t need;
    if (b->failed) return;
    if (!size_add(b->size, size, &need)) need = SIZE_MAX; // refused by jinja_take
    if (need <= b->capacity) return;
    size_t capacity = need > SIZE_MAX / 4 || need > 2 * b->capacity ? need : 2 * b->capacity;
    char *grown = jinja_take_bytes(b->run, capacity < 32 ? 32 : capacity);
    if (grown == NULL || jinja_charge_text(b->run, b->size) != 0) {
        b->failed = true;
        return;
    }
    if (b->size > 0) memcpy(grown, b->bytes, b->size);
    b->bytes = grown;
    b->capacity = capacity < 32 ? 32 : capacity;
}

void jinja_build(JinjaBuilder *b, const char *bytes, size_t size) {
    jinja_build_room(b, size);
    if (b->failed || size == 0) return;
    memcpy(b->bytes + b->size, bytes, size);
    b->size += size;
}

void jinja_build_text(JinjaBuilder *b, const char *text) { jinja_build(b, text, strlen(text)); }

void jinja_build_char(JinjaBuilder *b, uint32_t c) {
    char bytes[4];
    jinja_build(b, bytes, jinja_utf8_encode(c, bytes));
}

void jinja_build_fill(JinjaBuilder *b, const char *bytes, size_t size, size_t times) {
    size_t total;
    if (!size_multiply(size, times, &total)) total = SIZE_MAX;
    jinja_build_room(b, total);
    if (size == 1 && !b->failed && times > 0) {
        memset(b->bytes + b->size, bytes[0], times);
        b->size += times;
        return;
    }
    for (; !b->failed && size > 0 && times > 0; times--) jinja_build(b, bytes, size);
}

int jinja_built(JinjaBuilder *b, JinjaValue *out) {
    if (b->failed || jinja_charge_text(b->run, b->size) != 0) return -1;
    *out = jinja_string(b->bytes == NULL ? "" : b->bytes, b->size);
    return 0;
}
