/* machine.h - what this machine can do: memory, and the matmul rate that everything is held against. */
#pragma once
#include "base/error.h"
#include "base/json.h"
#include "kernels/kernel_table.h"

/* Rate of a large square matmul in `compute` with the table's threads, FLOP/s, measured now (about half a second). */
int machine_matmul_rate(const KernelTable *kernels, DType compute, double *flops, Error *error);
/* Physical memory, and what of it is available, in bytes; a memory limit of the control group counts. */
void machine_memory(double *total, double *available);
/* "AMD EPYC ..." or "unknown". */
void machine_cpu_name(char *out, size_t capacity);
/* {"oneDNN": "2.6.3", "SQLite": ..., ...}: versions of the libraries in use; a new reference. */
json_t *machine_libraries(void);
