/* command.h - a subcommand of `dice`: its table of options and the function behind it. */
#pragma once
#include "base/json.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "formats/recipe.h"
#include "kernels/kernel_table.h"
#include "model/model.h"

/* What every command works with, made from the common options. */
typedef struct {
    const CommonOptions *common;
    Terminal terminal;
    Log log;
    KernelTable kernels;
} Session;

typedef struct {
    const CommandSpec *spec;
    size_t values_bytes; // of the struct that begins with CommonOptions
    /* values: parsed. Prints its result to stdout. */
    int (*run)(const void *values, Session *session, Error *error);
} Command;

extern const Command command_run, command_plan, command_sample, command_score, command_pairs, command_mix,
    command_train, command_import, command_export, command_inspect, command_doctor;

#define COMMAND_DEFINE(NAME, VALUES, OPTIONS, ...)                                                                     \
    static const CommandSpec spec_##NAME = {                                                                           \
        .name = #NAME, .option = OPTIONS, .options = sizeof OPTIONS / sizeof *OPTIONS, __VA_ARGS__};                   \
    const Command command_##NAME = {.spec = &spec_##NAME, .values_bytes = sizeof(VALUES), .run = run}

/* A checkpoint, and the PEFT directory of an adapter for it, or NULL. */
typedef struct {
    const char *directory, *adapter;
} ModelPlace;

/* Loads a checkpoint for inference or training; a GGUF file is refused with the advice to import it. *model NULL, or a
 * model that need not be kept: where both come from one directory, only the adapter is exchanged. */
int command_load_model(const Session *session, ModelPlace place, bool trainable, Model **model, Error *error);
/* The same with the adapter's settings given: one that is new, or loaded already. r 0: none. */
int command_load_adapted(const Session *session, ModelPlace place, bool trainable, const LoraSettings *lora,
                         Model **model, Error *error);
/* Reads a recipe with its --set; --threads and --precision of the command line count more than its keys. */
int command_load_recipe(Session *session, const char *path, const OptionList *set, Recipe *recipe, Error *error);
/* Prints a result object (its reference is taken) to stdout as JSON. */
int command_print_json(json_t *object, Error *error);
