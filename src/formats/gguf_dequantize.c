#include "formats/gguf_dequantize.h"
#include "base/dtype.h"

#include <string.h>

static uint16_t u16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

static float half(const uint8_t *p) { return dtype_f16_to_float(u16(p)); }

static void from_f32(const uint8_t *b, float *out) {
    uint32_t bits = (uint32_t)u16(b) | (uint32_t)u16(b + 2) << 16;
    memcpy(out, &bits, 4);
}

static void from_f16(const uint8_t *b, float *out) { *out = half(b); }

static void from_bf16(const uint8_t *b, float *out) { *out = dtype_bf16_to_float(u16(b)); }

/* {half d; nibbles[16]}: number j is the low half of byte j, number j + 16 the high half. */
static void from_q4_0(const uint8_t *b, float *out) {
    float d = half(b);
    for (int j = 0; j < 16; j++) {
        out[j] = d * (float)((b[2 + j] & 15) - 8);
        out[j + 16] = d * (float)((b[2 + j] >> 4) - 8);
    }
}

/* {half d, m; nibbles[16]} */
static void from_q4_1(const uint8_t *b, float *out) {
    float d = half(b), m = half(b + 2);
    for (int j = 0; j < 16; j++) {
        out[j] = d * (float)(b[4 + j] & 15) + m;
        out[j + 16] = d * (float)(b[4 + j] >> 4) + m;
    }
}

/* The fifth bit of number j is bit j of the little-endian word `high`. */
static int five_bits(const uint8_t *high, const uint8_t *nibbles, int j) {
    int low = j < 16 ? nibbles[j] & 15 : nibbles[j - 16] >> 4;
    return low | (high[j / 8] >> j % 8 & 1) << 4;
}

/* {half d; high[4]; nibbles[16]} */
static void from_q5_0(const uint8_t *b, float *out) {
    float d = half(b);
    for (int j = 0; j < 32; j++) out[j] = d * (float)(five_bits(b + 2, b + 6, j) - 16);
}

/* {half d, m; high[4]; nibbles[16]} */
static void from_q5_1(const uint8_t *b, float *out) {
    float d = half(b), m = half(b + 2);
    for (int j = 0; j < 32; j++) out[j] = d * (float)five_bits(b + 4, b + 8, j) + m;
}

/* {half d; int8 q[32]} */
static void from_q8_0(const uint8_t *b, float *out) {
    float d = half(b);
    for (int j = 0; j < 32; j++) out[j] = d * (float)(int8_t)b[2 + j];
}

/* {scales[16]; q[64]; half d, dmin}: two bits a number. Each half of 128 numbers lies in 32 bytes, 32 numbers to each
 * pair of bits; a scale byte (scale low, offset high) serves 16 numbers. */
static void from_q2_k(const uint8_t *b, float *out) {
    float d = half(b + 80), dmin = half(b + 82);
    for (int j = 0; j < 256; j++) {
        const uint8_t scale = b[j / 16], q = b[16 + j / 128 * 32 + j % 32];
        float dl = d * (float)(scale & 15), ml = dmin * (float)(scale >> 4);
        out[j] = dl * (float)(q >> j % 128 / 32 * 2 & 3) - ml;
    }
}

/* Six-bit scale i of the 16 that 12 bytes hold: four low bits as nibbles of bytes 0-7, two high bits in bytes 8-11. */
static int scale_q3_k(const uint8_t *s, int i) {
    int low = i < 8 ? s[i] & 15 : s[i - 8] >> 4;
    return (low | (s[8 + i % 4] >> i / 4 * 2 & 3) << 4) - 32;
}

/* {mask[32]; q[64]; scales[12]; half d}: q as in Q2_K, and 4 less where the number's bit in the mask is 0. */
static void from_q3_k(const uint8_t *b, float *out) {
    float d = half(b + 108);
    for (int j = 0; j < 256; j++) {
        float dl = d * (float)scale_q3_k(b + 96, j / 16);
        int q = b[32 + j / 128 * 32 + j % 32] >> j % 128 / 32 * 2 & 3;
        out[j] = dl * (float)(q - (b[j % 32] >> j / 32 & 1 ? 0 : 4));
    }
}

/* Six-bit scale and offset i of the 8 that 12 bytes hold: 0-3 are bytes i and i + 4; 4-7 have four bits in byte i + 4
 * and their two upper bits where the first four leave two free. */
static void scale_q4_k(const uint8_t *s, int i, int *scale, int *offset) {
    if (i < 4) {
        *scale = s[i] & 63;
        *offset = s[i + 4] & 63;
    } else {
        *scale = (s[i + 4] & 15) | s[i - 4] >> 6 << 4;
        *offset = s[i + 4] >> 4 | s[i] >> 6 << 4;
    }
}

