/* main.c - `dice COMMAND ...`: finds the command, parses its options, runs it, and turns its error into an exit code.
 */
#include "align/preference_loss.h"
#include "cli/command.h"
#include "cli/help_topics.h"
#include "formats/recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DICE_VERSION "0.1.0"

static const Command *const commands[] = {&command_run,    &command_plan,    &command_sample, &command_score,
                                          &command_pairs,  &command_mix,     &command_train,  &command_import,
                                          &command_export, &command_inspect, &command_doctor};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void print_help(void) {
    puts("dice - aligns a language model with its own DPO implicit rewards (DICE, arXiv 2406.09760)\n\n"
         "usage: dice COMMAND [ARGUMENTS] [OPTIONS]\n\nCommands:");
    for (size_t i = 0; i < COMMANDS; i++) printf("  %-9s %s\n", commands[i]->spec->name, commands[i]->spec->summary);
    puts(
        "  help      more on a topic: method, recipe, layouts, losses, exit-codes; or on a command\n\n"
        "Start with `dice doctor` (what this machine can do), `dice import MODEL.gguf DIRECTORY` (if the model is a "
        "GGUF\n"
        "file), `dice plan RECIPE` (memory and time) and `dice run RECIPE`. `dice COMMAND --help` explains a command.");
}

static void print_exit_codes(void) {
    puts("Exit codes of dice:\n"
         "  0    done\n"
         "  1    a check did not hold\n"
         "  2    the command line or the recipe is wrong\n"
         "  3    the content of a file is wrong: model, tokenizer, template, data\n"
         "  4    the system refused: file missing, disk full, permission\n"
         "  5    it does not fit into memory\n"
         "  6    a run directory belongs to another recipe, model or data\n"
         "  7    valid input, but a feature that this build does not have\n"
         "  8    a NaN or infinity in weights, losses or gradients\n"
         "  9    a library failed where it must not\n"
         "  130  interrupted; the same command continues");
}

static const Command *find(const char *name) {
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i]->spec->name, name) == 0) return commands[i];
    return NULL;
}

static int fail(const Error *error) {
    fprintf(stderr, "dice: %s: %s\n", error->code == ERROR_INTERRUPTED ? "stopped" : "error", error->message);
    return error->code;
}

static int unknown_command(const char *name) {
    const char *names[COMMANDS + 1] = {"help"};
    for (size_t i = 0; i < COMMANDS; i++) names[i + 1] = commands[i]->spec->name;
    const char *near = options_nearest(name, names, COMMANDS + 1);
    Error error;
    if (near != NULL)
        error_set(&error, ERROR_USAGE, "there is no command \"%.60s\"; did you mean \"%s\"?", name, near);
    else
        error_set(&error, ERROR_USAGE, "there is no command \"%.60s\"; `dice --help` lists them", name);
    return fail(&error);
}

static int help(const char *topic) {
    Buffer text = {0};
    if (topic == NULL)
        print_help();
    else if (strcmp(topic, "exit-codes") == 0)
        print_exit_codes();
    else if (strcmp(topic, "recipe") == 0 || strcmp(topic, "losses") == 0) {
        (topic[0] == 'r' ? recipe_reference : preference_loss_reference)(&text);
        fputs(text.data == NULL ? "" : text.data, stdout);
        buffer_free(&text);
    } else if (help_topic(topic) != NULL)
        fputs(help_topic(topic), stdout);
    else if (find(topic) != NULL)
        options_print_help(find(topic)->spec);
    else
        return unknown_command(topic);
    return 0;
}

/* Output that cannot be written (a full disk, a closed pipe) is an error too. */
static int flush_output(Error *error) {
    return fflush(stdout) == 0 && !ferror(stdout)
               ? 0
               : error_set(error, ERROR_IO, "the result could not be written to the standard output");
}

static int run(const Command *command, int argc, char **argv) {
    Error error = {0};
    void *values = calloc(1, command->values_bytes);
    Session session = {.common = values};
    int result = values == NULL ? error_set(&error, ERROR_MEMORY, "no memory for the command line") : 0;
    if (result == 0) result = options_parse(command->spec, argc, argv, values, &error);
    if (result == 0 && session.common->help) {
        options_print_help(command->spec);
    } else if (result == 0) {
        session.terminal = terminal_open(session.common->json, session.common->quiet);
        session.log = terminal_log(&session.terminal);
        terminal_catch_signals();
        result = kernel_table_create(&session.kernels, (int)session.common->threads, &error);
        if (result == 0) result = command->run(values, &session, &error);
        terminal_clear(&session.terminal);
    }
    if (result == 0) result = flush_output(&error);
    if (values != NULL) options_free(command->spec, values);
    free(values);
    return result == 0 ? 0 : fail(&error);
}

/* libgomp lets a waiting thread spin for milliseconds before it sleeps. On a machine where other work runs too, the
 * threads then spin while the one they wait for is not even scheduled: ten times the processor time was seen. It reads
 * its setting once, when it is loaded, so the program sets it and starts itself again. Whoever set one of the variables
 * has decided already. */
static void spin_shortly(char **argv) {
    if (getenv("OMP_WAIT_POLICY") != NULL || getenv("GOMP_SPINCOUNT") != NULL) return;
    if (setenv("GOMP_SPINCOUNT", "1000", 1) == 0) execv("/proc/self/exe", argv);
    // Where that fails the program is only slower.
}

int main(int argc, char **argv) {
    spin_shortly(argv);
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help();
        return argc < 2 ? ERROR_USAGE : 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("dice " DICE_VERSION);
        return 0;
    }
    if (strcmp(argv[1], "help") == 0) return help(argc > 2 ? argv[2] : NULL);
    const Command *command = find(argv[1]);
    return command == NULL ? unknown_command(argv[1]) : run(command, argc - 1, argv + 1);
}
