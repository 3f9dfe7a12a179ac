#include "align/response_filter.h"

#include <stdint.h>
#include <utf8proc.h>

bool response_filter_keeps(const ResponseFilter *filter, FinishReason finish, size_t chars) {
    return finish == FINISH_STOP && chars > filter->above_chars && chars < filter->below_chars;
}

/* The code points for which Python's str.isspace() holds. */
static bool is_space(int32_t c) {
    return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

size_t response_filter_strip(const char *text, size_t bytes, size_t *begin, size_t *end) {
    size_t length = 0, trailing = 0;
    *begin = *end = 0;
    for (size_t at = 0; at < bytes;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)(bytes - at), &c);
        if (n <= 0) n = 1, c = 0xfffd; // a stray byte counts as one replacement character
        if (is_space(c)) {
            trailing += length > 0;
        } else {
            if (length == 0) *begin = at;
            length += trailing + 1, trailing = 0;
            *end = at + (size_t)n;
        }
        at += (size_t)n;
    }
    return length;
}

size_t response_filter_length(const char *text, size_t bytes) {
    size_t begin, end;
    return response_filter_strip(text, bytes, &begin, &end);
}
