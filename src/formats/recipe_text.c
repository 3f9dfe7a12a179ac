#include "formats/recipe.h"
#include "formats/recipe_key.h"

#include <string.h>

void recipe_canonical(const Recipe *recipe, Buffer *out) {
    for (size_t i = 0; i < recipe_key_count; i++) {
        if (!recipe_keys[i].fixed) continue;
        buffer_format(out, "%s: ", recipe_keys[i].name);
        recipe_key_format(recipe, &recipe_keys[i], out);
        buffer_append_text(out, "\n");
    }
}

/* The line of `text` that begins with the key of `line`, or NULL. */
static const char *same_key(const char *text, const char *line) {
    size_t key = strcspn(line, ":\n") + 1;
    while (text[0] != 0 && strncmp(text, line, key) != 0) {
        text += strcspn(text, "\n");
        text += text[0] == '\n';
    }
    return text[0] == 0 ? NULL : text;
}

static void append_value(Buffer *out, const char *line) {
    if (line == NULL) {
        buffer_append_text(out, "(not there)");
        return;
    }
    line += strcspn(line, ":\n");
    line += line[0] == ':';
    line += line[0] == ' ';
    buffer_append(out, line, strcspn(line, "\n"));
}

static void append_change(Buffer *out, const char *line, const char *old, const char *new) {
    buffer_append(out, line, strcspn(line, ":\n"));
    buffer_append_text(out, ": ");
    append_value(out, old);
    buffer_append_text(out, " -> ");
    append_value(out, new);
    buffer_append_text(out, "\n");
}

static const char *next_line(const char *line) {
    line += strcspn(line, "\n");
    return line[0] == '\n' ? line + 1 : line;
}

void recipe_difference(const char *old_canonical, const char *new_canonical, Buffer *out) {
    for (const char *line = old_canonical; line[0] != 0; line = next_line(line)) {
        const char *other = same_key(new_canonical, line);
        size_t n = strcspn(line, "\n");
        if (other == NULL || strcspn(other, "\n") != n || memcmp(line, other, n) != 0)
            append_change(out, line, line, other);
    }
    for (const char *line = new_canonical; line[0] != 0; line = next_line(line))
        if (same_key(old_canonical, line) == NULL) append_change(out, line, NULL, line);
}

static void append_rows(Buffer *out, const char *group) {
    buffer_append_text(out, "\n| key | value | default | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < recipe_key_count; i++) {
        const RecipeKey *key = &recipe_keys[i];
        if (strcmp(key->group, group) != 0) continue;
        buffer_format(out, "| `%s`%s | ", key->name, key->fixed ? "" : " *");
        recipe_key_expected(key, out);
        if (key->initial == NULL)
            buffer_append_text(out, key->range.needed ? " | needed" : " | none");
        else
            buffer_format(out, key->initial[0] == 0 ? " | `\"\"`" : " | `%s`", key->initial);
        buffer_format(out, " | %s |\n", key->meaning);
    }
}

void recipe_reference(Buffer *out) {
    buffer_append_text(
        out,
        "# Recipe reference\n\n"
        "A recipe is one YAML file of two levels: keys, and groups of keys. `model`, `output` and, for most runs,\n"
        "`data.offline` are needed; everything else has a default.\n\n"
        "    model: models/sft\n"
        "    output: runs/first\n"
        "    data:\n"
        "      offline: data/pairs.jsonl\n"
        "    sample:\n"
        "      temperature: 0.7\n\n"
        "- `dice run RECIPE --set sample.temperature=0.8` overrides one key; it means the same as the line in the "
        "file.\n"
        "- Relative paths, also those of `--set`, start at the directory of the recipe file; `~/` is your home.\n"
        "- An empty value (`reference:`) leaves the default.\n"
        "- Unknown or repeated keys and values out of range are errors that name line and column.\n"
        "- YAML anchors, aliases, tags and several documents are not supported.\n"
        "- A run directory belongs to the recipe it was begun with. Keys marked * may change when a run continues: "
        "they\n"
        "  do not change results, except that more `rounds` extend a run.\n\n"
        "## Top level\n");
    append_rows(out, "");
    for (size_t g = 0; g < recipe_group_count; g++) {
        buffer_format(out, "\n## %s: %s\n", recipe_groups[g].name, recipe_groups[g].meaning);
        append_rows(out, recipe_groups[g].name);
    }
}
