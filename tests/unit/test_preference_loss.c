#include "align/preference_loss.h"
#include "base/rng.h"
#include "tiny_cases.h"

enum { PAIRS = 6 };

static int create(PreferenceLoss *loss, const char *const *set, size_t sets, Error *error) {
    static const char text[] = "model: m\noutput: o\ndata: {offline: d}\n";
    Recipe recipe;
    if (recipe_parse(&recipe, text, sizeof text - 1, "r", "", set, sets, error) != 0) return -1;
    int result = preference_loss_create(loss, &recipe, NULL, error);
    recipe_free(&recipe);
    return result;
}

static PreferenceLoss made(const char *const *set, size_t sets) {
    PreferenceLoss loss;
    Error error;
    if (create(&loss, set, sets, &error) != 0) fail_msg("%s", error.message);
    return loss;
}

static PreferenceLoss named(const char *name, const char *smoothing) {
    char loss[80], e[80];
    snprintf(loss, sizeof loss, "train.loss=%s", name);
    snprintf(e, sizeof e, "train.label_smoothing=%s", smoothing);
    return made((const char *[]){loss, e}, 2);
}

static double mean_of(const PreferenceLoss *loss, size_t n, const PairSums *pair, PairLoss *out) {
    double sum = 0, tokens = 0;
    Error error;
    for (size_t i = 0; i < n; i++) tokens += pair[i].tokens[0] / (double)n;
    if (preference_loss(loss, n, pair, tokens, out, &error) != 0) fail_msg("%s", error.message);
    for (size_t i = 0; i < n; i++) sum += out[i].loss / (double)n;
    return sum;
}

/* u_w 1.2, u_l -0.7, n_w 5, n_l 8, beta 0.1: the formulas of TRL, evaluated by another program. Those that TRL 1.16
 * does not have were worked out by hand: kto_pair (1 - S(.12)) / 2 + (1 - S(.19)) / 2, simpo with pi = u. */
static void golden_values(void **state) {
    (void)state;
    static const struct {
        const char *loss, *e, *divergence;
        double value;
    } golden[] = {{"sigmoid", "0", "reverse_kl", .602652909},       {"sigmoid", "0.1", "reverse_kl", .621652909},
                  {"cdpo", "0.1", "reverse_kl", .621652909},        {"hinge", "0", "reverse_kl", .81},
                  {"ipo", "0", "reverse_kl", 21.83225625},          {"exo_pair", "1e-3", "reverse_kl", 2.438635472},
                  {"nca_pair", "0", "reverse_kl", 1.341798930},     {"robust", "0.1", "reverse_kl", .578902909},
                  {"bco_pair", "0", "reverse_kl", 1.293705657},     {"sppo_hard", "0", "reverse_kl", 32.93},
                  {"apo_zero", "0", "reverse_kl", .952543091},      {"apo_down", "0", "reverse_kl", .982606434},
                  {"discopop", "0", "reverse_kl", .822051029},      {"sigmoid_norm", "0", "reverse_kl", .676906245},
                  {"sigmoid", "0", "forward_kl", .611180855},       {"sigmoid", "0", "js_divergence", .652033540},
                  {"sigmoid", "0", "alpha_divergence", .609903546}, {"sft", "0", "reverse_kl", -.24},
                  {"aot", "0", "reverse_kl", .602652909},           {"aot_unpaired", "0.1", "reverse_kl", .621652909},
                  {"kto_pair", "0", "reverse_kl", .461339165},      {"simpo", "0", "reverse_kl", .953817801}};
    const PairSums pair = {{1.2, -0.7}, {0, 0}, 1.2, {5, 8}, 1, 0};
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        char loss[64], e[64], divergence[64];
        PairLoss out;
        snprintf(loss, sizeof loss, "train.loss=%s", golden[i].loss);
        snprintf(e, sizeof e, "train.label_smoothing=%s", golden[i].e);
        snprintf(divergence, sizeof divergence, "train.f_divergence=%s", golden[i].divergence);
        const PreferenceLoss made_of = made((const char *[]){loss, e, divergence}, 3);
        double found = mean_of(&made_of, 1, &pair, &out);
        if (fabs(found - golden[i].value) > 1e-9 * fmax(1, fabs(golden[i].value)))
            fail_msg("%s, e %s, %s: %.12g, expected %.12g", golden[i].loss, golden[i].e, golden[i].divergence, found,
                     golden[i].value);
    }
}

