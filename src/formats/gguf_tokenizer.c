#include "formats/gguf_tokenizer.h"

#include "base/buffer.h"
#include "formats/spm_merges.h"
#include "formats/tokenizer_document.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_USER_DEFINED = 4, TOKEN_BYTES_MAX = 1024, TOKENS_MAX = 1 << 24 };

#define WORD_LLAMA3                                                                                                    \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"           \
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define WORD_QWEN2                                                                                                     \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"                \
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

#define WORD_TEKKEN                                                                                                    \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|"                       \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}|"                \
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* How a byte-level tokenizer cuts text, by tokenizer.ggml.pre. */
typedef struct {
    const char *name;
    const char *word; // regular expression of the pieces; NULL: ByteLevel's own, which is GPT-2's
    bool digits;      // every digit is a piece
    bool nfc, ignore_merges, add_bos;
} PreTokenizer;

/* Families share a row's rules under several names. */
static const PreTokenizer pre_tokenizers[] = {
    {.name = "gpt-2"},
    {.name = "default"},
    {.name = "phi-2"},
    {.name = "mpt"},
    {.name = "olmo"},
    {.name = "smollm", .digits = true},
    {.name = "starcoder", .digits = true},
    {.name = "refact", .digits = true},
    {.name = "codeshell", .digits = true},
    {.name = "llama-bpe", .word = WORD_LLAMA3, .ignore_merges = true, .add_bos = true},
    {.name = "llama3", .word = WORD_LLAMA3, .ignore_merges = true, .add_bos = true},
    {.name = "llama-v3", .word = WORD_LLAMA3, .ignore_merges = true, .add_bos = true},
    {.name = "smaug-bpe", .word = WORD_LLAMA3},
    {.name = "dbrx", .word = WORD_LLAMA3},
    {.name = "qwen2", .word = WORD_QWEN2, .nfc = true},
    {.name = "deepseek-r1-qwen", .word = WORD_QWEN2},
    {.name = "tekken", .word = WORD_TEKKEN, .ignore_merges = true, .add_bos = true}};
enum { PRE_TOKENIZERS = sizeof pre_tokenizers / sizeof *pre_tokenizers };

static int no_memory(const Gguf *g, Error *error) {
    return error_set(error, ERROR_MEMORY, "%s: no memory for its tokenizer", gguf_name(g));
}

static bool equals(GgufString s, const char *text) {
    return s.bytes == strlen(text) && memcmp(s.text, text, s.bytes) == 0;
}

/* The tokens one after another, with their types. */
typedef struct {
    GgufArray tokens, types; // types: of none where the file has none
    bool spm;
    Buffer text; // of the token at hand, where it is not as in the file
} TokenReader;

static int token_reader_begin(TokenReader *r, const Gguf *g, bool spm, Error *error) {
    *r = (TokenReader){.spm = spm};
    if (gguf_strings(g, "tokenizer.ggml.tokens", &r->tokens, error) != 0 ||
        gguf_numbers(g, "tokenizer.ggml.token_type", &r->types, error) != 0)
        return -1;
    if (r->tokens.count == 0 || r->tokens.count > TOKENS_MAX)
        return error_set(error, ERROR_INPUT, "%s: tokenizer.ggml.tokens has %zu tokens; 1 to %d were expected",
                         gguf_name(g), r->tokens.count, TOKENS_MAX);
    if (r->types.count == 0 || r->types.count == r->tokens.count) return 0;
    return error_set(error, ERROR_INPUT, "%s: has %zu tokens, but %zu token types", gguf_name(g), r->tokens.count,
                     r->types.count);
}

/* The next token, valid unless text.failed; *type is 0 where the file has none. Those who write GGUF files spell U+2581
 * in user-defined pieces of SentencePiece as a space, which no piece has: it is spelled back [GT-3]. */
static GgufString token_reader_next(TokenReader *r, double *type) {
    GgufString t = gguf_next_string(&r->tokens);
    *type = r->types.count > 0 ? gguf_next_number(&r->types) : 0;
    if (!r->spm || *type != TYPE_USER_DEFINED || memchr(t.text, ' ', t.bytes) == NULL) return t;
    buffer_clear(&r->text);
    for (size_t i = 0; i < t.bytes; i++)
        if (t.text[i] == ' ')
            buffer_append_text(&r->text, "\u2581");
        else
            buffer_append(&r->text, t.text + i, 1);
    return (GgufString){r->text.data, r->text.size};
}

