/* run_report.h - the end of `dice run`: how every model of the run does, beside the one it started from. */
#pragma once
#include "align/dice_run.h"

/* A table, the answers before and after, and the path of the last checkpoint, on stdout; json: one object instead. */
int run_report_print(const DiceRun *run, bool json, Error *error);
