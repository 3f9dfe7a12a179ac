#include "cli/options.h"

#include "base/edit_distance.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const Option common[] = {
    {"threads", 't', OPTION_WHOLE, offsetof(CommonOptions, threads), "N", "0", 0, 4096,
     "processor threads; 0: all cores. Results do not depend on it"},
    {"precision", 'p', OPTION_CHOICE, offsetof(CommonOptions, precision), "auto|bfloat16|float32", "auto", 0, 0,
     "of matrix products; auto: bfloat16 where the processor is faster with it"},
    {"json", 0, OPTION_FLAG, offsetof(CommonOptions, json), NULL, NULL, 0, 0,
     "result as one JSON object on stdout, progress as JSON lines on stderr"},
    {"quiet", 'q', OPTION_FLAG, offsetof(CommonOptions, quiet), NULL, NULL, 0, 0,
     "no progress, warnings and errors only"},
    {"help", 'h', OPTION_FLAG, offsetof(CommonOptions, help), NULL, NULL, 0, 0, "this text"},
};
enum { COMMON = sizeof common / sizeof *common };

const char *options_nearest(const char *word, const char *const *known, size_t n) {
    const char *best = NULL;
    size_t least = strlen(word) / 3 + 2;
    for (size_t i = 0; i < n; i++) {
        size_t d = edit_distance(word, known[i]);
        if (d < least) least = d, best = known[i];
    }
    return best;
}

static const Option *option_at(const CommandSpec *spec, size_t i) {
    return i < spec->options ? &spec->option[i] : &common[i - spec->options];
}

static size_t option_count(const CommandSpec *spec) { return spec->options + COMMON; }

static const Option *find(const CommandSpec *spec, const char *name, size_t length) {
    for (size_t i = 0; i < option_count(spec); i++) {
        const Option *o = option_at(spec, i);
        if (strlen(o->name) == length && memcmp(o->name, name, length) == 0) return o;
    }
    return NULL;
}

static int unknown(const CommandSpec *spec, const char *name, Error *error) {
    const char *known[64];
    char written[64]; // without "=VALUE"
    size_t n = 0;
    snprintf(written, sizeof written, "%.*s", (int)(strcspn(name, "=") < 60 ? strcspn(name, "=") : 60), name);
    for (size_t i = 0; i < option_count(spec) && n < 64; i++) known[n++] = option_at(spec, i)->name;
    const char *near = options_nearest(written, known, n);
    if (near != NULL)
        return error_set(error, ERROR_USAGE, "dice %s has no option --%s; did you mean --%s?", spec->name, written,
                         near);
    return error_set(error, ERROR_USAGE, "dice %s has no option --%s; `dice %s --help` lists them", spec->name, written,
                     spec->name);
}

static bool is_choice(const char *choices, const char *value) {
    size_t length = strlen(value);
    for (const char *p = choices; *p != 0;) {
        size_t n = strcspn(p, "|");
        if (n == length && memcmp(p, value, n) == 0) return true;
        p += n + (p[n] == '|');
    }
    return false;
}

static int bad_value(const Option *o, const char *value, const char *expected, Error *error) {
    return error_set(error, ERROR_USAGE, "--%s is \"%.100s\" where %s was expected", o->name, value, expected);
}

static int set_number(const Option *o, void *target, const char *value, Error *error) {
    char *end, expected[128];
    errno = 0;
    if (o->kind == OPTION_WHOLE) {
        unsigned long long number = strtoull(value, &end, 10);
        snprintf(expected, sizeof expected, "a whole number from %.0f to %.0f", o->low, o->high);
        if (errno != 0 || !isdigit((unsigned char)*value) || *end != 0 || (double)number < o->low ||
            (double)number > o->high)
            return bad_value(o, value, expected, error);
        *(uint64_t *)target = number;
        return 0;
    }
    double number = strtod(value, &end);
    snprintf(expected, sizeof expected, "a number from %g to %g", o->low, o->high);
    if (errno != 0 || end == value || isspace((unsigned char)*value) || *end != 0 || !isfinite(number) ||
        number < o->low || number > o->high)
        return bad_value(o, value, expected, error);
    *(double *)target = number;
    return 0;
}

static int set_value(const Option *o, void *values, const char *value, Error *error) {
    void *target = (char *)values + o->offset;
    switch (o->kind) {
    case OPTION_FLAG:
        *(bool *)target = true;
        return 0;
    case OPTION_TEXT:
        *(const char **)target = value;
        return 0;
    case OPTION_CHOICE:
        if (!is_choice(o->value, value)) return bad_value(o, value, o->value, error);
        *(const char **)target = value;
        return 0;
    case OPTION_LIST: {
        OptionList *list = target;
        list->item[list->count++] = value;
        return 0;
    }
    default:
        return set_number(o, target, value, error);
    }
}

