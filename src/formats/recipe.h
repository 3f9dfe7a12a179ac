/* recipe.h - what a run shall do: one YAML file of two levels, top-level keys and groups of keys.
 *
 * The lists below are the schema. Each line is one key: its C type and name, its default as it would stand in the file,
 * the kind and range of its values, whether it decides results, and what it means. Struct, parser, defaults, canonical
 * text, `--set`, and the printed reference all come from these lines, so they cannot disagree.
 *
 *   FIXED  decides results: it is part of the canonical text, and a run directory belongs to one canonical text.
 *   FREE   decides how fast, where or how much is shown, or extends a run (rounds): it may change when a run continues.
 *
 * Unknown and duplicate keys, values of another type or out of range, YAML tags, anchors and aliases (hence alias
 * bombs), a second document, text that is not UTF-8 and files over 1 MiB are ERROR_USAGE [RC-1]; the message names
 * file, line, column and key, and for an unknown key the nearest known one [RC-2]. An empty value (`key:` or `key: ~`)
 * leaves the default. `--set a.b=value` means what `b: value` in group a of the file means and wins over it [RC-3].
 * Relative paths, from the file or from --set, are relative to the directory of the recipe file [RC-4].
 * Memory: recipe_load fills a Recipe that recipe_free ends; the strings inside belong to it.
 * Claims: [RC-n] are checked by tests/unit/test_recipe.c. */
#pragma once
#include "base/buffer.h"
#include "base/error.h"
#include "formats/peft_adapter.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The choices stand in the order of their ONE_OF below. */
typedef enum { RECIPE_PRECISION_AUTO, RECIPE_PRECISION_BFLOAT16, RECIPE_PRECISION_FLOAT32 } RecipePrecision;
typedef enum { RECIPE_CHAT_AUTO, RECIPE_CHAT_ALWAYS, RECIPE_CHAT_NEVER } RecipeChat;
typedef enum { RECIPE_OVERLONG_DROP, RECIPE_OVERLONG_KEEP_START, RECIPE_OVERLONG_KEEP_END } RecipeOverlong;
typedef enum { RECIPE_REFERENCE_PREVIOUS, RECIPE_REFERENCE_INITIAL } RecipeReference;
typedef enum { RECIPE_ALPHA_EXACT, RECIPE_ALPHA_GRID, RECIPE_ALPHA_FIXED } RecipeAlpha;
typedef enum { RECIPE_SCORE_SAME, RECIPE_SCORE_FLOAT32, RECIPE_SCORE_BFLOAT16 } RecipeScorePrecision;
typedef enum { RECIPE_RESPONSE_END_STOP_TOKEN, RECIPE_RESPONSE_END_TEMPLATE } RecipeResponseEnd;
typedef enum { RECIPE_SCHEDULE_CONSTANT, RECIPE_SCHEDULE_LINEAR, RECIPE_SCHEDULE_COSINE } RecipeSchedule;
typedef enum { RECIPE_NORM_EXACT, RECIPE_NORM_FLOAT32 } RecipeNorm;
typedef enum { RECIPE_TOKENS_SAMPLED, RECIPE_TOKENS_STRIPPED } RecipeTokens;
typedef enum {
    RECIPE_SELECT_BEST_WORST,
    RECIPE_SELECT_MEAN_2SD,
    RECIPE_SELECT_RANDOM,
    RECIPE_SELECT_ANCHORED
} RecipeSelect;
typedef enum { RECIPE_SOFT_LABEL_NONE, RECIPE_SOFT_LABEL_PROMPT, RECIPE_SOFT_LABEL_ROUND } RecipeSoftLabel;
typedef enum { RECIPE_PARITY_NONE, RECIPE_PARITY_TRL_1, RECIPE_PARITY_DICE } RecipeParity;
typedef enum { RECIPE_WEIGHTED_ALL, RECIPE_WEIGHTED_OFFLINE } RecipeWeighted;
typedef enum {
    RECIPE_DIVERGENCE_REVERSE_KL,
    RECIPE_DIVERGENCE_FORWARD_KL,
    RECIPE_DIVERGENCE_JS_DIVERGENCE,
    RECIPE_DIVERGENCE_ALPHA_DIVERGENCE
} RecipeDivergence;
typedef enum { RECIPE_DTYPE_AUTO, RECIPE_DTYPE_FLOAT32, RECIPE_DTYPE_BFLOAT16 } RecipeDtype;

