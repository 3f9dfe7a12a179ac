#include "cli/options.h"
#include "test.h"
#include <string.h>
#include <unistd.h>

typedef struct {
    CommonOptions common;
    bool flag;
    const char *text, *choice;
    uint64_t whole;
    double real;
    OptionList list;
} Values;

static const Option table[] = {
    {"flag", 'f', OPTION_FLAG, offsetof(Values, flag), NULL, NULL, 0, 0, "a flag"},
    {"text", 'x', OPTION_TEXT, offsetof(Values, text), "TEXT", "abc", 0, 0, "a text"},
    {"choice", 0, OPTION_CHOICE, offsetof(Values, choice), "red|green|blue", "green", 0, 0, "a choice"},
    {"whole-number", 'w', OPTION_WHOLE, offsetof(Values, whole), "N", "7", 1, 18446744073709551615.0, "a number"},
    {"real", 'r', OPTION_REAL, offsetof(Values, real), "R", "0.5", -1, 2, "another"},
    {"list", 'l', OPTION_LIST, offsetof(Values, list), "ITEM", NULL, 0, 0, "a list"},
};
static const CommandSpec spec = {.name = "try",
                                 .summary = "tries",
                                 .arguments = "FILE [MORE]",
                                 .least = 1,
                                 .most = 2,
                                 .option = table,
                                 .options = 6,
                                 .description = "What it does.",
                                 .examples = "  dice try x"};

static Error error;

/* Parses words separated by spaces; "_" stands for a space inside a word. */
static int parse(const char *line, Values *v) {
    static char copy[1024];
    static char *argv[64];
    int argc = 1;
    argv[0] = (char *)(uintptr_t) "try";
    snprintf(copy, sizeof copy, "%s", line);
    for (char *p = strtok(copy, " "); p != NULL; p = strtok(NULL, " ")) argv[argc++] = p;
    for (int i = 1; i < argc; i++)
        for (char *p = argv[i]; *p != 0; p++)
            if (*p == '_') *p = ' ';
    *v = (Values){0};
    error = (Error){0};
    return options_parse(&spec, argc, argv, v, &error);
}

static void good(const char *line, Values *v) {
    if (parse(line, v) != 0) fail_msg("%s: %s", line, error.message);
}

static void refuses(const char *line, const char *words) {
    Values v;
    if (parse(line, &v) == 0) fail_msg("%s was taken", line);
    if (error.code != ERROR_USAGE || strstr(error.message, words) == NULL) fail_msg("%s: %s", line, error.message);
    options_free(&spec, &v);
}

static void defaults_hold_where_nothing_is_given(void **state) {
    (void)state;
    Values v;
    good("a", &v);
    assert_true(!v.flag && v.whole == 7 && v.real == 0.5 && v.list.count == 0);
    assert_string_equal(v.text, "abc");
    assert_string_equal(v.choice, "green");
    assert_true(!v.common.help && !v.common.json && !v.common.quiet && v.common.threads == 0);
    assert_string_equal(v.common.precision, "auto");
    assert_int_equal(v.common.arguments, 1);
    options_free(&spec, &v);
}

static void every_spelling_is_read(void **state) {
    (void)state;
    Values v;
    good("--flag --text=x=y --choice red --whole-number=18446744073709551615 --real -1 one --list a --list=b -l c two",
         &v);
    assert_true(v.flag && v.whole == UINT64_MAX && v.real == -1);
    assert_string_equal(v.text, "x=y");
    assert_string_equal(v.choice, "red");
    assert_int_equal(v.list.count, 3);
    assert_string_equal(v.list.item[0], "a");
    assert_string_equal(v.list.item[2], "c");
    assert_int_equal(v.common.arguments, 2);
    assert_string_equal(v.common.argument[1], "two");
    options_free(&spec, &v);
    good("-f -x --flag -w 3 -r 1e-1 -t 4 -q --json -p float32 one", &v); // a value may look like an option
    assert_true(v.flag && v.whole == 3 && v.real == 0.1 && v.common.threads == 4 && v.common.quiet && v.common.json);
    assert_string_equal(v.text, "--flag");
    assert_string_equal(v.common.precision, "float32");
    options_free(&spec, &v);
    good("-w 1 --whole-number 2 -x a -x b one", &v); // the last one counts
    assert_int_equal(v.whole, 2);
    assert_string_equal(v.text, "b");
    options_free(&spec, &v);
    good("--text= one", &v);
    assert_string_equal(v.text, "");
    options_free(&spec, &v);
}

static void two_dashes_end_the_options(void **state) {
    (void)state;
    Values v;
    good("-f -- --text -w", &v);
    assert_int_equal(v.common.arguments, 2);
    assert_string_equal(v.common.argument[0], "--text");
    options_free(&spec, &v);
    good("-", &v); // standard input, an argument like others
    assert_string_equal(v.common.argument[0], "-");
    options_free(&spec, &v);
}