static void fill(PairSums pair[PAIRS], uint64_t seed, uint32_t item) {
    const RngAddress at = {.seed = seed, .stream = RNG_TEST, .item = item};
    for (uint32_t i = 0; i < PAIRS; i++) {
        double n[2] = {1 + (double)rng_below(&at, 10 * i, 20), 1 + (double)rng_below(&at, 10 * i + 1, 20)};
        pair[i] = (PairSums){.tokens = {n[0], n[1]}, .weight = rng_uniform(&at, 10 * i + 2)};
        for (uint32_t b = 0; b < 2; b++) {
            pair[i].reference[b] = -2 * n[b];
            pair[i].policy[b] = -2 * n[b] + 2 * rng_normal(&at, 10 * i + 3 + b);
        }
        pair[i].logprob_chosen = pair[i].policy[0] - rng_uniform(&at, 10 * i + 5);
    }
}

/* Largest difference between the slopes of `loss` and central differences of `valued`, over the largest slope. */
static double slope_error(const PreferenceLoss *loss, const PreferenceLoss *valued, const PairSums *from) {
    PairSums pair[PAIRS];
    PairLoss out[PAIRS], other[PAIRS];
    double worst = 0, scale = 0;
    memcpy(pair, from, sizeof pair);
    mean_of(loss, PAIRS, pair, out);
    for (size_t i = 0; i < PAIRS; i++) {
        double *const x[] = {&pair[i].policy[0], &pair[i].policy[1], &pair[i].logprob_chosen};
        const double found[] = {out[i].d_policy[0], out[i].d_policy[1], out[i].d_logprob_chosen};
        for (int k = 0; k < 3; k++) {
            const double h = 1e-5, at = *x[k];
            *x[k] = at + h;
            double up = mean_of(valued, PAIRS, pair, other);
            *x[k] = at - h;
            double down = mean_of(valued, PAIRS, pair, other);
            *x[k] = at;
            double slope = PAIRS * (up - down) / (2 * h);
            worst = fmax(worst, fabs(slope - found[k]));
            scale = fmax(scale, fabs(slope));
        }
    }
    return worst / fmax(scale, 1e-3);
}

/* [PL-1]: every row, in every divergence that it takes, weighted and not. Planted: slopes of a loss with another beta.
 */
static void gradients_are_the_slopes(void **state) {
    (void)state;
    const uint64_t seed = test_seed();
    size_t caught = 0, cases = 0;
    for (size_t r = 0; r < preference_loss_count; r++)
        for (uint32_t k = 0; k < 24; k++) {
            PairSums pair[PAIRS];
            fill(pair, seed, (uint32_t)(100 * r) + k);
            PreferenceLoss loss = named(preference_losses[r].name, k % 3 == 0 ? "0.001" : "0.2");
            bool scores = preference_losses[r].input <= LOSS_OF_SCORES_PER_TOKEN;
            loss.divergence = scores ? (RecipeDivergence)(k % 4) : RECIPE_DIVERGENCE_REVERSE_KL;
            loss.knobs.beta = k % 2 == 0 ? 0.1 : 0.7;
            loss.f_alpha = k % 5 == 0 ? 1.7 : 0.5;
            loss.use_weighting = k % 3 == 1;
            loss.term[0].weight = k % 2 == 0 ? 1 : 0.3;
            double error = slope_error(&loss, &loss, pair);
            if (error > 2e-5) fail_msg("%s, case %u: slopes are off by %g", preference_losses[r].name, k, error);
            PreferenceLoss fault = loss;
            fault.knobs.beta *= 1.01, fault.term[0].weight *= 1.001;
            caught += slope_error(&fault, &loss, pair) > 2e-5;
            cases++;
        }
    assert_int_equal(caught, cases);
}

/* [PL-2]: the goldens of TRL in double, value and slope for every token: the loss is evaluated on the goldens' own
 * log-probs. */
