/* dpo_loss.h - the preference loss of one pair and its gradient.
 *
 *   u = log pi(y|x) - log ref(y|x), summed over response tokens      D = u_chosen - u_rejected
 *   loss = -(1 - e) log sigmoid(beta D) - e log sigmoid(-beta D)     e = label smoothing (cDPO)
 * Everything is in double: a loss is a small difference of large sums. The gradient is that with respect to the summed
 * log-prob of each response; a token's log-prob has the same one.
 * Source: Rafailov et al., arXiv 2305.18290, eq. 7; label smoothing: Mitchell, "A note on DPO with noisy preferences".
 */
#pragma once
#include <stddef.h>

typedef struct {
    double beta;            // > 0
    double label_smoothing; // 0 <= e < 0.5
} DpoSettings;

typedef struct {
    double chosen, rejected;                     // summed log-probs of the policy, nats
    double reference_chosen, reference_rejected; // of the loss reference
} PairLogprobs;

typedef struct {
    double loss;
    double d_chosen, d_rejected; // d loss / d summed policy log-prob
} PairLoss;

PairLoss dpo_loss(const DpoSettings *settings, const PairLogprobs *pair);

/* Means over pairs under the names that TRL logs. rewards are beta u; accuracy counts strict > only. */
typedef struct {
    double loss, rewards_chosen, rewards_rejected, rewards_accuracies, rewards_margins, logps_chosen, logps_rejected;
} DpoMetrics;

DpoMetrics dpo_loss_metrics(const DpoSettings *settings, const PairLogprobs *pair, size_t n); // n >= 1