/* Numbers in groups of 32; groups 2i and 2i + 1 are the low and the high nibbles of 32 bytes. `high` has their fifth
 * bits, bit i of byte j for number j of group i, or is NULL. */
static void from_q45_k(const uint8_t *b, const uint8_t *high, const uint8_t *nibbles, float *out) {
    float d = half(b), dmin = half(b + 2);
    for (int i = 0; i < 8; i++) {
        int scale, offset;
        scale_q4_k(b + 4, i, &scale, &offset);
        float dl = d * (float)scale, ml = dmin * (float)offset;
        for (int j = 0; j < 32; j++) {
            int q = nibbles[i / 2 * 32 + j] >> i % 2 * 4 & 15;
            if (high != NULL) q |= (high[j] >> i & 1) << 4;
            out[i * 32 + j] = dl * (float)q - ml;
        }
    }
}

/* {half d, dmin; scales[12]; nibbles[128]} */
static void from_q4_k(const uint8_t *b, float *out) { from_q45_k(b, NULL, b + 16, out); }

/* {half d, dmin; scales[12]; high[32]; nibbles[128]} */
static void from_q5_k(const uint8_t *b, float *out) { from_q45_k(b, b + 16, b + 48, out); }

/* {low[128]; high[64]; int8 scales[16]; half d}: of each 128 numbers, j is nibble j / 64 of byte j % 64, and bits
 * 2 (j / 32), 2 (j / 32) + 1 of the high byte j % 32. */
static void from_q6_k(const uint8_t *b, float *out) {
    float d = half(b + 208);
    for (int j = 0; j < 256; j++) {
        int h = j / 128, k = j % 128;
        int q = (b[h * 64 + k % 64] >> k / 64 * 4 & 15) | (b[128 + h * 32 + k % 32] >> k / 32 * 2 & 3) << 4;
        out[j] = d * (float)(int8_t)b[192 + j / 16] * (float)(q - 32);
    }
}

const GgufFormat *gguf_format(uint32_t type) {
    static const GgufFormat none = {0}, formats[] = {[GGUF_F32] = {"F32", 1, 4, from_f32},
                                                     [GGUF_F16] = {"F16", 1, 2, from_f16},
                                                     [GGUF_Q4_0] = {"Q4_0", 32, 18, from_q4_0},
                                                     [GGUF_Q4_1] = {"Q4_1", 32, 20, from_q4_1},
                                                     [GGUF_Q5_0] = {"Q5_0", 32, 22, from_q5_0},
                                                     [GGUF_Q5_1] = {"Q5_1", 32, 24, from_q5_1},
                                                     [GGUF_Q8_0] = {"Q8_0", 32, 34, from_q8_0},
                                                     [9] = {.name = "Q8_1"},
                                                     [GGUF_Q2_K] = {"Q2_K", 256, 84, from_q2_k},
                                                     [GGUF_Q3_K] = {"Q3_K", 256, 110, from_q3_k},
                                                     [GGUF_Q4_K] = {"Q4_K", 256, 144, from_q4_k},
                                                     [GGUF_Q5_K] = {"Q5_K", 256, 176, from_q5_k},
                                                     [GGUF_Q6_K] = {"Q6_K", 256, 210, from_q6_k},
                                                     [15] = {.name = "Q8_K"},
                                                     {.name = "IQ2_XXS"},
                                                     {.name = "IQ2_XS"},
                                                     {.name = "IQ3_XXS"},
                                                     {.name = "IQ1_S"},
                                                     {.name = "IQ4_NL"},
                                                     {.name = "IQ3_S"},
                                                     {.name = "IQ2_S"},
                                                     {.name = "IQ4_XS"},
                                                     {.name = "I8"},
                                                     {.name = "I16"},
                                                     {.name = "I32"},
                                                     {.name = "I64"},
                                                     {.name = "F64"},
                                                     {.name = "IQ1_M"},
                                                     [GGUF_BF16] = {"BF16", 1, 2, from_bf16},
                                                     [34] = {.name = "TQ1_0"},
                                                     {.name = "TQ2_0"},
                                                     [39] = {.name = "MXFP4"}};
    return type < sizeof formats / sizeof *formats ? &formats[type] : &none;
}

void gguf_dequantize(const GgufFormat *format, const uint8_t *block, size_t blocks, float *out) {
    for (size_t i = 0; i < blocks; i++) format->dequantize(block + i * format->bytes, out + i * format->elements);
}
