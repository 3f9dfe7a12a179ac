#include "text/jinja_builtin.h"

#include <string.h>

const JinjaBuiltin *jinja_builtin_find(const JinjaBuiltins *table, const JinjaValue *name) {
    for (size_t i = 0; i < table->count; i++)
        if (jinja_text_is(name, table->entry[i].name)) return &table->entry[i];
    return NULL;
}

/* The next word of a list of parameters; its length, 0 at the end. */
static size_t next_word(const char **list, bool *optional) {
    while (**list == ' ') ++*list;
    size_t n = strcspn(*list, " ?");
    *optional = (*list)[n] == '?';
    return n;
}

static int bind(JinjaRun *run, const JinjaBuiltin *builtin, const JinjaArguments *all, JinjaValue *argument) {
    const char *list = builtin->parameters;
    size_t place = 0, named = 0, n;
    bool optional;
    for (; (n = next_word(&list, &optional)) > 0; list += n + optional, place++) {
        const JinjaValue *keyword = NULL;
        for (size_t i = 0; i < all->keywords; i++) {
            const JinjaValue *key = &all->keyword[i].key;
            if (key->text.size == n && memcmp(key->text.bytes, list, n) == 0) keyword = &all->keyword[i].value;
        }
        if (keyword != NULL && place < all->count)
            return jinja_fail(run, "%s got two values for '%.*s'", builtin->name, (int)n, list);
        named += keyword != NULL;
        if (place < all->count)
            argument[place] = all->value[place];
        else if (keyword != NULL)
            argument[place] = *keyword;
        else if (!optional)
            return jinja_fail(run, "%s needs the argument '%.*s'", builtin->name, (int)n, list);
    }
    if (all->count > place)
        return jinja_fail(run, "%s takes at most %zu arguments, but got %zu", builtin->name, place, all->count);
    if (named < all->keywords) {
        for (size_t i = 0; i < all->keywords; i++) {
            const JinjaValue *key = &all->keyword[i].key;
            JinjaValue word = *key;
            for (list = builtin->parameters; (n = next_word(&list, &optional)) > 0; list += n + optional)
                if (n == word.text.size && memcmp(list, word.text.bytes, n) == 0) break;
            if (n == 0)
                return jinja_fail(run, "%s has no argument '%.*s'", builtin->name,
                                  (int)(word.text.size < 200 ? word.text.size : 200), word.text.bytes);
        }
    }
    return 0;
}

int jinja_builtin_call(JinjaRun *run, const JinjaBuiltin *builtin, const JinjaValue *self,
                       const JinjaArguments *arguments, JinjaValue *out) {
    JinjaValue argument[JINJA_PARAMETERS_MAX] = {0};
    if (jinja_charge(run, 1) != 0) return -1;
    if (builtin->parameters[0] != '*' && bind(run, builtin, arguments, argument) != 0) return -1;
    return builtin->function(run, self, argument, arguments, out);
}

int jinja_argument_int(JinjaRun *run, const JinjaValue *argument, const char *name, int64_t missing, int64_t *out) {
    *out = missing;
    if (argument->type == JINJA_ABSENT) return 0;
    if (argument->type == JINJA_UNDEFINED) return jinja_fail_undefined(run, argument);
    if (!jinja_is_whole(argument))
        return jinja_fail(run, "the argument '%s' is a value of type %s where a whole number was expected", name,
                          jinja_type_name(argument));
    *out = jinja_whole(argument);
    return 0;
}

int jinja_argument_text(JinjaRun *run, const JinjaValue *argument, const char *name, JinjaValue *out) {
    if (argument->type == JINJA_UNDEFINED) return jinja_fail_undefined(run, argument);
    if (argument->type != JINJA_STRING)
        return jinja_fail(run, "the argument '%s' is a value of type %s where a text was expected", name,
                          jinja_type_name(argument));
    *out = *argument;
    return 0;
}
