#include "sample/generate.h"
#include "sample/kv_cache.h"
#include "sample/sampler.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Prompt tokens computed in one step, and the length of the pieces that a longer prompt is cut into. A constant, so
 * that the pieces of a prompt, and with them its bits, do not depend on the batch. */
enum { PREFILL_ROWS = 256 };

/* A prompt in flight: its keys are a trunk slab of the cache. */
typedef struct {
    const GeneratePrompt *prompt;
    size_t filled;       // tokens whose keys are in the cache, or will be after this step
    uint32_t next_k;     // responses from here on have not started
    size_t open;         // responses that have not ended, done ones not counted
    SampledToken *first; // (K) the first token of each response, valid once the prompt is filled
    SeenTokens seen;
} Trunk;

/* A response in flight: its keys are a branch slab. */
typedef struct {
    uint32_t trunk, k;
    size_t length, limit; // tokens so far; at most
    int32_t *ids;         // (limit)
    float *logprob;       // (limit)
    SampledToken drawn;   // by this step
    SeenTokens seen;
} Branch;

typedef struct {
    Model *model;
    const HfConfig *config;
    const GenerateSettings *settings;
    const GeneratePrompt *prompt; // (prompts)
    size_t prompts, next;         // prompts from `next` on have not been looked at
    GenerateSink sink;
    void *context;
    const Log *log;

    KvCache cache;
    Sampler sampler;
    Trunk *trunk;          // by slab
    Branch *branch;        // by slab
    uint32_t *trunk_order; // slabs of the prompts in flight, in order of admission
    uint32_t *live;        // slabs of the responses in flight, in the order of their trunks
    size_t trunks, lives;
    size_t waiting; // responses of the prompts in flight that have not started

    int32_t *token, *position, *cache_row, *logit_row; // what DecodeInput points to
    AttentionSegment *segment;
    SamplerDraw *draw;
    float *logits;
    DecodeInput input;
    size_t draws;

    size_t prompts_done, responses_done, stopped;
    double tokens, tokens_of_done;
} Flight;

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

static bool is_done(const GeneratePrompt *prompt, size_t k) { return prompt->done != NULL && prompt->done[k]; }

static size_t count_open(const GeneratePrompt *prompt, size_t K) {
    size_t n = 0;
    for (size_t k = 0; k < K; k++) n += !is_done(prompt, k);
    return n;
}

/* Takes every array from the arena, or counts them: model, config, settings and sampler.kernels are set. */
static void carve(Flight *f, Arena *arena, const ModelOptions *options, const KvCacheShape *shape) {
    const size_t K = f->settings->responses, V = f->config->vocabulary, trunks = shape->trunks, B = shape->branches;
    const size_t rows = B + PREFILL_ROWS, limit = shape->branch_rows + 1;
    f->sampler = (Sampler){.kernels = options->kernels, .filter = f->settings->filter, .vocabulary = V};
    f->sampler.stop = f->settings->stop, f->sampler.stop_count = f->settings->stop_count;
    kv_cache_carve(&f->cache, arena, f->config, options, shape);
    sampler_carve(&f->sampler, arena);
    f->trunk = arena_take(arena, trunks, sizeof *f->trunk);
    f->branch = arena_take(arena, B, sizeof *f->branch);
    f->trunk_order = arena_take(arena, trunks, sizeof *f->trunk_order);
    f->live = arena_take(arena, B, sizeof *f->live);
    f->token = arena_take(arena, rows, sizeof *f->token);
    f->position = arena_take(arena, rows, sizeof *f->position);
    f->cache_row = arena_take(arena, rows, sizeof *f->cache_row);
    f->logit_row = arena_take(arena, B + trunks, sizeof *f->logit_row);
    f->segment = arena_take(arena, B + trunks, sizeof *f->segment);
    f->draw = arena_take(arena, B + trunks * K, sizeof *f->draw);
    f->logits = arena_take(arena, (B + trunks) * V, sizeof *f->logits);
    const bool seen = sampler_needs_seen(&f->sampler);
    for (size_t i = 0; i < trunks; i++) {
        Trunk t = {.first = arena_take(arena, K, sizeof *t.first)};
        if (seen) t.seen.ids = arena_take(arena, shape->trunk_rows, sizeof *t.seen.ids);
        if (f->trunk != NULL) f->trunk[i] = t;
    }
    for (size_t i = 0; i < B; i++) {
        Branch b = {.ids = arena_take(arena, limit, sizeof *b.ids),
                    .logprob = arena_take(arena, limit, sizeof *b.logprob)};
        if (seen) b.seen.ids = arena_take(arena, shape->trunk_rows + limit, sizeof *b.seen.ids);
        if (f->branch != NULL) f->branch[i] = b;
    }
}

