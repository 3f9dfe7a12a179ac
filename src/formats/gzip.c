#include "formats/gzip.h"

#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <zlib.h>

bool gzip_is(const void *bytes, size_t size) { return size >= 3 && memcmp(bytes, "\x1f\x8b\x08", 3) == 0; }

int gzip_inflate(const void *bytes, size_t size, size_t limit, Buffer *out, const char *name, Error *error) {
    enum { GZIP_ONLY = 16 + MAX_WBITS };
    unsigned char piece[1 << 16];
    const unsigned char *at = bytes, *end = at + size;
    z_stream stream = {0};
    size_t before = out->size;
    if (inflateInit2(&stream, GZIP_ONLY) != Z_OK)
        return error_set(error, ERROR_MEMORY, "%s: no memory to inflate it", name);
    int status = Z_OK, result = -1;
    while (status == Z_OK) {
        if (stream.avail_in == 0 && at < end) {
            stream.avail_in = end - at > INT_MAX ? INT_MAX : (uInt)(end - at);
            stream.next_in = (Bytef *)(uintptr_t)at;
            at += stream.avail_in;
        }
        stream.next_out = piece;
        stream.avail_out = sizeof piece;
        status = inflate(&stream, Z_NO_FLUSH);
        buffer_append(out, piece, sizeof piece - stream.avail_out);
        if (out->size - before > limit) {
            error_set(error, ERROR_INPUT, "%s: inflates to more than %zu bytes", name, limit);
            goto done;
        }
        bool more = stream.avail_in > 0 || at < end;
        if (status == Z_STREAM_END && more) status = inflateReset(&stream); // the next member
    }
    if (status == Z_STREAM_END && !out->failed)
        result = 0;
    else if (out->failed || status == Z_MEM_ERROR)
        error_set(error, ERROR_MEMORY, "%s: no memory to inflate it", name);
    else if (status == Z_BUF_ERROR)
        error_set(error, ERROR_INPUT, "%s: the gzip data is cut short after %zu bytes; fetch the file again", name,
                  size);
    else
        error_set(error, ERROR_INPUT, "%s: the gzip data is damaged (%s); fetch the file again", name,
                  stream.msg == NULL ? "no gzip header" : stream.msg);
done:
    inflateEnd(&stream);
    return result;
}
