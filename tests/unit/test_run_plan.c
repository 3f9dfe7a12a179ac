#include "align/run_plan.h"
#include "sample/generate.h"
#include "tiny_cases.h"
#include "train/optimizer.h"

static KernelTable kernels;
static HfConfig config;
static Error error;

static int setup(void **state) {
    (void)state;
    return kernel_table_create(&kernels, 1, &error) != 0 ||
                   hf_config_read(&config, "tests/data/tiny/llama_tied/model", &error) != 0
               ? -1
               : 0;
}

static const DataSize data = {
    .prompts = 10000, .offline_pairs = 10000, .longest_prompt = 150, .mean_prompt = 200, .mean_response = 400};

static RunPlan plan_of(const char *const *sets, size_t n) {
    static const char *const text =
        "model: m\noutput: o\nreference: r\ndata: {offline: p}\nsample: {max_new_tokens: 100}\n";
    Recipe recipe;
    RunPlan plan = {0};
    if (recipe_parse(&recipe, text, strlen(text), "r.yaml", ".", sets, n, &error) != 0 ||
        run_plan(&recipe, &config, &kernels, DTYPE_F32, &data, &plan, &error) != 0)
        fail_msg("%s", error.message);
    recipe_free(&recipe);
    return plan;
}

static RunPlan with(const char *set) { return plan_of(&set, set != NULL); }

/* What is planned is what is then taken. */
static void memory_is_that_of_the_parts(void **state) {
    (void)state;
    static const char *const sets[] = {"data.max_tokens=200", "train.micro_tokens=300", "sample.responses=5",
                                       "sample.branches=9"};
    const RunPlan p = plan_of(sets, 4);
    const ModelOptions forward = {.kernels = &kernels, .compute = DTYPE_F32},
                       both = {.kernels = &kernels, .compute = DTYPE_F32, .trainable = true};
    const GenerateSettings g = {.responses = 5, .max_new_tokens = 100, .max_branches = 9};
    Model *model = tiny_load("llama_tied", &kernels, DTYPE_F32, true, false);
    Optimizer optimizer;
    const OptimizerSettings settings = {0};
    assert_int_equal(optimizer_create(&optimizer, model, &settings, &error), 0);
    assert_int_equal(p.sample_bytes, model_bytes(&config, &forward) + generate_bytes(&config, &forward, &g, 150));
    assert_int_equal(p.score_bytes, model_bytes(&config, &forward) + activations_bytes(&config, &forward, 300, 300));
    assert_int_equal(p.train_bytes, model_bytes(&config, &both) + optimizer.arena.size +
                                        activations_bytes(&config, &both, 300, 300) +
                                        activations_bytes(&config, &forward, 300, 300));
    assert_true(p.peak_bytes == p.train_bytes && strcmp(p.peak_stage, "train") == 0);
    optimizer_destroy(&optimizer);
    model_free(model);
}

/* An adapter: the model once without masters, and the optimizer's state of the adapter alone. */
static void an_adapter_costs_little(void **state) {
    (void)state;
    static const char *const sets[] = {"lora.r=4", "lora.alpha=8", "lora.dropout=0.1", "data.max_tokens=200",
                                       "train.micro_tokens=300"};
    const RunPlan whole = plan_of(sets + 3, 2), p = plan_of(sets, 5);
    const ModelOptions both = {.kernels = &kernels,
                               .compute = DTYPE_F32,
                               .trainable = true,
                               .lora = {.r = 4, .alpha = 8, .dropout = 0.1, .targets = PEFT_ALL_LINEAR}};
    size_t weights = model_planned_weights(&config, &both);
    assert_true(p.trained_weights == weights && weights < whole.trained_weights / 2);
    ModelOptions forward = both;
    forward.trainable = false;
    assert_int_equal(p.train_bytes, model_bytes(&config, &both) + optimizer_bytes(weights) +
                                        activations_bytes(&config, &both, 300, 300) +
                                        activations_bytes(&config, &forward, 300, 300));
    assert_true(p.train_bytes < whole.train_bytes && p.disk_bytes < whole.disk_bytes / 2);
    assert_true(p.train_forwards < whole.train_forwards && p.sample_forwards == whole.sample_forwards);
}

static void keys_move_what_they_shall(void **state) {
    (void)state;
    const RunPlan usual = with(NULL), micro = with("train.micro_tokens=16384"),
                  thrifty = with("train.checkpoint_activations=true"), few = with("sample.branches=4"),
                  long_rows = with("data.max_tokens=20000");
    assert_true(micro.train_bytes > usual.train_bytes && micro.score_bytes > usual.score_bytes);
    assert_true(thrifty.train_bytes < usual.train_bytes && thrifty.score_bytes == usual.score_bytes);
    assert_true(few.sample_bytes < usual.sample_bytes && few.train_bytes == usual.train_bytes);
    assert_true(long_rows.train_bytes > usual.train_bytes); // one row must fit whatever micro_tokens says
    assert_true(with("rounds=3").disk_bytes > usual.disk_bytes && with("rounds=3").flops > usual.flops);
}