/* The whole list of tokens, as the member "vocab" will be. */
static int read_vocabulary(const Gguf *g, json_t *vocab, TokenReader *r, Error *error) {
    for (json_int_t id = 0; r->tokens.count > 0; id++) {
        double type;
        GgufString t = token_reader_next(r, &type);
        if (r->text.failed) return no_memory(g, error);
        const json_t *other = t.bytes > TOKEN_BYTES_MAX ? NULL : json_object_getn(vocab, t.text, t.bytes);
        if (t.bytes > TOKEN_BYTES_MAX)
            return error_set(error, ERROR_INPUT, "%s: token %lld has %zu bytes, at most %d were expected", gguf_name(g),
                             (long long)id, t.bytes, TOKEN_BYTES_MAX);
        if (other != NULL)
            return error_set(error, ERROR_INPUT, "%s: tokens %lld and %lld are the same text", gguf_name(g),
                             (long long)json_integer_value(other), (long long)id);
        json_t *number = json_integer(id);
        if (number == NULL) return no_memory(g, error);
        if (json_object_setn_new(vocab, t.text, t.bytes, number) != 0)
            return error_set(error, ERROR_INPUT, "%s: token %lld is not UTF-8", gguf_name(g), (long long)id);
    }
    return 0;
}

/* Phi-3's special tokens take the ASCII white space behind them along, as llama.cpp does it; GGUF has no key for that,
 * so it goes by the architecture. */
static bool takes_space_behind(const Gguf *g, GgufString token) {
    GgufString architecture = {"", 0};
    if (gguf_string(g, "general.architecture", &architecture, NULL) != 0 || !equals(architecture, "phi3")) return false;
    return !equals(token, "<unk>") && !equals(token, "<s>") && !equals(token, "<|endoftext|>");
}

/* [GT-2] */
static int read_added(const Gguf *g, json_t *added, TokenReader *r, Error *error) {
    for (json_int_t id = 0; r->types.count > 0; id++) {
        double type;
        GgufString t = token_reader_next(r, &type);
        if (r->text.failed) return no_memory(g, error);
        bool special = type == TYPE_CONTROL || (r->spm && type == TYPE_UNKNOWN);
        if (!special && type != TYPE_USER_DEFINED) continue;
        if (t.bytes == 0)
            return error_set(error, ERROR_INPUT, "%s: the special token %lld is empty", gguf_name(g), (long long)id);
        const DocumentToken token = {t.text, t.bytes, id, special, takes_space_behind(g, t)};
        json_t *entry = tokenizer_document_added(&token);
        if (entry == NULL || json_array_append_new(added, entry) != 0) return no_memory(g, error);
    }
    return 0;
}

/* "left right" -> [left, right]; the first character may itself be a space. */
static int read_merges(const Gguf *g, json_t *merges, Error *error) {
    GgufArray array;
    if (gguf_strings(g, "tokenizer.ggml.merges", &array, error) != 0) return -1;
    if (array.count == 0) return error_set(error, ERROR_INPUT, "%s: has no tokenizer.ggml.merges", gguf_name(g));
    for (size_t i = 0; array.count > 0; i++) {
        GgufString m = gguf_next_string(&array);
        const char *space = m.bytes < 3 ? NULL : memchr(m.text + 1, ' ', m.bytes - 2);
        size_t left = space == NULL ? 0 : (size_t)(space - m.text);
        json_t *pair = space == NULL ? NULL : json_pack("[s%, s%]", m.text, left, space + 1, m.bytes - left - 1);
        if (pair == NULL)
            return error_set(error, ERROR_INPUT, "%s: merge %zu is not two tokens with a space between them",
                             gguf_name(g), i);
        if (json_array_append_new(merges, pair) != 0) return no_memory(g, error);
    }
    return 0;
}

static const PreTokenizer *find_pre(const Gguf *g, Error *error) {
    GgufString name = {"gpt-2", 5};
    if (gguf_string(g, "tokenizer.ggml.pre", &name, error) != 0) return NULL;
    Buffer supported = {0};
    for (size_t i = 0; i < PRE_TOKENIZERS; i++) {
        if (equals(name, pre_tokenizers[i].name)) {
            buffer_free(&supported);
            return &pre_tokenizers[i];
        }
        buffer_format(&supported, "%s%s", i > 0 ? ", " : "", pre_tokenizers[i].name);
    }
    error_set(error, ERROR_UNSUPPORTED,
              "%s: the pre-tokenizer \"%.*s\" (tokenizer.ggml.pre) is not supported; supported are %s", gguf_name(g),
              name.bytes < 60 ? (int)name.bytes : 60, name.text, supported.data == NULL ? "" : supported.data);
    buffer_free(&supported);
    return NULL;
}

static json_t *byte_level(int add_prefix_space, int use_regex) {
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", add_prefix_space, "trim_offsets",
                     1, "use_regex", use_regex);
}