typedef struct {
    char **item; // (count)
    size_t count;
} RecipeList;

/* A data set in several files; of each row, `weight` copies are taken. */
typedef struct {
    char *path;
    double weight; // > 0
} RecipeSource;

typedef struct {
    RecipeSource *item; // (count)
    size_t count;
} RecipeSources;

/* X(group, type, key, default or NULL, kind and range, FIXED or FREE, meaning). Kinds:
 *   PATH, NEEDED_PATH   char *, NULL where not given     TEXT   char *, never NULL     LIST   RecipeList of texts
 *   SOURCES             RecipeSources: a path, or a list of paths and of {path: PATH, weight: NUMBER}
 *   WHOLE(low, high)    size_t or uint64_t               FLAG   bool                   ONE_OF("a|b")   an enum above
 *   REAL(low, high) ABOVE(low, high) BELOW(low, high)    double; ABOVE excludes low, BELOW excludes high */
// clang-format off
#define RECIPE_TOP(X, group) \
    X(group, char *, model, NULL, NEEDED_PATH, FIXED, \
      "the model to start from, pi(0): a Hugging Face directory or a .gguf file") \
    X(group, char *, reference, NULL, PATH, FIXED, \
      "what `model` was DPO-trained against, pi(-1); without it round 0 runs first: plain DPO on " \
      "`data.offline`, starting from `model`") \
    X(group, char *, output, NULL, NEEDED_PATH, FREE, "the run directory: everything the run produces") \
    X(group, size_t, rounds, "2", WHOLE(0, 1000), FREE, \
      "DICE rounds, after round 0 where there is one; may be raised to continue a finished run") \
    X(group, uint64_t, seed, "0", WHOLE(0, UINT64_MAX), FIXED, "of every random draw") \
    X(group, size_t, threads, "0", WHOLE(0, 4096), FREE, \
      "processor threads; 0: all cores. Results do not depend on it") \
    X(group, RecipePrecision, precision, "auto", ONE_OF("auto|bfloat16|float32"), FIXED, \
      "of matrix products; auto: bfloat16 where the processor is faster with it") \
    X(group, RecipeParity, parity, "none", ONE_OF("none|trl-1.x|dice"), FIXED, \
      "does as another program does where that differs from our way, and says in the log which keys it sets for " \
      "that: TRL's DPOTrainer 1.x, or the scripts of the DICE paper")

#define RECIPE_DATA(X, group) \
    X(group, RecipeSources, offline, NULL, SOURCES, FIXED, \
      "preference pairs D_off: JSON lines or a JSON array, also as .gz. Of several files, `weight: 2` takes each " \
      "pair twice, `weight: 0.3` about 3 of 10, drawn from the seed") \
    X(group, char *, prompts, NULL, PATH, FIXED, "prompts to sample for; without it: the prompts of `data.offline`") \
    X(group, char *, validation, NULL, PATH, FIXED, "held-out preference pairs") \
    X(group, size_t, validation_pairs, "0", WHOLE(0, 1000000000), FIXED, \
      "pairs taken out of `data.offline` for validation where `data.validation` is not given") \
    X(group, RecipeChat, chat, "auto", ONE_OF("auto|always|never"), FIXED, \
      "whether plain-text rows become a user and an assistant turn of the model's chat template; auto: when" \
      " it has one") \
    X(group, char *, system, "", TEXT, FIXED, "system message for conversations that have none") \
    X(group, size_t, max_tokens, "4096", WHOLE(2, 16777216), FIXED, \
      "longest prompt + response, in tokens; capped by the model's context") \
    X(group, RecipeOverlong, overlong, "drop", ONE_OF("drop|keep_start|keep_end"), FIXED, \
      "what happens to an offline pair that is longer: left out; its responses lose their ends, end token among " \
      "them; or its prompt loses its beginning") \
    X(group, size_t, max_prompt_tokens, "0", WHOLE(0, 16777216), FIXED, "longest prompt, in tokens; 0: no limit") \
    X(group, RecipeOverlong, overlong_prompt, "drop", ONE_OF("drop|keep_start|keep_end"), FIXED, \
      "what happens to a prompt that is longer: left out, or only its first or last tokens stay") \
    X(group, bool, deduplicate, "false", FLAG, FIXED, \
      "leaves out pairs whose prompt and answers are there already; they are counted in any case") \
    X(group, bool, keep_all, "false", FLAG, FIXED, \
      "keeps rows with an empty answer, or with equal ones, which teach nothing but their end tokens")

