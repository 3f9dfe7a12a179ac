#include "kernels/token_logprob.h"
#include "base/arena.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A tile of logits is ROWS x CHUNK or less (ROWS as a step of a weight gradient): it stays in the shared cache between
 * its product and its softmax, and is high enough that the gradient of the head, read and written once a tile, does not
 * wait for memory. Sums of exponentials are float32 within SUM elements and double beyond. */
enum { ROWS = 448, CHUNK = 2048, SUM = 512 };

typedef struct {
    float maximum;
    double sum;                     // of exp(logit - maximum)
    double square, weighted, total; // of its square, of it times the logit, of the logits: where figures are asked for
} RunningSum;

struct TokenHead {
    size_t V, C, chunk, chunks; // chunk: words of all chunks but the last
    DType compute;
    GemmWeight *forward;
    TokenHeadUse use;
    GemmWeight **gradient; // for data gradients: (chunks), or where frozen one for whole chunks and one for the last
    Arena arena;           // of what follows
    float *ones;           // (SUM)
    float *logits;         // (ROWS, words of the chunk)
    void *dlogits;         // the same, compute type; the same memory as logits where that is float32
    RunningSum *running;   // (ROWS)
};

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

/* Whole pieces of the weight, at most CHUNK words; a piece is never wider. */
static size_t chunk_of(size_t V, size_t piece) { return smaller(V, CHUNK / piece * piece); }

static size_t words_of(const TokenHead *head, size_t c) { return smaller(head->chunk, head->V - c * head->chunk); }

static void lay_out(TokenHead *head, Arena *arena) {
    head->ones = arena_take(arena, SUM, sizeof *head->ones);
    head->logits = arena_take(arena, ROWS * head->chunk, sizeof *head->logits);
    head->running = arena_take(arena, ROWS, sizeof *head->running);
    head->dlogits = head->logits;
    if (head->use != TOKEN_HEAD_FORWARD && head->compute != DTYPE_F32)
        head->dlogits = arena_take(arena, ROWS * head->chunk, dtype_bytes(head->compute));
}

/* Where the chunk has its layout for data gradients: chunks of a frozen head share one. */
static size_t layout_of(const TokenHead *head, size_t c) {
    return head->use == TOKEN_HEAD_TRAINED ? c : words_of(head, c) < head->chunk;
}

static int create_gradient(GemmContext *gemm, TokenHead *head, Error *error) {
    head->gradient = calloc(head->chunks, sizeof(GemmWeight *));
    if (head->gradient == NULL) return error_set(error, ERROR_MEMORY, "no memory for a head of %zu words", head->V);
    for (size_t c = 0; c < head->chunks; c++) {
        GemmWeight **weight = &head->gradient[layout_of(head, c)];
        if (*weight == NULL &&
            gemm_weight_create(gemm, words_of(head, c), head->C, head->compute, GEMM_DATA_GRADIENT, weight, error) != 0)
            return -1;
    }
    return 0;
}

int token_head_create(GemmContext *gemm, size_t vocabulary, size_t channels, DType compute, TokenHeadUse use,
                      TokenHead **out, Error *error) {
    *out = NULL;
    TokenHead *head = calloc(1, sizeof *head);
    if (head == NULL) return error_set(error, ERROR_MEMORY, "no memory for a head of %zu words", vocabulary);
    *head = (TokenHead){.V = vocabulary, .C = channels, .compute = compute, .use = use};
    if (gemm_weight_create(gemm, vocabulary, channels, compute, GEMM_FORWARD, &head->forward, error) != 0) goto failed;
    head->chunk = chunk_of(vocabulary, gemm_weight_piece(head->forward));
    head->chunks = (vocabulary + head->chunk - 1) / head->chunk;
    if (use != TOKEN_HEAD_FORWARD && create_gradient(gemm, head, error) != 0) goto failed;
    Arena counted = arena_counting();
    lay_out(head, &counted);
    if (arena_create(&head->arena, counted.used, error) != 0) goto failed;
    lay_out(head, &head->arena);
    for (size_t i = 0; i < SUM; i++) head->ones[i] = 1;
    *out = head;
    return 0;
failed:
    token_head_destroy(head);
    return -1;
}

void token_head_destroy(TokenHead *head) {
    if (head == NULL) return;
    for (size_t c = 0; head->gradient != NULL && c < head->chunks; c++) gemm_weight_destroy(head->gradient[c]);
    free(head->gradient);
    gemm_weight_destroy(head->forward);
    arena_destroy(&head->arena);
    free(head);
}