static json_t *pre_tokenizer(const PreTokenizer *pre) {
    json_t *bytes = byte_level(0, pre->word == NULL);
    if (pre->word != NULL)
        return json_pack("{s:s, s:[{s:s, s:{s:s}, s:s, s:b}, o]}", "type", "Sequence", "pretokenizers", "type", "Split",
                         "pattern", "Regex", pre->word, "behavior", "Isolated", "invert", 0, bytes);
    if (!pre->digits) return bytes;
    return json_pack("{s:s, s:[{s:s, s:b}, o]}", "type", "Sequence", "pretokenizers", "type", "Digits",
                     "individual_digits", 1, bytes);
}

/* The text of the token that a key names (a new reference); NULL without failure where there is none. */
static int special_token(const Gguf *g, const char *key, json_t **text, int64_t *id, Error *error) {
    GgufArray tokens;
    GgufString token = {0};
    *text = NULL;
    *id = -1;
    if (gguf_strings(g, "tokenizer.ggml.tokens", &tokens, error) != 0) return -1;
    if (gguf_integer(g, key, 0, (int64_t)tokens.count - 1, id, error) != 0) return -1;
    if (*id < 0) return 0;
    for (int64_t i = 0; i <= *id; i++) token = gguf_next_string(&tokens);
    *text = json_stringn(token.text, token.bytes);
    return *text == NULL ? error_set(error, ERROR_INPUT, "%s: token %lld is not UTF-8", gguf_name(g), (long long)*id)
                         : 0;
}

/* What stands in front of and behind a text; null where nothing does. */
static int post_processor(const Gguf *g, bool add_bos, json_t **processor, Error *error) {
    json_t *token[2] = {NULL, NULL};
    int64_t id[2] = {-1, -1};
    bool add[2] = {add_bos, false};
    static const char *const keys[2][2] = {{"tokenizer.ggml.add_bos_token", "tokenizer.ggml.bos_token_id"},
                                           {"tokenizer.ggml.add_eos_token", "tokenizer.ggml.eos_token_id"}};
    int result = 0;
    for (int i = 0; i < 2 && result == 0; i++) {
        result = gguf_bool(g, keys[i][0], &add[i], error);
        if (result == 0 && add[i]) result = special_token(g, keys[i][1], &token[i], &id[i], error);
    }
    if (result == 0) {
        const DocumentEnd before = {json_string_value(token[0]), id[0]}, behind = {json_string_value(token[1]), id[1]};
        *processor = tokenizer_document_post_processor(&before, &behind);
        if (*processor == NULL) result = no_memory(g, error);
    }
    json_decref(token[0]);
    json_decref(token[1]);
    return result;
}

/* [GT-1] A user-defined piece is always found whole: it comes before all others, whatever score the file gives it. */
static int read_scores(const Gguf *g, json_t *vocab, json_t *merges, Error *error) {
    GgufArray scores, types;
    size_t count = json_object_size(vocab), bytes;
    const char *token;
    json_t *id;
    if (gguf_numbers(g, "tokenizer.ggml.scores", &scores, error) != 0 ||
        gguf_numbers(g, "tokenizer.ggml.token_type", &types, error) != 0)
        return -1;
    if (scores.count != count)
        return error_set(error, ERROR_INPUT, "%s: has %zu tokens, but %zu scores (tokenizer.ggml.scores)", gguf_name(g),
                         count, scores.count);
    SpmPiece *piece = calloc(count + 1, sizeof *piece);
    int result = piece == NULL ? no_memory(g, error) : 0;
    if (result == 0) {
        json_object_keylen_foreach(vocab, token, bytes, id) piece[json_integer_value(id)] = (SpmPiece){token, bytes, 0};
    }
    for (size_t i = 0; i < count && result == 0; i++) {
        piece[i].score = gguf_next_number(&scores);
        if (isnan(piece[i].score))
            result = error_set(error, ERROR_INPUT, "%s: the score of token %zu is not a number", gguf_name(g), i);
        if (types.count > 0 && gguf_next_number(&types) == TYPE_USER_DEFINED) piece[i].score = INFINITY;
    }
    if (result == 0) result = spm_merges(piece, count, vocab, merges, gguf_name(g), error);
    free(piece);
    return result;
}

