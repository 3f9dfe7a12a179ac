#include "base/json.h"
#include "cli/run_report.h"
#include "run_cases.h"

/* The end of `dice run`, of a finished run in the directory "finished". */
static char printed[32768];

static int setup(void **state) {
    setenv("DICE_ISA", "reference", 1); // a small matrix is enough to measure this one
    if (run_cases_create(state) != 0) return -1;
    DiceRun run;
    Recipe recipe;
    run_cases_finished(&run, &recipe, "finished", NULL, 0);
    run_cases_close(&run, &recipe);
    return 0;
}

/* The result of the report; what it says on standard output is then in `printed`. */
static int report(const DiceRun *run, bool json) {
    char out[] = "/tmp/dice-report-XXXXXX";
    fflush(stdout);
    int file = mkstemp(out), keep = dup(1);
    dup2(file, 1);
    run_error = (Error){0};
    run_tick_s = 0.3; // that measuring the machine takes few looks at the clock
    int result = run_report_print(run, json, &run_error);
    run_tick_s = 1e-3;
    fflush(stdout);
    dup2(keep, 1);
    ssize_t n = pread(file, printed, sizeof printed - 1, 0);
    printed[n > 0 ? n : 0] = 0;
    close(file), close(keep), unlink(out);
    return result;
}

/* The numbers of a line of the table, in the order of the models; returns how many there are. */
static size_t line_of(const char *title, double *number) {
    const char *line = strstr(printed, title);
    size_t count = 0;
    if (line == NULL) fail_msg("no line \"%s\" in:\n%s", title, printed);
    const char *end = line + strcspn(line, "\n");
    for (line += strlen(title); line < end; line += strcspn(line, " \n")) {
        line += strspn(line, " ");
        number[count++] = *line == '-' && line[1] == '\n' ? NAN : strtod(line, NULL);
    }
    return count;
}

static void the_table_has_a_column_a_model(void **state) {
    (void)state;
    DiceRun run;
    Recipe recipe;
    double number[8];
    run_cases_open(&run, &recipe, "finished", NULL, 0);
    run_cases_ok(report(&run, false));
    assert_int_equal(line_of("held-out pairs: chosen is the likelier answer, %", number), 3);
    for (uint32_t i = 0; i < 3; i++) {
        const char *stage = i == 0 ? "evaluate-start" : "evaluate";
        double own = 100 * run_cases_figure(&run, i < 2 ? 0 : 1, stage, "likelier");
        assert_true(fabs(number[i] - own) <= 0.05);
    }
    assert_int_equal(line_of("pairs generated", number), 3);
    assert_true(number[2] == run_cases_figure(&run, 1, "pairs", "pairs"));
    assert_null(strstr(printed, "left out by the band")); // of an option that is off
    assert_non_null(strstr(printed, "--- prompt 1: "));
    assert_null(strstr(printed, "--- prompt 2: "));
    assert_non_null(strstr(printed, "finished/round-1/model\n"));
    run_cases_ok(report(&run, true));
    json_t *all = json_parse(printed, strlen(printed), "report", 1, &run_error),
           *models = json_object_get(all, "models");
    assert_int_equal(json_array_size(models), 3);
    assert_string_equal(json_string_value(json_object_get(json_array_get(models, 0), "name")), "start");
    json_t *train = json_object_get(json_object_get(json_array_get(models, 2), "round"), "train");
    assert_true(json_number_value(json_object_get(train, "efficiency")) > 0);
    json_decref(all);
    run_cases_close(&run, &recipe);
}

static void an_unfinished_run_has_no_report(void **state) {
    (void)state;
    DiceRun run;
    Recipe recipe;
    run_cases_copy("finished", "unfinished");
    run_cases_open(&run, &recipe, "unfinished", NULL, 0);
    run_cases_tamper(&run, "DELETE FROM stages WHERE round = 1 AND stage = 'evaluate'");
    run_cases_failed(report(&run, false), ERROR_INPUT, "round 1 has no finished stage evaluate");
    assert_string_equal(printed, "");
    run_cases_close(&run, &recipe);
}

/* Summaries that a stranger wrote are printed as far as they are what they should be. */
static void strange_summaries_are_survived(void **state) {
    (void)state;
    static const char *const changes[] = {
        "UPDATE stages SET summary = '{\"accuracy\": 1e300, \"answers\": [5, null, [], {}, {\"place\": 0}, "
        "{\"place\": 1, \"prompt\": []}, {\"place\": 2, \"prompt\": [{\"content\": 3}], \"answer\": 4}, "
        "{\"place\": 3, \"prompt\": \"%s%n\", \"answer\": \"%s%n\"}]}'",
        "UPDATE stages SET summary = CASE stage WHEN 'evaluate-start' THEN '[]' WHEN 'sample' THEN '5' WHEN 'pairs' "
        "THEN "
        "'[null]' WHEN 'mix' THEN '[\"a\"]' ELSE '{\"accuracy\": \"b\", \"answers\": {}}' END"};
    DiceRun run;
    Recipe recipe;
    run_cases_copy("finished", "strange");
    run_cases_open(&run, &recipe, "strange", NULL, 0);
    for (int i = 0; i < 4; i++) {
        run_cases_tamper(&run, changes[i / 2]);
        if (report(&run, i % 2) != 0 && run_error.code != ERROR_INPUT) fail_msg("%s", run_error.message);
    }
    run_cases_tamper(&run, "UPDATE stages SET summary = '{'");
    run_cases_failed(report(&run, false), ERROR_INPUT, "stage evaluate-start");
    run_cases_close(&run, &recipe);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_has_a_column_a_model),
        cmocka_unit_test(an_unfinished_run_has_no_report),
        cmocka_unit_test(strange_summaries_are_survived),
    };
    return cmocka_run_group_tests(tests, setup, run_cases_remove);
}