#define RECIPE_SAMPLE(X, group) \
    X(group, size_t, responses, "16", WHOLE(2, 1024), FIXED, "responses to each prompt, K") \
    X(group, size_t, max_new_tokens, "2048", WHOLE(1, 16777216), FIXED, "tokens after which a response is cut") \
    X(group, double, temperature, "0.9", REAL(0, 100), FIXED, "divides the logits; 0: always the likeliest token") \
    X(group, double, top_p, "1", ABOVE(0, 1), FIXED, \
      "only the likeliest tokens that together have this probability; 1: off") \
    X(group, size_t, top_k, "0", WHOLE(0, 16777216), FIXED, "only this many likeliest tokens; 0: off") \
    X(group, double, min_p, "0", BELOW(0, 1), FIXED, \
      "only tokens with at least this share of the likeliest one's probability; 0: off") \
    X(group, double, repetition_penalty, "1", ABOVE(0, 100), FIXED, \
      "logits of tokens already in the text are divided (positive) or multiplied (negative) by it; 1: off") \
    X(group, RecipeList, stop, "[]", LIST, FIXED, "tokens that end a response, as texts or ids; []: the model's own") \
    X(group, RecipeTokens, tokens, "sampled", ONE_OF("sampled|stripped"), FIXED, \
      "what is scored and trained on: the tokens as they were sampled, or those of the stripped text encoded again, " \
      "as between programs that pass texts; every log-prob is then computed again") \
    X(group, size_t, branches, "64", WHOLE(1, 65536), FREE, "responses in flight at a time: speed and memory") \
    X(group, bool, all, "false", FLAG, FIXED, "sample every prompt, even where the mix needs fewer") \
    X(group, double, spare, "0.15", REAL(0, 100), FIXED, \
      "extra share of prompts sampled to replace those that the filters drop")

#define RECIPE_FILTER(X, group) \
    X(group, size_t, above_chars, "3", WHOLE(0, 1000000000), FIXED, \
      "a response must have more characters (code points) than this") \
    X(group, size_t, below_chars, "6700", WHOLE(1, 1000000000), FIXED, \
      "a response must have fewer characters than this") \
    X(group, size_t, min_responses, "8", WHOLE(2, 1024), FIXED, \
      "a prompt with fewer responses left is dropped; capped at `sample.responses`")

#define RECIPE_REWARD(X, group) \
    X(group, RecipeReference, reference, "previous", ONE_OF("previous|initial"), FIXED, \
      "the model below the log-ratio: that of the round before, or always pi(-1)") \
    X(group, RecipeAlpha, alpha, "exact", ONE_OF("exact|grid|fixed"), FIXED, \
      "the charge for length: solved exactly, searched in steps of 0.001 from 0, or `reward.alpha_value`") \
    X(group, double, alpha_value, "0", REAL(0, 1000), FIXED, "for `alpha: fixed`, in nats per character") \
    X(group, RecipeScorePrecision, precision, "same", ONE_OF("same|float32|bfloat16"), FIXED, \
      "of scoring; same: as the top-level `precision`") \
    X(group, RecipeResponseEnd, response_end, "stop_token", ONE_OF("stop_token|template"), FIXED, \
      "a response is counted up to its stop token, or with what the chat template puts after it") \
    X(group, double, audit_share, "0.01", REAL(0, 1), FIXED, \
      "share of the responses whose log-probs from sampling are computed again and compared") \
    X(group, double, audit_threshold, "0.5", REAL(0, 1000000), FIXED, \
      "mean absolute difference, in nats per response, above which everything is rescored") \
    X(group, double, min_gap_noise, "0", REAL(0, 1000000), FIXED, \
      "drops pairs whose reward gap is below this multiple of the measured noise; 0: off")

