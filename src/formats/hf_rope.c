#include "formats/hf_rope.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A number >= low and > 0 that must be there. */
static int need_positive(const json_t *json, const char *key, double low, double *value, const char *name,
                         Error *error) {
    const json_t *found = json_object_get(json, key);
    if (found == NULL || json_is_null(found))
        return error_set(error, ERROR_INPUT, "%s: the key \"%s\" is missing (a number was expected)", name, key);
    return json_get_positive(json, key, low, value, name, error);
}

static int read_llama3(HfRope *r, const json_t *rope, const char *place, Error *error) {
    if (need_positive(rope, "low_freq_factor", 0, &r->low_frequency_factor, place, error) != 0 ||
        need_positive(rope, "high_freq_factor", 0, &r->high_frequency_factor, place, error) != 0)
        return -1;
    if (r->high_frequency_factor > r->low_frequency_factor) return 0;
    return error_set(error, ERROR_INPUT, "%s: high_freq_factor %g must be greater than low_freq_factor %g", place,
                     r->high_frequency_factor, r->low_frequency_factor);
}

/* 0.1 m ln(factor) + 1, arXiv 2309.00071 equation 22, with DeepSeek's m. */
static double yarn_scale(double factor, double m) { return factor <= 1 ? 1 : 0.1 * m * log(factor) + 1; }

/* A number > 0; absent, null and 0 leave what is there. */
static int read_unless_zero(const json_t *json, const char *key, double *value, const char *name, Error *error) {
    double found = 0;
    if (json_get_number(json, key, &found, name, error) != 0) return -1;
    if (found < 0)
        return error_set(error, ERROR_INPUT, "%s: \"%s\" is %g where a number > 0 was expected", name, key, found);
    if (found > 0) *value = found;
    return 0;
}

static int read_yarn(HfRope *r, const json_t *rope, const char *place, Error *error) {
    double m = 0, m_all = 0;
    int truncate = 1;
    r->beta_fast = 32, r->beta_slow = 1;
    if (read_unless_zero(rope, "beta_fast", &r->beta_fast, place, error) != 0 ||
        read_unless_zero(rope, "beta_slow", &r->beta_slow, place, error) != 0 ||
        read_unless_zero(rope, "mscale", &m, place, error) != 0 ||
        read_unless_zero(rope, "mscale_all_dim", &m_all, place, error) != 0 ||
        json_get_bool(rope, "truncate", &truncate, place, error) != 0)
        return -1;
    bool both = m != 0 && m_all != 0;
    r->attention_factor = both ? yarn_scale(r->factor, m) / yarn_scale(r->factor, m_all) : yarn_scale(r->factor, 1);
    r->truncate = truncate;
    if (r->theta <= 1)
        return error_set(error, ERROR_INPUT, "%s: \"rope_theta\" is %g; yarn needs more than 1", place, r->theta);
    return json_get_positive(rope, "attention_factor", 0, &r->attention_factor, place, error);
}