static int plan(KvCacheShape *shape, const HfConfig *config, const ModelOptions *options,
                const GenerateSettings *settings, size_t longest, size_t branches, Error *error) {
    KvCacheNeed need = {.responses = settings->responses, .branches = branches, .longest = longest};
    need.max_new_tokens = smaller(settings->max_new_tokens, config->max_positions - 1);
    need.budget_bytes = settings->cache_bytes;
    return kv_cache_plan(shape, config, options, &need, error);
}

size_t generate_bytes(const HfConfig *config, const ModelOptions *options, const GenerateSettings *settings,
                      size_t longest) {
    KvCacheShape shape;
    if (plan(&shape, config, options, settings, longest, settings->max_branches, NULL) != 0) return SIZE_MAX;
    Flight f = {.config = config, .settings = settings};
    Arena arena = arena_counting();
    carve(&f, &arena, options, &shape);
    size_t model = model_decode_bytes(config, options, shape.branches + PREFILL_ROWS, shape.branches + shape.trunks);
    return arena.used > SIZE_MAX - model ? SIZE_MAX : arena.used + model;
}

/* The next prompts take their place while there are fewer waiting responses than free places: with all places taken one
 * prompt is filled ahead, so that its responses can follow on those that end. */
static void admit(Flight *f) {
    const size_t K = f->settings->responses;
    for (; f->next < f->prompts && f->waiting <= f->cache.branch.spares && f->cache.trunk.spares > 0; f->next++) {
        const GeneratePrompt *p = &f->prompt[f->next];
        size_t open = count_open(p, K);
        if (open == 0) {
            f->prompts_done++;
            continue;
        }
        uint32_t slab = kv_cache_take(&f->cache.trunk);
        Trunk *t = &f->trunk[slab];
        t->prompt = p, t->open = open, t->filled = 0, t->next_k = 0, t->seen.count = 0;
        if (sampler_needs_seen(&f->sampler))
            for (size_t i = 0; i < p->length; i++) sampler_see(&t->seen, p->ids[i]);
        f->waiting += open;
        f->trunk_order[f->trunks++] = slab;
    }
}

static void add_row(Flight *f, int32_t token, size_t position, size_t cache_row) {
    size_t r = f->input.rows++;
    f->token[r] = token, f->position[r] = (int32_t)position, f->cache_row[r] = (int32_t)cache_row;
}

/* A draw from the logits of the newest row. */
static void add_draw(Flight *f, const GeneratePrompt *p, uint32_t k, size_t position, SeenTokens seen,
                     SampledToken *token) {
    RngAddress a = {f->settings->seed, RNG_SAMPLE, f->settings->round, p->item, k};
    const float *logits = f->logits + (f->input.logit_rows - 1) * f->config->vocabulary;
    f->draw[f->draws++] = (SamplerDraw){logits, seen, a, (uint32_t)position, token};
}

/* How many of a prompt's tokens this step fills: a whole piece, or nothing where the room is too little for it. */
static size_t next_piece(const Trunk *t, size_t room) {
    size_t piece = smaller(t->prompt->length - t->filled, PREFILL_ROWS);
    return piece <= room ? piece : 0;
}

/* The prompt's segment, and the rows of the piece of it that this step fills. */
static void add_trunk(Flight *f, uint32_t slab, size_t piece) {
    Trunk *t = &f->trunk[slab];
    const GeneratePrompt *p = t->prompt;
    const size_t row = kv_cache_row(&f->cache.trunk, slab), end = t->filled + piece;
    f->segment[f->input.segments++] = (AttentionSegment){f->input.rows, piece, row, end, -1};
    for (; t->filled < end; t->filled++) add_row(f, p->ids[t->filled], t->filled, row + t->filled);
    if (piece == 0 || end < p->length) return;
    f->logit_row[f->input.logit_rows++] = (int32_t)f->input.rows - 1;
    for (uint32_t k = 0; k < f->settings->responses; k++)
        if (!is_done(p, k)) add_draw(f, p, k, 0, t->seen, &t->first[k]);
}

