/* options.h - the command line as a table: what a command takes, checked and explained from one place.
 *
 * A command declares its options in a table; parsing, defaults, ranges, "did you mean", and --help all come from it.
 * Spellings: --name VALUE, --name=VALUE, -x VALUE (short); --flag; "--" ends the options. An option given twice: the
 * last one counts, lists collect. Values are pointers into argv. */
#pragma once
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    OPTION_FLAG,   // bool
    OPTION_TEXT,   // const char *
    OPTION_WHOLE,  // uint64_t within [low, high]
    OPTION_REAL,   // double within [low, high]
    OPTION_CHOICE, // const char *, one of `value` separated by |
    OPTION_LIST    // OptionList
} OptionKind;

typedef struct {
    const char **item; // (count) room for argc items, owned by the values
    size_t count;
} OptionList;

typedef struct {
    const char *name; // without the dashes
    char letter;      // short spelling, 0: none
    OptionKind kind;
    size_t offset;       // of the member in the command's values
    const char *value;   // what the value is called in --help; the choices of OPTION_CHOICE
    const char *initial; // default as text, NULL: none (NULL, 0, false)
    double low, high;    // of OPTION_WHOLE and OPTION_REAL
    const char *help;
} Option;

typedef struct {
    const char *name, *summary; // one line
    const char *arguments;      // "RECIPE", "MODEL DIRECTORY", "" for none
    size_t least, most;         // positional arguments
    const Option *option;
    size_t options;
    const char *description, *examples; // paragraphs of --help
} CommandSpec;

/* What every command has. The values of a command begin with it. */
typedef struct {
    bool help, json, quiet;
    uint64_t threads;
    const char *precision;
    const char **argument; // (arguments) positional
    size_t arguments;
} CommonOptions;

/* values: zeroed, begins with CommonOptions. argv[0] is the command's name. ERROR_USAGE names what is wrong and what
 * was meant. Free with options_free, also after a failure. */
int options_parse(const CommandSpec *spec, int argc, char **argv, void *values, Error *error);
void options_free(const CommandSpec *spec, void *values);
/* Prints --help of a command to stdout. */
void options_print_help(const CommandSpec *spec);
/* The known word nearest to `word` by edit distance, NULL where none is near. */
const char *options_nearest(const char *word, const char *const *known, size_t n);