static void numbers_are_whole_words_in_their_range(void **state) {
    (void)state;
    refuses("-w 0 a", "--whole-number is \"0\" where a whole number from 1");
    refuses("-w -3 a", "--whole-number is \"-3\"");
    refuses("-w _-3 a", "--whole-number");
    refuses("-w _3 a", "--whole-number");
    refuses("-w +3 a", "--whole-number");
    refuses("-w 18446744073709551616 a", "--whole-number");
    refuses("-w 3x a", "--whole-number");
    refuses("-w 0x10 a", "--whole-number");
    refuses("-w 1.5 a", "--whole-number");
    refuses("--whole-number= a", "--whole-number is \"\"");
    refuses("-r 2.01 a", "--real is \"2.01\" where a number from -1 to 2");
    refuses("-r nan a", "--real");
    refuses("-r inf a", "--real");
    refuses("-r 1e999 a", "--real");
    refuses("-r 0.5s a", "--real");
    refuses("-r _1 a", "--real");
    refuses("--choice yellow a", "--choice is \"yellow\" where red|green|blue");
    refuses("--choice re a", "--choice");
    refuses("--choice red|green a", "--choice");
    refuses("-t 4097 a", "--threads");
}

static void what_is_unknown_is_named_with_the_nearest(void **state) {
    (void)state;
    refuses("--txet a", "no option --txet; did you mean --text?");
    refuses("--whole-nmber=5 a", "did you mean --whole-number?");
    refuses("--lsit=/a/very/long/path/that/has/nothing/to/do/with/it a", "no option --lsit; did you mean --list?");
    refuses("--thread 3 a", "did you mean --threads?");
    refuses("--zzzzzzzz a", "`dice try --help` lists them");
    refuses("-z a", "no option -z");
    refuses("-w8 a", "no option -w8");
    refuses("--flag=1 a", "--flag takes no value");
    refuses("a --text", "--text needs a value (TEXT)");
    refuses("a -w", "--whole-number needs a value (N)");
}

static void arguments_are_counted(void **state) {
    (void)state;
    Values v;
    refuses("", "needs FILE [MORE]");
    refuses("-f", "usage: dice try FILE [MORE]");
    refuses("a b c", "\"c\" is one argument too many");
    good("--help", &v); // asks for nothing
    assert_true(v.common.help);
    options_free(&spec, &v);
}

static void the_nearest_word(void **state) {
    (void)state;
    static const char *const known[] = {"run", "plan", "sample", "score"};
    assert_string_equal(options_nearest("sampel", known, 4), "sample");
    assert_string_equal(options_nearest("scores", known, 4), "score");
    assert_string_equal(options_nearest("run", known, 4), "run");
    assert_null(options_nearest("quit", known, 4));
    assert_null(options_nearest("xyzzyxyzzy", known, 4));
    char longer[5000];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    assert_null(options_nearest(longer, known, 4));
    assert_null(options_nearest("x", known, 0));
}

/* What --help prints names every option, value and default. */
static void help_comes_from_the_table(void **state) {
    (void)state;
    static const char *const words[] = {"dice try - tries",
                                        "usage: dice try FILE [MORE] [options]",
                                        "What it does.",
                                        "-f, --flag",
                                        "--text TEXT",
                                        "(default: abc)",
                                        "--choice red|green|blue",
                                        "-w, --whole-number N",
                                        "(default: 7)",
                                        "--list ITEM",
                                        "--threads N",
                                        "--json",
                                        "Examples:\n  dice try x"};
    char path[] = "/tmp/dice-options-XXXXXX", text[8192];
    int file = mkstemp(path), keep = dup(1);
    fflush(stdout);
    dup2(file, 1);
    options_print_help(&spec);
    fflush(stdout);
    dup2(keep, 1);
    ssize_t n = pread(file, text, sizeof text - 1, 0);
    close(file), close(keep), unlink(path);
    assert_true(n > 0);
    text[n] = 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strstr(text, words[i]) == NULL) fail_msg("no \"%s\" in\n%s", words[i], text);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(defaults_hold_where_nothing_is_given),
                                       cmocka_unit_test(every_spelling_is_read),
                                       cmocka_unit_test(two_dashes_end_the_options),
                                       cmocka_unit_test(numbers_are_whole_words_in_their_range),
                                       cmocka_unit_test(what_is_unknown_is_named_with_the_nearest),
                                       cmocka_unit_test(arguments_are_counted),
                                       cmocka_unit_test(the_nearest_word),
                                       cmocka_unit_test(help_comes_from_the_table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
