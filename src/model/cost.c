#include "model/cost.h"

#include <math.h>

double cost_body_weights(const HfConfig *config) {
    double C = (double)config->channels, D = (double)config->head_dim, heads = (double)config->heads,
           kv = (double)config->kv_heads;
    double attention = C * (heads + 2 * kv) * D + heads * D * C, mlp = 3 * C * (double)config->feed_forward;
    return (double)config->layers * (attention + mlp);
}

double cost_all_weights(const HfConfig *config) {
    double C = (double)config->channels, D = (double)config->head_dim, head = (double)config->vocabulary * C;
    double bias = (config->qkv_bias ? (double)(config->heads + 2 * config->kv_heads) * D : 0) +
                  (config->output_bias ? C : 0) + (config->mlp_bias ? 2 * (double)config->feed_forward + C : 0);
    double norms = (config->sandwich_norms ? 4 : 2) * C + (config->qk_norm ? 2 * D : 0);
    double vectors = (double)config->layers * (norms + bias) + C;
    return cost_body_weights(config) + vectors + head * (config->tied_head ? 1 : 2);
}

double cost_forward(const HfConfig *config, double tokens, double context, double head_rows) {
    double seen = 0; // keys, summed over the layers
    for (size_t l = 0; l < config->layers; l++)
        seen += hf_config_slides(config, l) ? fmin(context, (double)config->window) : context;
    double attention = 4 * seen * (double)(config->heads * config->head_dim);
    double head = 2 * (double)config->vocabulary * (double)config->channels;
    return tokens * (2 * cost_body_weights(config) + attention) + head_rows * head;
}