static void add_branch(Flight *f, uint32_t slab, size_t trunk_segment) {
    Branch *b = &f->branch[slab];
    const GeneratePrompt *p = f->trunk[b->trunk].prompt;
    size_t row = kv_cache_row(&f->cache.branch, slab), last = b->length - 1;
    f->segment[f->input.segments++] = (AttentionSegment){f->input.rows, 1, row, b->length, (int32_t)trunk_segment};
    f->logit_row[f->input.logit_rows++] = (int32_t)f->input.rows;
    add_row(f, b->ids[last], p->length + last, row + last);
    add_draw(f, p, b->k, b->length, b->seen, &b->drawn);
}

/* Every row that can be computed now: trunk by trunk, each followed by its branches. */
static void assemble(Flight *f) {
    size_t room = PREFILL_ROWS, j = 0;
    f->draws = 0;
    f->input = (DecodeInput){.token = f->token, .position = f->position, .cache_row = f->cache_row};
    f->input.segment = f->segment, f->input.logit_row = f->logit_row;
    for (size_t i = 0; i < f->trunks; i++) {
        uint32_t slab = f->trunk_order[i];
        const size_t piece = next_piece(&f->trunk[slab], room), segment = f->input.segments;
        const bool has_branches = j < f->lives && f->branch[f->live[j]].trunk == slab;
        if (piece == 0 && !has_branches) continue;
        add_trunk(f, slab, piece);
        room -= piece;
        for (; j < f->lives && f->branch[f->live[j]].trunk == slab; j++) add_branch(f, f->live[j], segment);
    }
}

/* Appends a token to a response. Where that ends it, hands it over, frees its slab and sets *ended. */
static int append(Flight *f, uint32_t slab, const SampledToken *s, bool *ended, Error *error) {
    Branch *b = &f->branch[slab];
    Trunk *t = &f->trunk[b->trunk];
    b->ids[b->length] = s->token;
    b->logprob[b->length++] = s->logprob;
    f->tokens++;
    bool stops = sampler_stops(&f->sampler, s->token);
    *ended = stops || b->length == b->limit;
    if (!*ended && sampler_needs_seen(&f->sampler)) sampler_see(&b->seen, s->token);
    if (!*ended) return 0;
    GeneratedResponse r = {.prompt = (size_t)(t->prompt - f->prompt), .k = b->k, .ids = b->ids, .logprob = b->logprob};
    r.length = b->length, r.finish = stops ? FINISH_STOP : FINISH_LENGTH;
    if (f->sink(f->context, &r, error) != 0) return -1;
    t->open--;
    f->responses_done++, f->stopped += stops, f->tokens_of_done += (double)b->length;
    kv_cache_give_back(&f->cache.branch, slab);
    return 0;
}

/* Starts waiting responses of a filled prompt while there are places. */
static int start(Flight *f, uint32_t trunk, Error *error) {
    Trunk *t = &f->trunk[trunk];
    for (; t->next_k < f->settings->responses && f->cache.branch.spares > 0; t->next_k++) {
        if (is_done(t->prompt, t->next_k)) continue;
        uint32_t slab = kv_cache_take(&f->cache.branch);
        Branch *b = &f->branch[slab];
        b->trunk = trunk, b->k = t->next_k, b->length = 0, b->seen.count = t->seen.count;
        b->limit = smaller(f->settings->max_new_tokens, f->config->max_positions - t->prompt->length);
        if (t->seen.count > 0) memcpy(b->seen.ids, t->seen.ids, t->seen.count * sizeof *t->seen.ids);
        f->waiting--;
        bool ended;
        if (append(f, slab, &t->first[t->next_k], &ended, error) != 0) return -1;
        if (!ended) f->live[f->lives++] = slab;
    }
    return 0;
}

/* After the draws: responses grow or leave, waiting ones take the free places, finished prompts leave. */
static int advance(Flight *f, Error *error) {
    size_t kept = 0;
    for (size_t j = 0; j < f->lives; j++) {
        bool ended;
        if (append(f, f->live[j], &f->branch[f->live[j]].drawn, &ended, error) != 0) return -1;
        if (!ended) f->live[kept++] = f->live[j];
    }
    f->lives = kept;
    /* In order of admission, so that `live` stays in the order of the trunks: a prompt that is not filled yet holds
     * back those after it. */
    for (size_t i = 0; i < f->trunks; i++) {
        const Trunk *t = &f->trunk[f->trunk_order[i]];
        if (t->filled < t->prompt->length) break;
        if (start(f, f->trunk_order[i], error) != 0) return -1;
    }
    kept = 0;
    for (size_t i = 0; i < f->trunks; i++) {
        uint32_t slab = f->trunk_order[i];
        if (f->trunk[slab].open > 0)
            f->trunk_order[kept++] = slab;
        else {
            f->prompts_done++;
            kv_cache_give_back(&f->cache.trunk, slab);
        }
    }
    f->trunks = kept;
    return 0;
}