#define RECIPE_PAIRS(X, group) \
    X(group, RecipeSelect, select, "best_worst", ONE_OF("best_worst|mean_2sd|random|anchored"), FIXED, \
      "best and worst; best and the one nearest to mean - 2 sd; two at random; or, from round 2 on, best and the " \
      "rejected one of round 1, sampled from pi(0)") \
    X(group, double, band_low, "0", BELOW(0, 1), FIXED, "share of the pairs with the smallest gaps that is left out") \
    X(group, double, band_high, "1", ABOVE(0, 1), FIXED, \
      "share of the pairs, in the order of their gaps, behind which the others are left out") \
    X(group, RecipeSoftLabel, soft_label, "none", ONE_OF("none|prompt|round"), FIXED, \
      "confidence in pairs, from round 2 on: how far this and the previous round's reward rank the responses alike, " \
      "of each prompt or on average")

#define RECIPE_MIX(X, group) \
    X(group, double, gamma, "0.5", REAL(0, 1), FIXED, "share of offline pairs in a round's training data")

#define RECIPE_TRAIN(X, group) \
    X(group, char *, loss, "sigmoid", TEXT, FIXED, \
      "the loss of pairs, or a weighted sum such as `sigmoid + 0.2 sft`; `dice help losses` explains them all") \
    X(group, double, beta, "0.1", ABOVE(0, 1000), FIXED, "of the loss: strength of the tie to the reference") \
    X(group, double, label_smoothing, "0", BELOW(0, 0.5), FIXED, \
      "assumed share of swapped pairs, for the losses that have e in their formula (conservative DPO)") \
    X(group, RecipeDivergence, f_divergence, "reverse_kl", \
      ONE_OF("reverse_kl|forward_kl|js_divergence|alpha_divergence"), FIXED, \
      "how a log-ratio becomes a score (f-DPO)") \
    X(group, double, f_alpha, "0.5", REAL(-100, 100), FIXED, "alpha of the alpha_divergence; 1 is reverse_kl") \
    X(group, double, ld_alpha, "1", REAL(0, 1), FIXED, \
      "what tokens beyond the pair's shorter response count (LD-DPO); 1: as much as the others") \
    X(group, bool, use_weighting, "false", FLAG, FIXED, "weighs pairs by how likely the policy finds them (WPO)") \
    X(group, RecipeWeighted, weighted_pairs, "all", ONE_OF("all|offline"), FIXED, \
      "which pairs `train.use_weighting` weighs; offline: those sampled in the round keep weight 1") \
    X(group, double, discopop_tau, "0.05", ABOVE(0, 1000), FIXED, "of the loss discopop: width of its switch") \
    X(group, double, simpo_gamma, "0.5", REAL(0, 1000), FIXED, "of the loss simpo: margin to be won by") \
    X(group, size_t, loss_pairs, "0", WHOLE(0, 1000000), FIXED, \
      "pairs whose loss is computed together where they depend on each other (sft, aot, kto_pair): TRL's " \
      "micro-batch; 0: those of a step") \
    X(group, bool, log_logits, "false", FLAG, FIXED, \
      "logs also entropy, mean_token_accuracy and logits/chosen, logits/rejected as TRL does: means over the " \
      "response tokens of `train.loss_pairs` pairs") \
    X(group, double, learning_rate, "5e-7", ABOVE(0, 1), FIXED, "of AdamW, at its peak") \
    X(group, RecipeSchedule, schedule, "constant", ONE_OF("constant|linear|cosine"), FIXED, \
      "of the learning rate after the warm-up: constant, or falling to 0") \
    X(group, size_t, warmup_steps, "0", WHOLE(0, 1000000000), FIXED, "steps in which the learning rate rises from 0") \
    X(group, size_t, steps, "0", WHOLE(0, 1000000000), FIXED, "optimizer steps of a round; 0: by `train.epochs`") \
    X(group, double, epochs, "1", ABOVE(0, 10000), FIXED, "passes over a round's pairs, where `train.steps` is 0") \
    X(group, size_t, pairs_per_step, "32", WHOLE(1, 1000000), FIXED, "pairs of one optimizer step") \
    X(group, size_t, micro_tokens, "4096", WHOLE(1, 1073741824), FIXED, \
      "tokens of one forward and backward pass: speed, memory, and the order of sums") \
    X(group, double, weight_decay, "0", REAL(0, 1), FIXED, "of AdamW, decoupled") \
    X(group, double, adam_beta1, "0.9", BELOW(0, 1), FIXED, "decay of AdamW's first moment") \
    X(group, double, adam_beta2, "0.999", BELOW(0, 1), FIXED, "decay of AdamW's second moment") \
    X(group, double, adam_eps, "1e-8", ABOVE(0, 1), FIXED, "added to the root of AdamW's second moment") \
    X(group, double, clip_norm, "1", REAL(0, 1000000), FIXED, "largest norm of the gradient; 0: off") \
    X(group, RecipeNorm, gradient_norm, "exact", ONE_OF("exact|float32"), FIXED, \
      "how the gradient's norm is added up: in double, or as torch does, in float32, which loses 1e-5 to 1e-4 of " \
      "it on large matrices") \
    X(group, bool, checkpoint_activations, "false", FLAG, FREE, "computes activations twice to save memory") \
    X(group, size_t, validate_every, "0", WHOLE(0, 1000000000), FREE, \
      "steps between validations; 0: only at the end of a round") \
    X(group, size_t, checkpoint_every, "50", WHOLE(0, 1000000000), FREE, \
      "steps between checkpoints; 0: only at the end of a round")