/* The members of rope_scaling or rope_parameters; `place` names the object in messages. */
static int read_members(HfRope *r, const json_t *rope, double max_positions, bool type_needed, const char *place,
                        Error *error) {
    const json_t *type = json_object_get(rope, "rope_type");
    if (type == NULL) type = json_object_get(rope, "type");
    if (type == NULL && type_needed)
        return error_set(error, ERROR_INPUT, "%s: has neither \"rope_type\" nor \"type\"", place);
    if (type != NULL && !json_is_string(type))
        return error_set(error, ERROR_INPUT, "%s: \"rope_type\" is %s where a string was expected", place,
                         json_type_name(json_typeof(type)));
    const char *text = type == NULL ? "default" : json_string_value(type);
    double share = 1;
    if (json_get_positive(rope, "rope_theta", 1, &r->theta, place, error) != 0 ||
        json_get_positive(rope, "partial_rotary_factor", 0, &share, place, error) != 0)
        return -1;
    if (share != 1)
        return error_set(error, ERROR_UNSUPPORTED, "%s: \"partial_rotary_factor\" is %g; only 1 is supported", place,
                         share);
    static const char *const names[] = {"default", "linear", "llama3", "yarn"};
    for (r->scaling = HF_ROPE_PLAIN; strcmp(text, names[r->scaling]) != 0; r->scaling++)
        if (r->scaling == HF_ROPE_YARN)
            return error_set(error, ERROR_UNSUPPORTED,
                             "%s: rope type \"%s\" is not supported; supported are default, linear, llama3, yarn",
                             place, text);
    if (r->scaling == HF_ROPE_PLAIN) return 0;
    if (need_positive(rope, "factor", 1, &r->factor, place, error) != 0) return -1;
    if (r->scaling == HF_ROPE_LINEAR) return 0;
    r->original_positions = max_positions;
    if (json_get_positive(rope, "original_max_position_embeddings", 1, &r->original_positions, place, error) != 0)
        return -1;
    return r->scaling == HF_ROPE_LLAMA3 ? read_llama3(r, rope, place, error) : read_yarn(r, rope, place, error);
}

/* The member `key` if it is an object that says something; NULL without failure where there is none. */
static int find_object(const json_t *json, const char *key, const json_t **found, const char *name, Error *error) {
    *found = json_object_get(json, key);
    if (json_is_null(*found)) *found = NULL;
    if (*found == NULL || json_is_object(*found)) return 0;
    return error_set(error, ERROR_INPUT, "%s: \"%s\" is %s where an object was expected", name, key,
                     json_type_name(json_typeof(*found)));
}

static int read_object(HfRope *r, const json_t *json, const char *key, double max_positions, bool type_needed,
                       const char *name, Error *error) {
    char place[512];
    const json_t *rope;
    if (find_object(json, key, &rope, name, error) != 0) return -1;
    if (rope == NULL || json_object_size(rope) == 0) return 0;
    snprintf(place, sizeof place, "%s: %s", name, key);
    if (json_object_get(rope, "full_attention") != NULL || json_object_get(rope, "sliding_attention") != NULL)
        return error_set(error, ERROR_UNSUPPORTED,
                         "%s: this family does not have different values for different kinds of layers", place);
    return read_members(r, rope, max_positions, type_needed, place, error);
}

int hf_rope_read(const json_t *config, double max_positions, HfRope *rope, const char *name, Error *error) {
    const json_t *scaling, *parameters;
    *rope = (HfRope){.theta = 10000};
    if (json_get_positive(config, "rope_theta", 1, &rope->theta, name, error) != 0 ||
        find_object(config, "rope_scaling", &scaling, name, error) != 0 ||
        find_object(config, "rope_parameters", &parameters, name, error) != 0)
        return -1;
    bool old = scaling != NULL && json_object_size(scaling) > 0;
    return read_object(rope, config, old ? "rope_scaling" : "rope_parameters", max_positions, old, name, error);
}

int hf_rope_read_two(const json_t *config, double max_positions, HfRope rope[2], const char *name, Error *error) {
    static const char *const kinds[2] = {"full_attention", "sliding_attention"};
    const json_t *parameters;
    char place[512];
    rope[0] = (HfRope){.theta = 1e6}, rope[1] = (HfRope){.theta = 1e4};
    if (json_get_positive(config, "rope_theta", 1, &rope[0].theta, name, error) != 0 ||
        json_get_positive(config, "rope_local_base_freq", 1, &rope[1].theta, name, error) != 0 ||
        find_object(config, "rope_parameters", &parameters, name, error) != 0)
        return -1;
    snprintf(place, sizeof place, "%s: rope_parameters", name);
    for (size_t k = 0; parameters != NULL && k < 2; k++)
        if (read_object(&rope[k], parameters, kinds[k], max_positions, false, place, error) != 0) return -1;
    return read_object(&rope[0], config, "rope_scaling", max_positions, true, name, error);
}
