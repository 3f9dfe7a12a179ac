#include "cli/command.h"
#include "cli/machine.h"
#include "model/cost.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    CommonOptions common;
    const char *model;
} Values;

static const Option options[] = {
    {"model", 'm', OPTION_TEXT, offsetof(Values, model), "DIRECTORY", NULL, 0, 0,
     "expects speed for this model instead of SmolLM2-135M's shape"},
};

static const HfConfig smollm2 = {.layers = 30,
                                 .channels = 576,
                                 .heads = 9,
                                 .kv_heads = 3,
                                 .head_dim = 64,
                                 .feed_forward = 1536,
                                 .vocabulary = 49152,
                                 .tied_head = true};

static json_t *speed_of(const HfConfig *config, double flops) {
    double forward = cost_forward(config, 1, 128, 1);
    return json_pack("{s:f, s:f}", "training_tokens_per_second", flops / (3 * forward), "sampling_tokens_per_second",
                     flops / forward);
}

static int measure(const Values *v, Session *session, const HfConfig *config, json_t *result, Error *error) {
    const DType types[] = {DTYPE_F32, DTYPE_BF16};
    json_t *rates = json_object(), *speeds = json_object();
    json_object_set_new(result, "matmul_gflops", rates);
    json_object_set_new(result, "expected_at_that_rate", speeds);
    for (int i = 0; i < 2; i++) {
        double flops;
        if (types[i] == DTYPE_BF16 && !isa_has_bf16(session->kernels.isa)) continue;
        if (machine_matmul_rate(&session->kernels, types[i], &flops, error) != 0) return -1;
        json_object_set_new(rates, dtype_name(types[i]), json_real(flops / 1e9));
        json_object_set_new(speeds, dtype_name(types[i]), speed_of(config, flops));
    }
    json_object_set_new(result, "model", json_string(v->model == NULL ? "SmolLM2-135M" : v->model));
    return 0;
}

static void print_result(const json_t *r) {
    const char *type;
    json_t *rate;
    printf("processor           %s\ninstruction set     %s%s\nthreads             %d\nmemory              %.1f GiB, "
           "%.1f available\nbfloat16 units      %s\n",
           json_string_value(json_object_get(r, "cpu")), json_string_value(json_object_get(r, "isa")),
           json_is_true(json_object_get(r, "capped")) ? " (capped by DICE_ISA)" : "",
           (int)json_integer_value(json_object_get(r, "threads")), json_number_value(json_object_get(r, "memory_gib")),
           json_number_value(json_object_get(r, "available_gib")),
           json_is_true(json_object_get(r, "bfloat16")) ? "yes"
           : json_is_true(json_object_get(r, "bfloat16_slow"))
               ? "slower than float32's: `precision: auto` computes in float32"
               : "no: `precision: auto` computes in float32");
    json_object_foreach(json_object_get(r, "matmul_gflops"), type, rate) {
        const json_t *speed = json_object_get(json_object_get(r, "expected_at_that_rate"), type);
        printf(
            "matmul %-12s %.0f GFLOP/s; %s at that rate: training %.0f tokens/s, sampling %.0f tokens/s (ceilings)\n",
            type, json_number_value(rate), json_string_value(json_object_get(r, "model")),
            json_number_value(json_object_get(speed, "training_tokens_per_second")),
            json_number_value(json_object_get(speed, "sampling_tokens_per_second")));
    }
    const char *library;
    json_t *version;
    json_object_foreach(json_object_get(r, "libraries"), library, version)
        printf("%-19s %s\n", library, json_string_value(version));
}

static int run(const void *values, Session *session, Error *error) {
    const Values *v = values;
    HfConfig config = smollm2;
    char cpu[160];
    double total, available;
    if (v->model != NULL && hf_config_read(&config, v->model, error) != 0) return -1;
    machine_cpu_name(cpu, sizeof cpu);
    machine_memory(&total, &available);
    json_t *result =
        json_pack("{s:s, s:s, s:b, s:i, s:f, s:f, s:b, s:b}", "cpu", cpu, "isa", isa_name(session->kernels.isa),
                  "capped", session->kernels.isa < isa_preferred(), "threads", session->kernels.threads, "memory_gib",
                  total / 1073741824, "available_gib", available / 1073741824, "bfloat16",
                  isa_has_bf16(session->kernels.isa), "bfloat16_slow", isa_of_cpu() != isa_preferred());
    json_t *libraries = machine_libraries();
    if (result == NULL || libraries == NULL) return error_set(error, ERROR_MEMORY, "no memory for the result");
    json_object_set_new(result, "libraries", libraries);
    if (measure(v, session, &config, result, error) != 0) {
        json_decref(result);
        return -1;
    }
    if (v->common.json) return command_print_json(result, error);
    print_result(result);
    json_decref(result);
    return 0;
}

COMMAND_DEFINE(doctor, Values, options, .summary = "what this machine can do, measured now", .arguments = "",
               .least = 0, .most = 0,
               .description = "Processor features, memory, library versions, the rate of a large matrix product, and "
                              "the token rates that this rate\n"
                              "would allow. DICE_ISA=reference|avx2|avx512|avx512_bf16|amx "
                              "caps the instruction set; without it the fastest is taken.",
               .examples = "  dice doctor\n  DICE_ISA=avx2 dice doctor --json");
