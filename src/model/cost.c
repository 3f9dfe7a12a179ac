#include "model/cost.h"

double cost_body_weights(const HfConfig *config) {
    double C = (double)config->channels, D = (double)config->head_dim, heads = (double)config->heads,
           kv = (double)config->kv_heads;
    double attention = C * (heads + 2 * kv) * D + heads * D * C, mlp = 3 * C * (double)config->feed_forward;
    return (double)config->layers * (attention + mlp);
}

double cost_all_weights(const HfConfig *config) {
    double C = (double)config->channels, D = (double)config->head_dim, head = (double)config->vocabulary * C;
    double bias = config->attention_bias ? (double)(config->heads + 2 * config->kv_heads) * D : 0;
    double vectors = (double)config->layers * (2 * C + bias + (config->qk_norm ? 2 * D : 0)) + C;
    return cost_body_weights(config) + vectors + head * (config->tied_head ? 1 : 2);
}

double cost_forward(const HfConfig *config, double tokens, double context, double head_rows) {
    double attention = 4 * context * (double)(config->heads * config->head_dim * config->layers);
    double head = 2 * (double)config->vocabulary * (double)config->channels;
    return tokens * (2 * cost_body_weights(config) + attention) + head_rows * head;
}