static void agrees_with_trl(void **state) {
    (void)state;
    Error error;
    FileMap map;
    Golden golden;
    size_t count, answers, checked = 0;
    golden_open(&golden, "tests/data/tiny/losses.safetensors");
    if (file_map(&map, "tests/data/tiny/losses.json", &error) != 0) fail_msg("%s", error.message);
    json_t *losses = json_parse((const char *)map.data, map.size, "losses.json", 1, &error), *entry;
    double *logp = golden_read(&golden, "inputs.logp", &count), *ref = golden_read(&golden, "inputs.ref_logp", &count),
           *square = golden_read(&golden, "inputs.log_sum_sq", &count),
           *length = golden_read(&golden, "inputs.lengths", &answers);
    size_t index, n = answers / 2;
    json_array_foreach(json_object_get(losses, "entries"), index, entry) {
        const json_t *a = json_object_get(entry, "args"), *types = json_object_get(a, "loss_type"), *type;
        const char *name = json_string_value(json_object_get(entry, "name"));
        if (json_object_get(entry, "float64") == NULL || json_is_number(json_object_get(a, "max_length"))) continue;
        char text[256] = "train.loss=", e[64], divergence[64], key[64];
        size_t k;
        json_array_foreach(types, k, type) {
            const json_t *w = json_array_get(json_object_get(a, "loss_weights"), k);
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%.17g %s", k > 0 ? " + " : "",
                     w == NULL ? 1 : json_number_value(w), json_string_value(type));
        }
        snprintf(e, sizeof e, "train.label_smoothing=%.17g", json_number_value(json_object_get(a, "label_smoothing")));
        snprintf(divergence, sizeof divergence, "train.f_divergence=%s",
                 json_string_value(json_object_get(a, "f_divergence_type")));
        const bool weighted = json_is_true(json_object_get(a, "use_weighting"));
        PreferenceLoss loss =
            made((const char *[]){text, e, divergence, "parity=trl-1.x",
                                  weighted ? "train.use_weighting=true" : "train.use_weighting=false"},
                 5);
        const json_t *ld = json_object_get(a, "ld_alpha");
        loss.ld_alpha = json_is_number(ld) ? json_number_value(ld) : 1;
        loss.knobs.beta = json_number_value(json_object_get(a, "beta"));
        loss.knobs.discopop_tau = json_number_value(json_object_get(a, "discopop_tau"));
        loss.f_alpha = json_number_value(json_object_get(a, "f_alpha_divergence_coef"));
        PairSums *pair = calloc(n, sizeof *pair);
        PairLoss *out = calloc(n, sizeof *out);
        for (size_t i = 0, at = 0; i < answers; at += (size_t)length[i++]) {
            PairSums *p = &pair[i % n];
            size_t side = i / n, shared = (size_t)fmin(length[i % n], length[i % n + n]);
            p->tokens[side] = length[i];
            if (side == 0) p->weight = 1;
            for (size_t t = 0; t < (size_t)length[i]; t++) {
                double share = t < shared ? 1 : loss.ld_alpha;
                p->policy[side] += share * logp[at + t], p->reference[side] += share * ref[at + t];
                if (side == 0) p->logprob_chosen += logp[at + t];
                if (weighted) p->weight *= exp((logp[at + t] - square[at + t]) / length[i]);
            }
        }
        double found = mean_of(&loss, n, pair, out);
        double expected = json_number_value(json_object_get(json_object_get(entry, "float64"), "loss")), scale = 0;
        if (fabs(found - expected) > 1e-12 * fmax(1, fabs(expected)))
            fail_msg("%s: %.15g, expected %.15g", name, found, expected);
        snprintf(key, sizeof key, "%s.dlogp", name);
        double *slope = golden_read(&golden, key, &count), worst = 0;
        for (size_t i = 0, at = 0; i < answers; at += (size_t)length[i++]) {
            size_t shared = (size_t)fmin(length[i % n], length[i % n + n]);
            const PairLoss *o = &out[i % n];
            for (size_t t = 0; t < (size_t)length[i]; t++) {
                double d = (o->d_policy[i / n] * (t < shared ? 1 : loss.ld_alpha) + (i < n ? o->d_logprob_chosen : 0)) /
                           (double)n;
                worst = fmax(worst, fabs(d - slope[at + t])), scale = fmax(scale, fabs(slope[at + t]));
            }
        }
        if (worst > 1e-12 * scale) fail_msg("%s: slopes are off by %g of %g", name, worst, scale);
        free(slope), free(pair), free(out);
        checked++;
    }
    assert_int_equal(checked, 108);
    free(logp), free(ref), free(square), free(length);
    json_decref(losses);
    golden_close(&golden);
    file_unmap(&map);
}

