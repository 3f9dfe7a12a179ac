/* sigmoid.h - sigmoid and its logarithm, without overflow and exact to the last bits at either end. */
#pragma once
#include <math.h>

static inline double log_sigmoid(double x) { return x >= 0 ? -log1p(exp(-x)) : x - log1p(exp(x)); }
static inline double sigmoid(double x) { return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }
