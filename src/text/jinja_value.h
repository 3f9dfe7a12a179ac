/* jinja_value.h - the values that a chat template computes with: Python's, as far as Jinja shows them.
 *
 * A value is three words and copied freely. Texts, lists and dicts never change once they are there (the sandbox of
 * Jinja2 forbids append, update, ...), so slices share the items and texts of the context are borrowed. Only
 * namespaces, loops and iterators change; they live behind a pointer. Memory comes from the JinjaRun and ends with it.
 * Text is UTF-8 with its length and may hold any character, U+0000 too. */
#pragma once
#include "base/json.h"
#include "text/jinja_run.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    JINJA_ABSENT, // not a value: an argument that was not given, a variable that was not looked up yet
    JINJA_UNDEFINED,
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT,
    JINJA_FLOAT,
    JINJA_STRING,
    JINJA_LIST,
    JINJA_TUPLE,
    JINJA_DICT,
    JINJA_VIEW, // dict.keys(), .values(), .items()
    JINJA_RANGE,
    JINJA_ITERATOR, // what map, select and their like give: can be walked once
    JINJA_NAMESPACE,
    JINJA_FUNCTION,
    JINJA_LOOP
} JinjaType;

typedef struct JinjaValue JinjaValue;
typedef struct JinjaEntry JinjaEntry;
typedef struct JinjaRange JinjaRange;
typedef struct JinjaIterator JinjaIterator;
typedef struct JinjaNamespace JinjaNamespace;
typedef struct JinjaCallable JinjaCallable;
typedef struct JinjaLoop JinjaLoop;

typedef enum { JINJA_KEYS, JINJA_VALUES, JINJA_PAIRS } JinjaView;

struct JinjaValue {
    uint8_t type;   // JinjaType
    uint8_t detail; // UNDEFINED: the JinjaType it was looked for in, ABSENT for a variable; VIEW: a JinjaView
    bool forbidden; // UNDEFINED: it exists, but the sandbox hides it; TUPLE: a group of groupby
    union {
        bool truth;
        int64_t integer;
        double real;
        struct {
            const char *bytes;
            size_t size;
        } text; // STRING; UNDEFINED: the name that was looked for
        struct {
            const JinjaValue *item;
            size_t count;
        } list; // LIST, TUPLE
        struct {
            const JinjaEntry *entry;
            size_t count;
        } dict; // DICT, VIEW: in order of insertion
        const JinjaRange *range;
        JinjaIterator *iterator;
        JinjaNamespace *space;
        const JinjaCallable *callable;
        JinjaLoop *loop;
    };
};

struct JinjaEntry {
    JinjaValue key, value;
};

struct JinjaRange {
    int64_t start, stop, step;
    size_t count;
};

struct JinjaIterator {
    const JinjaValue *item;
    size_t count, next;
    const char *name; // "generator"
};

struct JinjaNamespace {
    JinjaEntry *entry;
    size_t count, capacity;
};

static inline JinjaValue jinja_none(void) { return (JinjaValue){.type = JINJA_NONE}; }
static inline JinjaValue jinja_bool(bool truth) { return (JinjaValue){.type = JINJA_BOOL, .truth = truth}; }
static inline JinjaValue jinja_int(int64_t integer) { return (JinjaValue){.type = JINJA_INT, .integer = integer}; }
static inline JinjaValue jinja_float(double real) { return (JinjaValue){.type = JINJA_FLOAT, .real = real}; }
static inline JinjaValue jinja_string(const char *bytes, size_t size) {
    return (JinjaValue){.type = JINJA_STRING, .text = {bytes, size}};
}
static inline JinjaValue jinja_list(JinjaType type, const JinjaValue *item, size_t count) {
    return (JinjaValue){.type = (uint8_t)type, .list = {item, count}};
}
JinjaValue jinja_literal(const char *text); // of a C string that outlives the run
/* What a variable (`owner` ABSENT) or an attribute of a value of type `owner` that is not there evaluates to. */
JinjaValue jinja_undefined(JinjaType owner, const char *name, size_t size);

/* "str", "int", ...: the name of the type in messages. */
const char *jinja_type_name(const JinjaValue *value);
/* Fails with the message of an undefined value that is used. Returns -1. */
int jinja_fail_undefined(JinjaRun *run, const JinjaValue *undefined);

bool jinja_is_number(const JinjaValue *value); // INT, FLOAT and BOOL
bool jinja_is_whole(const JinjaValue *value);  // INT and BOOL
int64_t jinja_whole(const JinjaValue *value);  // of INT or BOOL
double jinja_real(const JinjaValue *value);    // of a number
bool jinja_text_is(const JinjaValue *value, const char *text);
bool jinja_same_text(const JinjaValue *a, const JinjaValue *b);

/* Python's truth value. */
bool jinja_truth(const JinjaValue *value);
/* Python's ==. -1 beyond a limit. */
int jinja_equal(JinjaRun *run, const JinjaValue *a, const JinjaValue *b, bool *equal);
/* Python's ordering: *order < 0, 0, > 0. -1 for types that have no order. `sign` ("<") is for the message. A NaN
 * gives *order == 2, which no comparison accepts. */
int jinja_order(JinjaRun *run, const JinjaValue *a, const JinjaValue *b, const char *sign, int *order);

/* The entry of a dict, or NULL. */
const JinjaValue *jinja_dict_text(const JinjaValue *dict, const char *key, size_t size);
int jinja_dict_get(JinjaRun *run, const JinjaValue *dict, const JinjaValue *key, const JinjaValue **found);
/* Adds or replaces within an array with room for one more. -1 for a key that cannot be one (a list, a dict). */
int jinja_dict_put(JinjaRun *run, JinjaEntry *entry, size_t *count, const JinjaValue *key, const JinjaValue *value);
JinjaValue jinja_dict(const JinjaEntry *entry, size_t count);
/* False for values that cannot be keys. */
bool jinja_hashable(const JinjaValue *value);

const JinjaValue *jinja_namespace_get(const JinjaNamespace *space, const char *name, size_t size);
int jinja_namespace_put(JinjaRun *run, JinjaNamespace *space, const JinjaValue *name, const JinjaValue *value);

/* len(); false for values without one. */
bool jinja_length(const JinjaValue *value, size_t *length);
/* All items of anything that can be walked, as an array; exhausts an iterator. -1 for other values. */
int jinja_items(JinjaRun *run, const JinjaValue *value, const JinjaValue **item, size_t *count);
/* True where jinja_items works. */
bool jinja_iterable(const JinjaValue *value);
/* `items` as what a generator gives. */
int jinja_iterator(JinjaRun *run, const JinjaValue *item, size_t count, const char *name, JinjaValue *out);
int jinja_pair(JinjaRun *run, const JinjaValue *first, const JinjaValue *second, JinjaValue *out); // a tuple
JinjaValue jinja_range_item(const JinjaRange *range, size_t index);

/* The value of a JSON value; its texts are borrowed from it. */
int jinja_from_json(JinjaRun *run, const json_t *json, JinjaValue *out);