static void stays_finite_far_out(void **state) {
    (void)state;
    const PreferenceLoss loss = preference_loss_sigmoid(1, 0);
    PairLoss out;
    assert_true(mean_of(&loss, 1, &(PairSums){{-1e6, 0}, {0, 0}, 0, {1, 1}, 1, 0}, &out) == 1e6 &&
                out.d_policy[0] == -1);
    assert_true(mean_of(&loss, 1, &(PairSums){{0, -1e6}, {0, 0}, 0, {1, 1}, 1, 0}, &out) == 0 && out.d_policy[0] == 0);
    for (size_t r = 0; r < preference_loss_count; r++)
        for (int side = 0; side < 2; side++) {
            const PreferenceLoss any = named(preference_losses[r].name, "0.1");
            const PairSums far = {{side == 0 ? 3000 : -3000, side == 0 ? -3000 : 3000}, {0, 0}, -5, {2, 3}, 1, 0};
            double value = mean_of(&any, 1, &far, &out);
            if (!isfinite(value) || !isfinite(out.d_policy[0]) || !isfinite(out.d_policy[1]))
                fail_msg("%s at +-3000 nats: %g, slopes %g %g", preference_losses[r].name, value, out.d_policy[0],
                         out.d_policy[1]);
        }
}

/* A sum of losses is the sum of the losses, slopes too; each term is reported without its weight. */
static void terms_add_up(void **state) {
    (void)state;
    PairSums pair[PAIRS];
    PairLoss all[PAIRS], one[PAIRS];
    fill(pair, test_seed(), 7);
    const PreferenceLoss sum = named("0.8 sigmoid+0.25*aot + sft +2e-1 kto_pair", "0.1");
    const double weight[] = {0.8, 0.25, 1, 0.2};
    static const char *const name[] = {"sigmoid", "aot", "sft", "kto_pair"};
    double expected = 0, slope = 0, found = mean_of(&sum, PAIRS, pair, all);
    assert_int_equal(sum.terms, 4);
    for (size_t t = 0; t < 4; t++) {
        const PreferenceLoss part = named(name[t], "0.1");
        expected += weight[t] * mean_of(&part, PAIRS, pair, one);
        slope += weight[t] * one[3].d_policy[0];
        for (size_t i = 0; i < PAIRS; i++) assert_true(all[i].term[t] == one[i].loss);
    }
    assert_true(fabs(found - expected) < 1e-13 && fabs(slope - all[3].d_policy[0]) < 1e-14);
}

/* Which pairs are a batch matters where pairs are joined, and only there. */
static void joined_pairs_are_known(void **state) {
    (void)state;
    PairSums pair[PAIRS];
    PairLoss out[PAIRS];
    fill(pair, test_seed(), 8);
    pair[0].policy[0] += 100, pair[1].reference[0] += 100; // ranks differ
    for (size_t r = 0; r < preference_loss_count; r++) {
        const PreferenceLoss loss = named(preference_losses[r].name, "0.1");
        Error error;
        double whole = 0, parts = 0, tokens = 7;
        assert_int_equal(preference_loss(&loss, PAIRS, pair, tokens, out, &error), 0);
        for (size_t i = 0; i < PAIRS; i++) whole += out[i].loss;
        for (size_t i = 0; i < PAIRS; i++) {
            assert_int_equal(preference_loss(&loss, 1, &pair[i], tokens, out, &error), 0);
            parts += out[0].loss;
        }
        if (preference_loss_joins_pairs(&loss) != (fabs(whole - parts) > 1e-9 * fabs(whole)))
            fail_msg("%s: %.12g of a batch, %.12g of its pairs", preference_losses[r].name, whole, parts);
        assert_true(preference_loss_has_batches(&loss) || !preference_loss_joins_pairs(&loss));
    }
    const PreferenceLoss simpo = named("simpo + sft", "0"), sft = named("sft", "0"),
                         both = named("simpo + sigmoid", "0");
    assert_true(preference_loss_is_reference_free(&simpo));
    assert_false(preference_loss_is_reference_free(&sft));
    assert_false(preference_loss_is_reference_free(&both));
}