static const Option *short_option(const CommandSpec *spec, char letter) {
    for (size_t i = 0; i < option_count(spec); i++)
        if (option_at(spec, i)->letter == letter) return option_at(spec, i);
    return NULL;
}

/* One option at argv[*i]; *i moves over its value. */
static int parse_option(const CommandSpec *spec, int argc, char **argv, int *i, void *values, Error *error) {
    const char *text = argv[*i], *name = text + 2, *value = NULL;
    const Option *o;
    if (text[1] != '-') {
        o = short_option(spec, text[1]);
        if (o == NULL || text[2] != 0)
            return error_set(error, ERROR_USAGE, "dice %s has no option %.60s; `dice %s --help` lists them", spec->name,
                             text, spec->name);
    } else {
        size_t length = strcspn(name, "=");
        o = find(spec, name, length);
        if (o == NULL) return unknown(spec, name, error);
        if (name[length] == '=') value = name + length + 1;
        if (o->kind == OPTION_FLAG && value != NULL)
            return error_set(error, ERROR_USAGE, "--%s takes no value", o->name);
    }
    if (o->kind != OPTION_FLAG && value == NULL) {
        if (*i + 1 >= argc) return error_set(error, ERROR_USAGE, "--%s needs a value (%s)", o->name, o->value);
        value = argv[++*i];
    }
    return set_value(o, values, value, error);
}

static int set_defaults(const CommandSpec *spec, int argc, void *values, Error *error) {
    CommonOptions *c = values;
    c->argument = calloc((size_t)argc + 1, sizeof *c->argument);
    bool failed = c->argument == NULL;
    for (size_t i = 0; i < option_count(spec); i++) {
        const Option *o = option_at(spec, i);
        if (o->kind == OPTION_LIST) {
            OptionList *list = (OptionList *)(void *)((char *)values + o->offset);
            list->item = calloc((size_t)argc + 1, sizeof *list->item);
            failed = failed || list->item == NULL;
        } else if (o->initial != NULL && set_value(o, values, o->initial, error) != 0) {
            return error_prefix(error, "default of --%s", o->name);
        }
    }
    return failed ? error_set(error, ERROR_MEMORY, "no memory for the command line") : 0;
}

int options_parse(const CommandSpec *spec, int argc, char **argv, void *values, Error *error) {
    CommonOptions *c = values;
    bool only_arguments = false;
    if (set_defaults(spec, argc, values, error) != 0) return -1;
    for (int i = 1; i < argc; i++) {
        if (only_arguments || argv[i][0] != '-' || argv[i][1] == 0)
            c->argument[c->arguments++] = argv[i];
        else if (strcmp(argv[i], "--") == 0)
            only_arguments = true;
        else if (parse_option(spec, argc, argv, &i, values, error) != 0)
            return -1;
    }
    if (c->help || (c->arguments >= spec->least && c->arguments <= spec->most)) return 0;
    if (c->arguments > spec->most)
        return error_set(error, ERROR_USAGE, "dice %s: \"%.100s\" is one argument too many; usage: dice %s %s",
                         spec->name, c->argument[spec->most], spec->name, spec->arguments);
    return error_set(error, ERROR_USAGE, "dice %s needs %s; usage: dice %s %s (`dice %s --help` explains)", spec->name,
                     spec->arguments, spec->name, spec->arguments, spec->name);
}

void options_free(const CommandSpec *spec, void *values) {
    free(((CommonOptions *)values)->argument);
    for (size_t i = 0; i < option_count(spec); i++)
        if (option_at(spec, i)->kind == OPTION_LIST)
            free(((OptionList *)(void *)((char *)values + option_at(spec, i)->offset))->item);
}

static void print_option(const Option *o) {
    char left[96], letter[6] = "    ";
    if (o->letter != 0) snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(left, sizeof left, "%s--%s%s%s", letter, o->name, o->kind == OPTION_FLAG ? "" : " ",
             o->kind == OPTION_FLAG ? "" : o->value);
    printf("  %-32s%s %s", left, strlen(left) > 31 ? "\n                                  " : "", o->help);
    if (o->initial != NULL && *o->initial != 0) printf(" (default: %s)", o->initial);
    puts("");
}

void options_print_help(const CommandSpec *spec) {
    printf("dice %s - %s\n\nusage: dice %s %s%s[options]\n", spec->name, spec->summary, spec->name, spec->arguments,
           *spec->arguments != 0 ? " " : "");
    if (spec->description != NULL) printf("\n%s\n", spec->description);
    if (spec->options > 0) puts("\nOptions:");
    for (size_t i = 0; i < spec->options; i++) print_option(&spec->option[i]);
    puts("\nCommon options:");
    for (size_t i = 0; i < COMMON; i++) print_option(&common[i]);
    if (spec->examples != NULL) printf("\nExamples:\n%s\n", spec->examples);
}