#define RECIPE_LORA(X, group) \
    X(group, size_t, r, "0", WHOLE(0, 4096), FIXED, \
      "rank of the adapter that is trained in place of the weights; 0: all weights are trained") \
    X(group, double, alpha, "16", ABOVE(0, 1000000), FIXED, "what the adapter adds is multiplied by alpha / r") \
    X(group, bool, rslora, "false", FLAG, FIXED, "multiplied by alpha / sqrt(r) instead (rank-stabilised)") \
    X(group, double, dropout, "0", BELOW(0, 1), FIXED, \
      "share of the adapter's inputs that a training pass leaves out, the others grown to make up for it") \
    X(group, RecipeList, target_modules, "[]", LIST, FIXED, \
      "linear layers with an adapter, of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj; []: all of" \
      " them") \
    X(group, char *, adapter, NULL, PATH, FIXED, \
      "a PEFT directory: the adapter of `model` to start with; rank, alpha and modules are then its own")

#define RECIPE_ROUND0(X, group) \
    X(group, double, learning_rate, "0", REAL(0, 1), FIXED, "as `train.learning_rate`, for round 0; 0: the same") \
    X(group, size_t, steps, "0", WHOLE(0, 1000000000), FIXED, "as `train.steps`, for round 0; 0: the same") \
    X(group, double, epochs, "0", REAL(0, 10000), FIXED, "as `train.epochs`, for round 0; 0: the same") \
    X(group, size_t, pairs_per_step, "0", WHOLE(0, 1000000), FIXED, \
      "as `train.pairs_per_step`, for round 0; 0: the same")

#define RECIPE_REPORT(X, group) \
    X(group, size_t, show, "3", WHOLE(0, 1000), FREE, \
      "prompts that the report answers with the model before and after") \
    X(group, size_t, show_tokens, "128", WHOLE(1, 16777216), FREE, "longest such answer, in tokens") \
    X(group, size_t, prompts, "64", WHOLE(0, 1000000), FREE, \
      "held-out prompts that every model answers once at temperature 1: mean length, stop rate, KL to the start")