static void report(const Flight *f) {
    LogProgress p = {.stage = "sample", .done = f->prompts_done, .total = f->prompts, .unit = "prompts"};
    p.tokens = f->tokens;
    int n = snprintf(p.detail, sizeof p.detail, "%zu in flight", f->lives);
    double done = (double)f->responses_done;
    if (done > 0)
        snprintf(p.detail + n, sizeof p.detail - (size_t)n, ", stop rate %.2f, mean length %.0f",
                 (double)f->stopped / done, f->tokens_of_done / done);
    log_progress(f->log, &p);
}

static int run(Flight *f, Error *error) {
    report(f);
    while (f->next < f->prompts || f->trunks > 0) {
        if (log_interrupted(f->log))
            return error_set(error, ERROR_INTERRUPTED,
                             "sampling was interrupted with %zu of %zu prompts finished; run the same command again to "
                             "continue",
                             f->prompts_done, f->prompts);
        admit(f);
        assemble(f);
        if (f->input.rows > 0) {
            if (model_decode(f->model, &f->cache.arrays, &f->input, f->logits, error) != 0) return -1;
            if (sampler_draw(&f->sampler, f->draw, f->draws, error) != 0) return -1;
        }
        if (advance(f, error) != 0) return -1;
        report(f);
    }
    return 0;
}

static int check_prompt(const GeneratePrompt *p, const HfConfig *config, Error *error) {
    if (p->length == 0)
        return error_set(error, ERROR_INPUT,
                         "prompt %" PRIu32 " is empty; a response needs at least one token to follow", p->item);
    if (p->length >= config->max_positions)
        return error_set(error, ERROR_INPUT,
                         "prompt %" PRIu32
                         " has %zu tokens, which leaves no room for a response in the model's context "
                         "of %zu; shorten or drop it",
                         p->item, p->length, config->max_positions);
    for (size_t i = 0; i < p->length; i++)
        if (p->ids[i] < 0 || (size_t)p->ids[i] >= config->vocabulary)
            return error_set(error, ERROR_INPUT,
                             "prompt %" PRIu32 ": token %zu is %" PRId32
                             ", but the model's vocabulary has ids 0 to %zu "
                             "only; does the tokenizer belong to this model?",
                             p->item, i, p->ids[i], config->vocabulary - 1);
    return 0;
}

static int check_settings(const GenerateSettings *s, Error *error) {
    if (s->responses == 0 || s->responses >> 24 != 0 || s->max_new_tokens == 0 || s->max_branches == 0)
        return error_set(error, ERROR_USAGE,
                         "sampling needs at least one response (and fewer than 2^24), one new token and one response "
                         "in flight; found %zu, %zu and %zu",
                         s->responses, s->max_new_tokens, s->max_branches);
    return 0;
}

int generate(Model *model, const GenerateSettings *settings, const GeneratePrompt *prompt, size_t prompts,
             GenerateSink sink, void *context, const Log *log, Error *error) {
    const HfConfig *config = model_config(model);
    const ModelOptions *options = model_options(model);
    if (check_settings(settings, error) != 0) return -1;
    size_t longest = 1, branches = 0;
    for (size_t i = 0; i < prompts; i++) {
        size_t open = count_open(&prompt[i], settings->responses);
        if (open == 0) continue;
        if (check_prompt(&prompt[i], config, error) != 0) return -1;
        if (prompt[i].length > longest) longest = prompt[i].length;
        branches += smaller(open, settings->max_branches - branches);
    }
    if (branches == 0) return 0;
    KvCacheShape shape;
    if (plan(&shape, config, options, settings, longest, branches, error) != 0) return -1;
    Flight f = {.model = model, .config = config, .settings = settings, .prompt = prompt, .prompts = prompts};
    f.sink = sink, f.context = context, f.log = log;
    Arena arena = arena_counting();
    carve(&f, &arena, options, &shape);
    if (arena_create(&arena, arena.used, error) != 0)
        return error_prefix(error, "sampling with %zu responses of up to %zu tokens in flight", shape.branches,
                            shape.branch_rows + 1);
    carve(&f, &arena, options, &shape);
    int result = run(&f, error);
    arena_destroy(&arena);
    return result;
}