size_t token_head_bytes(Isa isa, size_t vocabulary, size_t channels, DType compute, TokenHeadUse use) {
    TokenHead head = {
        .V = vocabulary, .C = channels, .compute = compute, .use = use, .chunk = smaller(vocabulary, CHUNK)};
    Arena counted = arena_counting();
    lay_out(&head, &counted);
    size_t bytes = counted.used + sizeof head + gemm_weight_bytes(isa, vocabulary, channels, compute, GEMM_FORWARD);
    for (size_t first = 0; use != TOKEN_HEAD_FORWARD && first < vocabulary; first += head.chunk) {
        size_t words = smaller(head.chunk, vocabulary - first);
        if (use == TOKEN_HEAD_TRAINED || first == 0 || words < head.chunk)
            bytes += gemm_weight_bytes(isa, words, channels, compute, GEMM_DATA_GRADIENT);
    }
    return bytes;
}

int token_head_pack(GemmContext *gemm, TokenHead *head, const void *source, DType source_type, Error *error) {
    size_t chunk_bytes = head->chunk * head->C * dtype_bytes(source_type);
    if (gemm_weight_pack(gemm, head->forward, source, source_type, error) != 0) return -1;
    for (size_t c = 0; head->use == TOKEN_HEAD_TRAINED && c < head->chunks; c++)
        if (gemm_weight_pack(gemm, head->gradient[c], (const char *)source + c * chunk_bytes, source_type, error) != 0)
            return -1;
    return 0;
}

/* The targets [*first, end) of rows below `row`, given that those before *first are of earlier rows. */
static size_t targets_below(const TokenTarget *target, size_t n, size_t first, size_t row) {
    while (first < n && (size_t)target[first].row < row) first++;
    return first;
}

static int check_targets(const TokenHead *head, size_t R, size_t n, const TokenTarget *target, Error *error) {
    for (size_t i = 0; i < n; i++) {
        const TokenTarget t = target[i];
        if (t.row < 0 || (size_t)t.row >= R || t.token < 0 || (size_t)t.token >= head->V ||
            (i > 0 && t.row < target[i - 1].row))
            return error_set(error, ERROR_INTERNAL,
                             "target %zu (row %d, token %d) is not in order within %zu rows and %zu words", i,
                             (int)t.row, (int)t.token, R, head->V);
    }
    return 0;
}

/* The logits of `rows` rows from `first` on, of chunk c. */
static int compute_tile(GemmContext *gemm, TokenHead *head, size_t c, size_t first, size_t rows, const void *hidden,
                        Error *error) {
    const char *x = (const char *)hidden + first * head->C * dtype_bytes(head->compute);
    return gemm_forward_columns(gemm, head->forward, c * head->chunk, words_of(head, c), rows, x, head->C, head->logits,
                                words_of(head, c), DTYPE_F32, false, error);
}

static void absorb(const KernelTable *kernels, const TokenHead *head, size_t words, const float *logits, bool figures,
                   RunningSum *running) {
    float highest = kernels->maximum(words, logits), exponential[SUM];
    if (highest > running->maximum) {
        double shrink = exp((double)running->maximum - highest);
        running->sum *= shrink;
        running->square *= shrink * shrink;
        running->weighted *= shrink;
        running->maximum = highest;
    }
    for (size_t i = 0; i < words; i += SUM) {
        size_t n = smaller(SUM, words - i);
        running->sum += kernels->exp_sum(n, logits + i, running->maximum, figures ? exponential : NULL);
        if (!figures) continue;
        running->square += kernels->sum_squares(n, exponential);
        running->weighted += kernels->dot(n, exponential, logits + i);
        running->total += kernels->dot(n, head->ones, logits + i);
    }
}

/* before: the largest logit of the words before the target. */
static TokenFigures figures_of(const TokenHead *head, const RunningSum *s, float logit, float before) {
    return (TokenFigures){.log_sum_square = (float)(log(s->square) - 2 * log(s->sum)),
                          .entropy = (float)(s->maximum + log(s->sum) - s->weighted / s->sum),
                          .mean_logit = (float)(s->total / (double)head->V),
                          .top = logit >= s->maximum && logit > before ? 1 : 0};
}

int token_logprob_forward(GemmContext *gemm, const KernelTable *kernels, TokenHead *head, size_t R, const void *hidden,
                          size_t n, const TokenTarget *target, float *logprob, float *logsumexp, TokenFigures *figures,
                          Error *error) {
    if (check_targets(head, R, n, target, error) != 0) return -1;
    RunningSum *running = head->running;
    for (size_t first = 0, from = 0, to; first < R; first += ROWS, from = to) {
        size_t rows = smaller(ROWS, R - first);
        to = targets_below(target, n, from, first + rows);
        for (size_t r = 0; r < rows; r++) running[r] = (RunningSum){.maximum = -INFINITY};
        for (size_t c = 0; c < head->chunks; c++) {
            if (compute_tile(gemm, head, c, first, rows, hidden, error) != 0) return -1;
            size_t words = words_of(head, c);
            for (size_t i = from; i < to; i++) {
                size_t word = (size_t)target[i].token - c * head->chunk; // wraps around below the chunk
                if (word >= words) continue;
                size_t row = (size_t)target[i].row - first;
                const float *logits = head->logits + row * words;
                logprob[i] = logits[word];
                if (figures != NULL)
                    figures[i].top = fmaxf(running[row].maximum, word > 0 ? kernels->maximum(word, logits) : -INFINITY);
            }
#pragma omp parallel for num_threads(kernels->threads) schedule(static)
            for (size_t r = 0; r < rows; r++)
                absorb(kernels, head, words, head->logits + r * words, figures != NULL, &running[r]);
        }
        for (size_t i = from; i < to; i++) {
            const RunningSum *s = &running[(size_t)target[i].row - first];
            if (figures != NULL) figures[i] = figures_of(head, s, logprob[i], figures[i].top);
            logprob[i] = (float)((double)logprob[i] - s->maximum - log(s->sum));
        }
        for (size_t r = 0; r < rows; r++) logsumexp[first + r] = (float)(running[r].maximum + log(running[r].sum));
    }
    return 0;
}