static void ld_alpha_weighs_what_is_longer(void **state) {
    (void)state;
    const float logprob[5] = {-1, -2, -4, -8, -16};
    PreferenceLoss loss = preference_loss_sigmoid(0.1, 0);
    assert_true(preference_loss_sum(&loss, logprob, 5, 2) == -31);
    loss.ld_alpha = 0.5;
    assert_true(preference_loss_sum(&loss, logprob, 5, 2) == -17);
    assert_true(preference_loss_sum(&loss, logprob, 5, 5) == -31);
}

static void refuses(const char *const *set, size_t sets, const char *message) {
    PreferenceLoss loss;
    Error error = {0};
    if (create(&loss, set, sets, &error) == 0) fail_msg("accepted: %s", set[0]);
    if (strncmp(error.message, message, strlen(message)) != 0) fail_msg("%s\n  instead of\n%s", error.message, message);
    assert_int_equal(error.code, ERROR_USAGE);
}

#define REFUSES(message, ...)                                                                                          \
    refuses((const char *[]){__VA_ARGS__}, sizeof((const char *[]){__VA_ARGS__}) / sizeof(const char *), message)

static void wrong_settings_are_named(void **state) {
    (void)state;
    REFUSES("train.loss: there is no loss \"sigmod\"; there are sigmoid, cdpo, robust, hinge, ipo, ",
            "train.loss=sigmod");
    REFUSES("train.loss is \"0.5 sigmoid + 1.5.e\" where a loss", "train.loss=0.5 sigmoid + 1.5.e");
    REFUSES("train.loss is \"0.5\" where a loss or a weighted sum of losses was expected, such as sigmoid or",
            "train.loss=0.5");
    REFUSES("train.loss is \"sigmoid +\" where a loss", "train.loss=sigmoid +");
    REFUSES("train.loss is \"1e999 sft\" where a loss", "train.loss=1e999 sft");
    REFUSES("train.loss: there is no loss \"0x2\"; there are", "train.loss=0x2 sft");
    REFUSES("train.loss is \"sigmoid, sft\": a + was expected before \", sft\"", "train.loss=sigmoid, sft");
    REFUSES("train.loss has more than 8 terms", "train.loss=sft+sft+sft+sft+sft+sft+sft+sft+sft");
    REFUSES("train.loss exo_pair needs train.label_smoothing above 0: its paper uses 1e-3", "train.loss=exo_pair");
    REFUSES(
        "train.f_divergence other than reverse_kl does not go with the loss \"nca_pair\"; it goes with sigmoid, cdpo, "
        "robust, hinge, ipo, exo_pair, sigmoid_norm, discopop, sft",
        "train.loss=sft + nca_pair", "train.f_divergence=forward_kl");
    REFUSES(
        "train.use_weighting weighs pairs, and has nothing to weigh in the loss \"aot\"; it goes with sigmoid, cdpo,",
        "train.loss=aot", "train.use_weighting=true");
    REFUSES("train.use_weighting weighs pairs, and has nothing to weigh in the loss \"sft\"",
            "train.loss=sigmoid + 0.1 sft", "train.use_weighting=true");
}

/* TRL 1.x does not smooth sigmoid; cdpo is the loss that says so. */
static void parity_takes_the_smoothing_from_sigmoid(void **state) {
    (void)state;
    const PairSums pair = {{1.2, -0.7}, {0, 0}, 1.2, {5, 8}, 1, 0};
    PairLoss out;
    PreferenceLoss loss = made((const char *[]){"parity=trl-1.x", "train.label_smoothing=0.1"}, 2);
    assert_true(fabs(mean_of(&loss, 1, &pair, &out) - .602652909) < 1e-9);
    loss = made((const char *[]){"parity=trl-1.x", "train.label_smoothing=0.1", "train.loss=cdpo"}, 3);
    assert_true(fabs(mean_of(&loss, 1, &pair, &out) - .621652909) < 1e-9);
}

