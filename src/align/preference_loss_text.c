#include "align/preference_loss.h"

static const struct {
    const char *title, *meaning;
} inputs[] = {
    [LOSS_OF_SCORES] = {"Losses of the gap between the scores", "w and l are the scores s"},
    [LOSS_OF_SCORES_PER_TOKEN] = {"Losses of scores per token", "w and l are s / n, n the tokens of the response"},
    [LOSS_OF_LOG_RATIOS] = {"Losses of both log-ratios",
                            "w and l are the log-ratios u; only with f_divergence reverse_kl"},
    [LOSS_OF_LOGPROBS_PER_TOKEN] = {"Without a reference",
                                    "w and l are log pi / n; no reference is computed, and rewards in the metrics are "
                                    "beta log pi / n"},
    [LOSS_OF_TOKEN_MEANS] = {"On the chosen answers alone",
                             "w is log pi of the chosen response over the mean n of its batch; neither ld_alpha nor "
                             "f_divergence reaches it"},
    [LOSS_OF_BATCHES] = {"Losses of a batch",
                         "pairs depend on each other: `train.loss_pairs` of them (TRL's micro-batch; default: those of "
                         "a step) are one batch, which goes forward twice where `train.micro_tokens` cannot hold it. "
                         "Only with f_divergence reverse_kl, and without use_weighting"}};

static void append_losses(Buffer *out, LossInput input) {
    buffer_format(out, "\n## %s\n%s.\n", inputs[input].title, inputs[input].meaning);
    for (size_t i = 0; i < preference_loss_count; i++) {
        const PreferenceLossRow *row = &preference_losses[i];
        if (row->input != input) continue;
        buffer_format(out, "\n**%s**%s\n\n    %s\n\n%s. Use: %s.\n", row->name,
                      row->needs_smoothing ? " (needs `label_smoothing` above 0)" : "", row->formula, row->source,
                      row->use);
    }
}

void preference_loss_reference(Buffer *out) {
    buffer_append_text(
        out,
        "# Losses of preference pairs\n\n"
        "`train.loss` of a recipe names one, or sums several with weights (1 where none is given):\n\n"
        "    train:\n"
        "      loss: sigmoid + 0.2 sft\n"
        "      beta: 0.1\n\n"
        "The same on the command line: `dice train ... --set \"train.loss=0.8 sigmoid + 0.2 bco_pair + sft\"`. The "
        "loss\n"
        "of a step is the mean over its pairs. `dice inspect loss` evaluates losses on scored pairs, without a "
        "model.\n\n"
        "## Notation\n"
        "- pi, ref: log-prob of a response under the policy and the loss reference, summed over its n tokens, in "
        "nats.\n"
        "- u = pi - ref, the log-ratio; beta u is the reward in every logged metric, whatever the loss.\n"
        "- w, l: what the loss reads of the chosen and of the rejected response; each group below says what that is.\n"
        "- b = `train.beta`, z = b (w - l), e = `train.label_smoothing`, S(x) = 1 / (1 + exp(-x)), L(x) = ln S(x).\n"
        "- the score s of a response is u unless `train.f_divergence` says otherwise (f-DPO, Wang et al., arXiv "
        "2309.16240):\n\n"
        "| f_divergence | s |\n"
        "|---|---|\n"
        "| `reverse_kl` | u |\n"
        "| `forward_kl` | 1 - exp(-u) |\n"
        "| `js_divergence` | ln 2 + L(u) |\n"
        "| `alpha_divergence` | (exp((a-1) u) - 1) / (a-1), a = `train.f_alpha` |\n\n"
        "The constants cancel where only w - l counts; in ipo and sigmoid_norm, which divide by n first, they do "
        "not.\n\n"
        "## Options that go with any loss\n"
        "- `train.ld_alpha` (LD-DPO, Liu et al., arXiv 2409.06411): tokens beyond the pair's shorter response count "
        "this\n"
        "  much in pi and ref. Below 1, answers win less by length alone; 0.5 is a fair start. Logged rewards and "
        "logps\n"
        "  are then of the weighted sums.\n"
        "- `train.use_weighting` (WPO, Zhou et al., arXiv 2406.11827): each pair's loss counts exp(m_w + m_l) times, m "
        "the\n"
        "  mean over the response's tokens of log p - ln sum p^2 (the sum over the vocabulary). The weight has no "
        "gradient.\n"
        "  Pairs that the policy would hardly write itself count little: made for offline and replayed pairs. With\n"
        "  `train.weighted_pairs: offline` those that a round sampled itself keep weight 1.\n"
        "- `parity: trl-1.x`: sigmoid ignores `train.label_smoothing`, as TRL 1.x does (up to 0.28 it did not). Say "
        "cdpo "
        "for\n"
        "  the smoothed loss. Everything else here is TRL 1.16's arithmetic in any case.\n");
    buffer_append_text(
        out,
        "\n## What is logged\n"
        "Every training step and, with `eval_` in front, every validation has, as means over its pairs:\n\n"
        "| metric | meaning |\n"
        "|---|---|\n"
        "| `loss` | what is minimised |\n"
        "| `loss/NAME` | where several losses are summed: each, without its weight |\n"
        "| `rewards/chosen`, `rewards/rejected` | b u of the response: above 0 where the policy finds it likelier than "
        "the reference does |\n"
        "| `rewards/margins` | chosen minus rejected. It should rise; if both rewards fall with it, the policy "
        "unlearns chosen answers too |\n"
        "| `rewards/accuracies` | share of pairs whose margin is above 0 (a tie counts as 0) |\n"
        "| `logps/chosen`, `logps/rejected` | pi of the response |\n");
    for (LossInput input = LOSS_OF_SCORES; input <= LOSS_OF_BATCHES; input++) append_losses(out, input);
}