/* One row of a chunk: logits become the gradient, in the compute type. `target` are the n targets of this row. */
static void differentiate(const KernelTable *kernels, const TokenHead *head, size_t c, float *logits, void *dlogits,
                          size_t n, const TokenTarget *target, const float *dlogprob, float logsumexp) {
    size_t words = words_of(head, c);
    double total = 0;
    for (size_t i = 0; i < n; i++) total += dlogprob[i];
    kernels->exp_sum(words, logits, logsumexp, logits);
    kernels->scale(words, (float)-total, logits);
    for (size_t i = 0; i < n; i++) {
        size_t word = (size_t)target[i].token - c * head->chunk;
        if (word < words) logits[word] += dlogprob[i];
    }
    if (head->compute != DTYPE_F32) kernels->to_bf16(words, logits, dlogits);
}

/* A tile's logits become dlogits; its targets are [from, to). */
static void differentiate_tile(const KernelTable *kernels, const TokenHead *head, size_t c, size_t first, size_t rows,
                               size_t from, size_t to, const TokenTarget *target, const float *dlogprob,
                               const float *logsumexp) {
    size_t words = words_of(head, c), tile_row = words * dtype_bytes(head->compute);
#pragma omp parallel for num_threads(kernels->threads) schedule(static)
    for (size_t r = 0; r < rows; r++) {
        size_t begin = from, low = to; // the first target of this row or a later one
        while (begin < low) {
            size_t middle = begin + (low - begin) / 2;
            if ((size_t)target[middle].row < first + r)
                begin = middle + 1;
            else
                low = middle;
        }
        size_t end = targets_below(target, to, begin, first + r + 1);
        differentiate(kernels, head, c, head->logits + r * words, (char *)head->dlogits + r * tile_row, end - begin,
                      target + begin, dlogprob + begin, logsumexp[first + r]);
    }
}

/* Chunks outside, rows inside: a chunk's weights and its part of dhead stay in the cache. */
int token_logprob_backward(GemmContext *gemm, const KernelTable *kernels, TokenHead *head, size_t R, const void *hidden,
                           size_t n, const TokenTarget *target, const float *dlogprob, const float *logsumexp,
                           float *dhidden, float *dhead, Error *error) {
    assert(head->gradient != NULL);
    if (check_targets(head, R, n, target, error) != 0) return -1;
    size_t C = head->C, row_bytes = C * dtype_bytes(head->compute);
    for (size_t c = 0; c < head->chunks; c++) {
        size_t words = words_of(head, c);
        GemmWeight *weight = head->gradient[layout_of(head, c)];
        if (head->use == TOKEN_HEAD_FROZEN &&
            gemm_weight_turn(gemm, head->forward, c * head->chunk, weight, error) != 0)
            return -1;
        for (size_t first = 0, from = 0, to; first < R; first += ROWS, from = to) {
            size_t rows = smaller(ROWS, R - first);
            to = targets_below(target, n, from, first + rows);
            if (compute_tile(gemm, head, c, first, rows, hidden, error) != 0) return -1;
            differentiate_tile(kernels, head, c, first, rows, from, to, target, dlogprob, logsumexp);
            if (gemm_data_gradient(gemm, weight, rows, head->dlogits, words, dhidden + first * C, C, DTYPE_F32, c > 0,
                                   error) != 0)
                return -1;
            if (dhead != NULL && gemm_weight_gradient(gemm, rows, words, C, head->compute, head->dlogits, words,
                                                      (const char *)hidden + first * row_bytes, C,
                                                      dhead + c * head->chunk * C, error) != 0)
                return -1;
        }
    }
    return 0;
}

int token_logits(GemmContext *gemm, const TokenHead *head, size_t R, const void *hidden, float *logits, Error *error) {
    return gemm_forward(gemm, head->forward, R, hidden, head->C, logits, head->V, DTYPE_F32, false, error);
}
