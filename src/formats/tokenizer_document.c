#include "formats/tokenizer_document.h"

static json_t *replace(const char *kind, const char *pattern, const char *content) {
    return json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", kind, pattern, "content", content);
}

json_t *tokenizer_document_spm_normalizer(bool prefix, bool collapse) {
    json_t *spaces = replace("String", " ", "\u2581");
    if (!prefix && !collapse) return spaces;
    json_t *list = json_array();
    int failed = list == NULL;
    if (collapse) {
        failed |= json_array_append_new(list, replace("Regex", "^ +| +$", ""));
        failed |= json_array_append_new(list, replace("Regex", " {2,}", " "));
    }
    if (prefix) failed |= json_array_append_new(list, json_pack("{s:s, s:s}", "type", "Prepend", "prepend", "\u2581"));
    failed |= json_array_append_new(list, spaces);
    if (!failed) return json_pack("{s:s, s:o}", "type", "Sequence", "normalizers", list);
    json_decref(list);
    return NULL;
}

json_t *tokenizer_document_spm_decoder(bool prefix) {
    json_t *spaces = replace("String", "\u2581", " ");
    if (!prefix)
        return json_pack("{s:s, s:[o, {s:s}, {s:s}]}", "type", "Sequence", "decoders", spaces, "type", "ByteFallback",
                         "type", "Fuse");
    return json_pack("{s:s, s:[o, {s:s}, {s:s}, {s:s, s:s, s:i, s:i}]}", "type", "Sequence", "decoders", spaces, "type",
                     "ByteFallback", "type", "Fuse", "type", "Strip", "content", " ", "start", 1, "stop", 0);
}

json_t *tokenizer_document_added(const DocumentToken *token) {
    json_t *entry = json_pack("{s:I, s:s%, s:b, s:b, s:b, s:b, s:b}", "id", (json_int_t)token->id, "content",
                              token->text, token->bytes, "single_word", 0, "lstrip", 0, "rstrip",
                              token->takes_space_behind, "normalized", 0, "special", token->special);
    if (entry == NULL || !token->takes_space_behind ||
        json_object_set_new(entry, "white_space", json_string("ascii")) == 0)
        return entry;
    json_decref(entry);
    return NULL;
}

static int append_piece(json_t *list, const DocumentEnd *special, const char *sequence, int type_id) {
    json_t *piece = special != NULL
                        ? json_pack("{s:{s:s, s:i}}", "SpecialToken", "id", special->text, "type_id", type_id)
                        : json_pack("{s:{s:s, s:i}}", "Sequence", "id", sequence, "type_id", type_id);
    return json_array_append_new(list, piece);
}

json_t *tokenizer_document_post_processor(const DocumentEnd *before, const DocumentEnd *behind) {
    if (before->text == NULL && behind->text == NULL) return json_null();
    json_t *specials = json_object(), *single = json_array(), *pair = json_array(), *processor = NULL;
    int failed = 0;
    for (int i = 0; i < 2; i++) {
        const DocumentEnd *end = i == 0 ? before : behind;
        if (end->text == NULL) continue;
        json_t *entry =
            json_pack("{s:s, s:[I], s:[s]}", "id", end->text, "ids", (json_int_t)end->id, "tokens", end->text);
        failed |= json_object_set_new(specials, end->text, entry);
    }
    for (int k = 0; k < 3; k++) { // A; A and B
        json_t *list = k == 0 ? single : pair;
        int type_id = k == 2;
        if (before->text != NULL) failed |= append_piece(list, before, NULL, type_id);
        failed |= append_piece(list, NULL, k == 2 ? "B" : "A", type_id);
        if (behind->text != NULL) failed |= append_piece(list, behind, NULL, type_id);
    }
    if (!failed)
        processor = json_pack("{s:s, s:O, s:O, s:O}", "type", "TemplateProcessing", "single", single, "pair", pair,
                              "special_tokens", specials);
    json_decref(specials);
    json_decref(single);
    json_decref(pair);
    return processor;
}

json_t *tokenizer_document_spm(const SpmDocument *parts) {
    json_t *unknown = parts->unknown == NULL ? json_null() : json_string(parts->unknown);
    json_t *model =
        json_pack("{s:s, s:n, s:o, s:n, s:n, s:b, s:b, s:b, s:O, s:O}", "type", "BPE", "dropout", "unk_token", unknown,
                  "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 1, "byte_fallback",
                  parts->byte_fallback, "ignore_merges", 0, "vocab", parts->vocab, "merges", parts->merges);
    return json_pack("{s:s, s:n, s:n, s:O, s:o, s:n, s:o, s:o, s:o}", "version", "1.0", "truncation", "padding",
                     "added_tokens", parts->added, "normalizer",
                     tokenizer_document_spm_normalizer(parts->prefix, parts->collapse), "pre_tokenizer",
                     "post_processor", parts->post_processor, "decoder", tokenizer_document_spm_decoder(parts->prefix),
                     "model", model);
}
