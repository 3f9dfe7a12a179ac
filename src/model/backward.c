#include "model/block.h"
#include "model/forward.h"
#include "model/head.h"
#include "model/input.h"

int model_backward(Model *model, const Batch *batch, Activations *activations, const float *dlogprob, Error *error) {
    BlockInput input = forward_input(batch);
    Activations *a = activations;
    if (batch->rows == 0) return 0;
    if (head_backward(model, batch, a, dlogprob, error) != 0) return -1;
    for (size_t l = model->dims.L; l-- > 0;) {
        if (a->pass == PASS_CHECKPOINT && block_forward(model, l, &input, a, NULL, error) != 0) return -1;
        if (block_backward(model, l, &input, a, error) != 0) return -1;
    }
    input_backward(model, batch->rows, batch->token, a->dx);
    return 0;
}