/* docs/losses.md is the reference; DICE_WRITE_DOCS=1 writes it anew. */
static void the_documentation_is_the_reference(void **state) {
    (void)state;
    Buffer out = {0};
    Error error = {0};
    FileMap map;
    preference_loss_reference(&out);
    assert_false(out.failed);
    for (size_t r = 0; r < preference_loss_count; r++) {
        char title[64];
        snprintf(title, sizeof title, "\n**%s**", preference_losses[r].name);
        assert_non_null(strstr(out.data, title));
        assert_non_null(strstr(out.data, preference_losses[r].formula));
        assert_true((preference_losses[r].pair == NULL) == (preference_losses[r].input == LOSS_OF_BATCHES));
        for (size_t k = 0; k < r; k++) assert_string_not_equal(preference_losses[k].name, preference_losses[r].name);
    }
    if (getenv("DICE_WRITE_DOCS") != NULL)
        assert_int_equal(file_write("docs/losses.md", out.data, out.size, &error), 0);
    if (file_map(&map, "docs/losses.md", &error) != 0) fail_msg("%s", error.message);
    if (map.size != out.size || memcmp(map.data, out.data, out.size) != 0)
        fail_msg("docs/losses.md is out of date; DICE_WRITE_DOCS=1 build/tests/test_preference_loss writes it");
    file_unmap(&map);
    buffer_free(&out);
}

/* A doubted pair: the values both ways round in these shares, for every loss whose pairs have a value of their own, and
 * slopes that are the value's. A doubt of 1 is the pair turned round; sft knows none. */
static void a_doubted_pair_counts_both_ways(void **state) {
    (void)state;
    for (size_t row = 0; row < preference_loss_count; row++) {
        if (preference_losses[row].input == LOSS_OF_BATCHES) continue;
        PreferenceLoss loss = preference_loss_sigmoid(0.1, 0.05);
        loss.term[0].row = &preference_losses[row];
        loss.knobs.discopop_tau = 0.05, loss.knobs.simpo_gamma = 0.5;
        PairSums pair = {{-9.2, -12.7}, {-10, -12}, -9.2, {5, 8}, 1, 0},
                 turned = {{-12.7, -9.2}, {-12, -10}, -12.7, {8, 5}, 1, 0};
        PairLoss out;
        double there = mean_of(&loss, 1, &pair, &out), back = mean_of(&loss, 1, &turned, &out);
        pair.doubt = 0.3;
        double found = mean_of(&loss, 1, &pair, &out), slope = out.d_policy[0];
        bool sft = preference_losses[row].input == LOSS_OF_TOKEN_MEANS;
        if (fabs(found - (sft ? there : 0.7 * there + 0.3 * back)) > 1e-12 * fabs(found) + 1e-14)
            fail_msg("%s: %.17g", preference_losses[row].name, found);
        pair.policy[0] += 1e-5;
        double up = mean_of(&loss, 1, &pair, &out);
        pair.policy[0] -= 2e-5;
        double down = mean_of(&loss, 1, &pair, &out);
        if (fabs((up - down) / 2e-5 - slope) > 1e-6 * (1 + fabs(slope)))
            fail_msg("%s: slope %g, differences say %g", preference_losses[row].name, slope, (up - down) / 2e-5);
        assert_true(sft || back == there || found != there); // planted: without doubt
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_doubted_pair_counts_both_ways),

        cmocka_unit_test(golden_values),
        cmocka_unit_test(gradients_are_the_slopes),
        cmocka_unit_test(agrees_with_trl),
        cmocka_unit_test(stays_finite_far_out),
        cmocka_unit_test(terms_add_up),
        cmocka_unit_test(joined_pairs_are_known),
        cmocka_unit_test(ld_alpha_weighs_what_is_longer),
        cmocka_unit_test(wrong_settings_are_named),
        cmocka_unit_test(parity_takes_the_smoothing_from_sigmoid),
        cmocka_unit_test(the_documentation_is_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