/* Everything but the vocabulary, of which the parts are borrowed. */
static int assemble(const Gguf *g, const PreTokenizer *pre, json_t *vocab, json_t *merges, json_t *added,
                    json_t **document, Error *error) {
    bool spm = pre == NULL, prefix = true, add_bos = spm || pre->add_bos;
    json_t *post = NULL, *unknown = NULL;
    int64_t id;
    if (gguf_bool(g, "tokenizer.ggml.add_space_prefix", &prefix, error) != 0) return -1;
    if (spm && special_token(g, "tokenizer.ggml.unknown_token_id", &unknown, &id, error) != 0) return -1;
    if (post_processor(g, add_bos, &post, error) != 0) {
        json_decref(unknown);
        return -1;
    }
    if (spm) {
        const SpmDocument parts = {.vocab = vocab,
                                   .merges = merges,
                                   .added = added,
                                   .post_processor = post,
                                   .unknown = json_string_value(unknown),
                                   .byte_fallback = true,
                                   .prefix = prefix};
        *document = tokenizer_document_spm(&parts);
        json_decref(unknown);
        return *document == NULL ? no_memory(g, error) : 0;
    }
    json_t *model =
        json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:O, s:O}", "type", "BPE", "dropout", "unk_token",
                  "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0, "ignore_merges",
                  pre->ignore_merges, "vocab", vocab, "merges", merges);
    *document = json_pack("{s:s, s:n, s:n, s:O, s:o, s:o, s:o, s:o, s:o}", "version", "1.0", "truncation", "padding",
                          "added_tokens", added, "normalizer",
                          pre->nfc ? json_pack("{s:s}", "type", "NFC") : json_null(), "pre_tokenizer",
                          pre_tokenizer(pre), "post_processor", post, "decoder", byte_level(1, 1), "model", model);
    return *document == NULL ? no_memory(g, error) : 0;
}

/* One walk over all tokens. */
static int read_tokens(const Gguf *g, bool spm, int (*read)(const Gguf *, json_t *, TokenReader *, Error *),
                       json_t *out, Error *error) {
    TokenReader reader;
    int result = token_reader_begin(&reader, g, spm, error);
    if (result == 0) result = read(g, out, &reader, error);
    buffer_free(&reader.text);
    return result;
}

int gguf_tokenizer_json(const Gguf *gguf, json_t **document, Error *error) {
    GgufString model = {0};
    const PreTokenizer *pre = NULL;
    json_t *vocab = json_object(), *merges = json_array(), *added = json_array();
    int result = -1;
    if (gguf_string(gguf, "tokenizer.ggml.model", &model, error) != 0) goto done;
    bool spm = equals(model, "llama");
    if (!spm && !equals(model, "gpt2")) {
        error_set(
            error, ERROR_UNSUPPORTED,
            "%s: tokenizer.ggml.model is \"%.*s\"; supported are gpt2 (byte-level BPE) and llama (SentencePiece BPE)",
            gguf_name(gguf), model.bytes < 60 ? (int)model.bytes : 60, model.text == NULL ? "" : model.text);
        goto done;
    }
    if (!spm && (pre = find_pre(gguf, error)) == NULL) goto done;
    if (read_tokens(gguf, spm, read_vocabulary, vocab, error) != 0 ||
        read_tokens(gguf, spm, read_added, added, error) != 0)
        goto done;
    if (spm ? read_scores(gguf, vocab, merges, error) != 0 : read_merges(gguf, merges, error) != 0) goto done;
    result = assemble(gguf, pre, vocab, merges, added, document, error);
done:
    json_decref(vocab);
    json_decref(merges);
    json_decref(added);
    return result;
}

int gguf_tokenizer_config(const Gguf *gguf, json_t **document, Error *error) {
    static const struct {
        const char *key, *name;
    } tokens[] = {{"tokenizer.ggml.bos_token_id", "bos_token"},
                  {"tokenizer.ggml.eos_token_id", "eos_token"},
                  {"tokenizer.ggml.unknown_token_id", "unk_token"},
                  {"tokenizer.ggml.padding_token_id", "pad_token"}};
    static const struct {
        const char *key, *name;
    } flags[] = {{"tokenizer.ggml.add_bos_token", "add_bos_token"}, {"tokenizer.ggml.add_eos_token", "add_eos_token"}};
    GgufString chat = {0};
    json_t *config =
        json_pack("{s:b, s:s}", "clean_up_tokenization_spaces", 0, "tokenizer_class", "PreTrainedTokenizerFast");
    bool failed = config == NULL;
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        json_t *text;
        int64_t id;
        if (special_token(gguf, tokens[i].key, &text, &id, error) != 0) goto refused;
        if (text != NULL) failed |= json_object_set_new(config, tokens[i].name, text) != 0;
    }
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        bool on = false;
        if (gguf_bool(gguf, flags[i].key, &on, error) != 0) goto refused;
        if (gguf_has(gguf, flags[i].key)) failed |= json_object_set_new(config, flags[i].name, json_boolean(on)) != 0;
    }
    if (gguf_string(gguf, "tokenizer.chat_template", &chat, error) != 0) goto refused;
    if (chat.text != NULL && json_object_set_new(config, "chat_template", json_stringn(chat.text, chat.bytes)) != 0) {
        error_set(error, ERROR_INPUT, "%s: tokenizer.chat_template is not UTF-8", gguf_name(gguf));
        goto refused;
    }
    if (failed) {
        no_memory(gguf, error);
        goto refused;
    }
    *document = config;
    return 0;
refused:
    json_decref(config);
    return -1;
}
