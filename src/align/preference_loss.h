/* preference_loss.h - the loss of preference pairs: a weighted sum of rows of a table, each with its gradient.
 *
 * A loss is one row of `preference_losses` (preference_loss_table.c): a name, a function that gives value and slope in
 * double, and what that function reads. Everything around it is the same for all of them and written once here:
 *
 *   pi, ref   log-probs of a response, summed over its n tokens; with LD-DPO those beyond the pair's shorter response
 *             count ld_alpha (sft reads plain sums)
 *   u = pi - ref                        the log-ratio
 *   s = u                               reverse_kl: the score
 *       1 - exp(-u)                     forward_kl
 *       ln 2 + log sigmoid(u)           js_divergence
 *       (exp((a-1) u) - 1) / (a-1)      alpha_divergence, a = f_alpha; a = 1 is reverse_kl
 *   loss = mean over pairs of w sum over terms of weight * value(inputs)
 *           value becomes (1 - doubt) value(chosen, rejected) + doubt value(rejected, chosen) where a pair is doubted;
 *           sft and losses that join pairs know no doubt
 *   w = exp(mean over the chosen tokens of (log p - ln sum p^2) + the same of the rejected ones)   WPO; a constant
 *
 * All in double: a loss is a small difference of large sums. Gradients are the slopes of the values [PL-1], in
 * exact arithmetic those of TRL 1.16 [PL-2].
 * Sources: f-divergences Wang et al., arXiv 2309.16240; LD-DPO Liu et al., 2409.06411; WPO Zhou et al., 2406.11827; the
 * rows name their own. Claims: tests/unit/test_preference_loss.c. */
#pragma once
#include "base/buffer.h"
#include "base/log.h"
#include "formats/recipe.h"

enum { LOSS_TERMS_MAX = 8 };

/* What the value function of a row reads, of the chosen and of the rejected response. */
typedef enum {
    LOSS_OF_SCORES,             // s
    LOSS_OF_SCORES_PER_TOKEN,   // s / n
    LOSS_OF_LOG_RATIOS,         // u
    LOSS_OF_LOGPROBS_PER_TOKEN, // pi / n: needs no reference
    LOSS_OF_TOKEN_MEANS,        // pi / mean n of the batch's chosen responses: a mean over tokens; needs no reference
    LOSS_OF_BATCHES             // pi and ref of every pair of the batch: `batch` instead of `pair`
} LossInput;

typedef struct {
    double value, d_chosen, d_rejected; // slopes with respect to the inputs
} LossValue;

typedef struct {
    double beta, label_smoothing; // > 0; 0 <= e < 0.5
    double discopop_tau, simpo_gamma;
    bool sigmoid_ignores_smoothing; // TRL 1.x
} LossKnobs;

/* One pair as losses see it; index 0: chosen, 1: rejected. */
typedef struct {
    double policy[2], reference[2]; // pi and ref; reference is not read where no term needs it
    double logprob_chosen;          // plain sum
    double tokens[2];               // n >= 1
    double weight;                  // w; 1 without WPO
    double doubt;                   // share of the pair's loss that takes it the other way round; 0: none
} PairSums;

typedef struct {
    double key;
    size_t index;
} LossRank; // scratch for sorting

typedef struct {
    const char *name, *metric; // "ipo"; "loss/ipo", the name of its value where several losses are summed
    LossInput input;
    LossValue (*pair)(const LossKnobs *knobs, double chosen, double rejected);
    /* Of n pairs: the batch's loss is the mean of the values; slopes are n d loss / d policy. scratch: (2 n). */
    void (*batch)(const LossKnobs *knobs, size_t n, const PairSums *pair, LossRank *scratch, LossValue *value);
    bool needs_smoothing; // label_smoothing > 0
    const char *formula, *source, *use;
} PreferenceLossRow;

extern const PreferenceLossRow preference_losses[];
extern const size_t preference_loss_count;

typedef struct {
    const PreferenceLossRow *row;
    double weight;
} LossTerm;

typedef struct {
    LossKnobs knobs;
    LossTerm term[LOSS_TERMS_MAX];
    size_t terms;
    RecipeDivergence divergence;
    double f_alpha, ld_alpha; // ld_alpha 1: off
    bool use_weighting;
} PreferenceLoss;

/* From `train` and `parity` of a recipe; what parity changes goes to the log. ERROR_USAGE: a term that is no loss, or
 * settings that do not go together; the message names what is allowed. */
int preference_loss_create(PreferenceLoss *loss, const Recipe *recipe, const Log *log, Error *error);
/* Sigmoid alone, with label smoothing: DPO and cDPO. */
PreferenceLoss preference_loss_sigmoid(double beta, double label_smoothing);

/* Whether a pair's loss depends on the other pairs' log-probs; whether it depends on which pairs its batch has. */
bool preference_loss_joins_pairs(const PreferenceLoss *loss);
bool preference_loss_has_batches(const PreferenceLoss *loss);
/* Whether the reference counts for nothing: rewards are then beta pi / n. */
bool preference_loss_is_reference_free(const PreferenceLoss *loss);

typedef struct {
    double loss, term[LOSS_TERMS_MAX]; // of the pair: sum, and each term without its weight
    double d_policy[2];                // d loss / d policy
    double d_logprob_chosen;           // d loss / d logprob_chosen
} PairLoss;

/* Losses of n pairs: of a whole batch, or of a part of one where pairs are not joined. mean_tokens: mean n of the
 * chosen responses of the whole batch. The batch's loss is the mean of the pairs', so a batch of N has d loss / d
 * policy = d_policy / N. */
int preference_loss(const PreferenceLoss *loss, size_t n, const PairSums *pair, double mean_tokens, PairLoss *out,
                    Error *error);

/* pi of a response of n tokens, `shared` the length of the pair's shorter one: ld_alpha weighs what is beyond that. */
double preference_loss_sum(const PreferenceLoss *loss, const float *logprob, size_t n, size_t shared);

/* beta u, as TRL logs it whatever the loss; beta pi / n where there is no reference. branch 0: chosen, 1: rejected. */
double preference_loss_reward(const PreferenceLoss *loss, const PairSums *pair, int branch);

/* Appends the reference of all losses as Markdown: docs/losses.md and `dice help losses`. */
void preference_loss_reference(Buffer *out);