#define RECIPE_EXPORT(X, group) \
    X(group, RecipeDtype, dtype, "auto", ONE_OF("auto|float32|bfloat16"), FIXED, \
      "of the weights in the checkpoints of finished rounds; auto: as the model came") \
    X(group, size_t, shard_bytes, "5000000000", WHOLE(1000000, 1000000000000), FREE, \
      "largest safetensors file; a checkpoint over it is split")

/* G(group, its keys, meaning), in the order of the canonical text and of the reference. */
#define RECIPE_GROUPS(G) \
    G(data, RECIPE_DATA, "what is learnt from") \
    G(sample, RECIPE_SAMPLE, "how responses are drawn") \
    G(filter, RECIPE_FILTER, "which responses may become a pair") \
    G(reward, RECIPE_REWARD, "how responses are ranked") \
    G(pairs, RECIPE_PAIRS, "which responses become a pair, and how far it is trusted (docs/pairs.md)") \
    G(mix, RECIPE_MIX, "generated and offline pairs") \
    G(train, RECIPE_TRAIN, "how a round is trained") \
    G(lora, RECIPE_LORA, "training a low-rank adapter (LoRA) on frozen weights") \
    G(round0, RECIPE_ROUND0, "what round 0 (plain DPO on the offline pairs) does differently") \
    G(report, RECIPE_REPORT, "what the report shows") \
    G(export, RECIPE_EXPORT, "the checkpoints of finished rounds")
// clang-format on

#define RECIPE_FIELD(group, type, key, initial, range, effect, meaning) type key;
#define RECIPE_STRUCT(group, keys, meaning)                                                                            \
    struct {                                                                                                           \
        keys(RECIPE_FIELD, group)                                                                                      \
    } group;

typedef struct {
    RECIPE_TOP(RECIPE_FIELD, top)
    RECIPE_GROUPS(RECIPE_STRUCT)
    char *directory; // of the recipe file; relative paths start here
} Recipe;

/* Reads `path`, then applies sets[0 .. n) ("a.b=value") in order, then checks what keys ask of each other: data.offline
 * is there where it is needed, above_chars < below_chars, alpha_value only with `alpha: fixed`. ERROR_IO where the file
 * cannot be read, ERROR_USAGE where it is wrong; *recipe is then empty. */
int recipe_load(Recipe *recipe, const char *path, const char *const *sets, size_t n, Error *error);
/* The same from text in memory; `name` stands in for the file in messages, relative paths start in `directory`. */
int recipe_parse(Recipe *recipe, const char *text, size_t bytes, const char *name, const char *directory,
                 const char *const *sets, size_t n, Error *error);
/* One override; what keys ask of each other is not checked. On an error the recipe is as it was. */
int recipe_set(Recipe *recipe, const char *assignment, Error *error);
void recipe_free(Recipe *recipe); // harmless on an empty (zeroed) recipe

/* The adapter that the group lora asks for; settings->r 0: none. Reads lora.adapter's configuration; ERROR_USAGE where
 * the group asks for another rank than that, or for modules that are not known. */
int recipe_lora(const Recipe *recipe, LoraSettings *settings, Error *error);

/* Appends every FIXED key in schema order, one "group.key: value" a line. Equal recipes give equal bytes; paths under
 * the recipe's directory are relative to it, so that a project may be moved as a whole [RC-5]. */
void recipe_canonical(const Recipe *recipe, Buffer *out);
/* Appends one line for each key whose values differ, "key: OLD -> NEW"; a key that one text lacks has the value "(not
 * there)". Nothing where the texts agree [RC-6]. */
void recipe_difference(const char *old_canonical, const char *new_canonical, Buffer *out);
/* Appends the reference of all keys as Markdown: docs/recipe.md and `dice help recipe`. */
void recipe_reference(Buffer *out);