/* A pair here is a prompt of 200 tokens, and two answers of 100 or 400: 700 on average. */
static void pairs_that_depend_on_each_other_go_forward_twice(void **state) {
    (void)state;
    static const char *const aot[] = {"train.loss=aot", "train.micro_tokens=4000", "train.loss_pairs=5",
                                      "train.loss_pairs=6", "lora.r=4"};
    const double pairs = 313 * 32, tokens = 700, reference = 5000 * 1000;
    const RunPlan alone = with("train.micro_tokens=4000"), fits = plan_of(aot, 3), more = plan_of(aot, 2);
    assert_true(alone.train_forwards == pairs * tokens * 3 + reference);
    assert_true(fits.train_forwards == alone.train_forwards);
    assert_true(more.train_forwards == pairs * tokens * 4 + reference); // a step of 32 pairs
    const char *const six[] = {aot[0], aot[1], aot[3]}, *const adapter[] = {aot[0], aot[1], aot[4]};
    assert_true(plan_of(six, 3).train_forwards == more.train_forwards);
    assert_true(plan_of(adapter, 3).train_forwards == pairs * tokens * 3 + reference);
    assert_true(with("train.loss=sft").train_forwards == with(NULL).train_forwards); // sums of its own for each pair
}

/* METHOD, section 7: with gamma 1/2 half of the prompts are sampled, with the spare on top. */
static void only_needed_prompts_are_sampled(void **state) {
    (void)state;
    const RunPlan half = with(NULL), all = with("sample.all=true"), none = with("mix.gamma=0");
    assert_true(half.generated_pairs == 5000 && half.offline_rows == 5000 && half.sampled_prompts == 5750);
    assert_true(half.sample_forwards == 5750 * (200 + 16 * 100.0));
    assert_true(fabs(half.score_forwards - 1.01 * half.sample_forwards) < 1);
    assert_true(all.sampled_prompts == 10000 && none.sampled_prompts == 10000 && none.offline_rows == 0);
    assert_true(half.steps == 313); // 10000 pairs of 32
    assert_true(with("train.steps=300").steps == 300);
    assert_true(with("mix.gamma=1").generated_pairs == 0 && with("mix.gamma=1").steps == 313);
}

static void round_zero_is_counted_where_there_is_one(void **state) {
    (void)state;
    const RunPlan without = with(NULL), zero = with("reference=");
    assert_true(zero.flops > without.flops && zero.disk_bytes > without.disk_bytes);
    static const char *const sets[] = {"reference=", "round0.steps=3", "round0.pairs_per_step=8"};
    const RunPlan short_one = plan_of(sets, 3);
    double one = without.flops, trained = 3 * 8 * 3 + 10000; // passes over pairs: trained, and as the reference
    double usual = 313 * 32 * 3 + 10000;
    assert_true(fabs((short_one.flops - one) / (zero.flops - one) - trained / usual) < 1e-9);
}

static void what_cannot_fit_is_refused(void **state) {
    (void)state;
    Recipe recipe;
    const char *text = "model: m\noutput: o\ndata: {offline: p}\n";
    assert_int_equal(recipe_parse(&recipe, text, strlen(text), "r.yaml", ".", NULL, 0, &error), 0);
    RunPlan p = with(NULL);
    assert_int_equal(run_plan_check(&p, &recipe, (double)p.peak_bytes, &error), 0);
    assert_int_equal(run_plan_check(&p, &recipe, (double)p.peak_bytes - 1, &error), -1);
    assert_int_equal(error.code, ERROR_MEMORY);
    assert_non_null(strstr(error.message, "\"train\""));
    assert_non_null(strstr(error.message, "train.checkpoint_activations: true"));
    recipe.train.checkpoint_activations = true;
    assert_int_equal(run_plan_check(&p, &recipe, 1, &error), -1);
    assert_non_null(strstr(error.message, "train.micro_tokens or data.max_tokens"));
    p = with("sample.branches=65536");
    assert_string_equal(p.peak_stage, "sample");
    assert_int_equal(run_plan_check(&p, &recipe, 1, &error), -1);
    assert_non_null(strstr(error.message, "sample.branches"));
    recipe_free(&recipe);
}

/* What no size_t holds is a memory that no machine has, not a small number. */
static void sums_do_not_wrap(void **state) {
    (void)state;
    HfConfig large = config;
    large.channels = (size_t)1 << 36, large.feed_forward = (size_t)1 << 38, large.head_dim = (size_t)1 << 34;
    Recipe recipe;
    RunPlan p;
    const char *text = "model: m\noutput: o\ndata: {offline: p}\n";
    const char *const set = "train.micro_tokens=1073741824";
    assert_int_equal(recipe_parse(&recipe, text, strlen(text), "r.yaml", ".", &set, 1, &error), 0);
    assert_int_equal(run_plan(&recipe, &large, &kernels, DTYPE_F32, &data, &p, &error), 0);
    assert_true(p.train_bytes == SIZE_MAX && p.score_bytes == SIZE_MAX && p.sample_bytes == SIZE_MAX);
    assert_int_equal(run_plan_check(&p, &recipe, 1e18, &error), -1);
    recipe_free(&recipe);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(memory_is_that_of_the_parts),
                                       cmocka_unit_test(an_adapter_costs_little),
                                       cmocka_unit_test(keys_move_what_they_shall),
                                       cmocka_unit_test(pairs_that_depend_on_each_other_go_forward_twice),
                                       cmocka_unit_test(only_needed_prompts_are_sampled),
                                       cmocka_unit_test(round_zero_is_counted_where_there_is_one),
                                       cmocka_unit_test(what_cannot_fit_is_refused),
                                       cmocka_unit_test(sums_do_not_wrap)};
    return cmocka_run_group_tests(tests, setup, NULL);
}
