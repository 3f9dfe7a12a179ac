#include "model/parameters.h"
#include "base/size.h"

#include <stdio.h>
#include <stdlib.h>

void parameters_free(Parameters *parameters) {
    free(parameters->tensor);
    free(parameters->layer);
    *parameters = (Parameters){0};
}

/* Appends a tensor whose name was written already; false where the sum of all does not fit. */
static bool append(Parameters *p, size_t rows, size_t columns, size_t *index) {
    ModelTensor *t = &p->tensor[p->tensors];
    t->rank = columns == 0 ? 1 : 2;
    t->shape[0] = rows, t->shape[1] = columns == 0 ? 1 : columns;
    t->offset = p->elements;
    t->is_matrix = columns != 0;
    *index = p->tensors++;
    size_t bytes;
    return size_multiply(t->shape[0], t->shape[1], &t->elements) && size_add(p->elements, t->elements, &p->elements) &&
           size_multiply(p->elements, sizeof(float), &bytes);
}

/* One walk through the list: the vectors, or the matrices. */
static bool append_all(Parameters *p, const HfConfig *c, bool matrices) {
    const Dims d = dims_of(c);
    bool fits = true;
#define APPEND_OF_MODEL(field, text, rows, columns, there)                                                             \
    if ((there) && ((columns) != 0) == matrices) {                                                                     \
        snprintf(p->tensor[p->tensors].name, sizeof p->tensor->name, "%s", text);                                      \
        fits = append(p, rows, columns, &p->model.field) && fits;                                                      \
    }
    PARAMETERS_OF_MODEL(APPEND_OF_MODEL)
    for (size_t l = 0; l < d.L; l++) {
#define APPEND_OF_LAYER(field, text, rows, columns, there)                                                             \
    if ((there) && ((columns) != 0) == matrices) {                                                                     \
        snprintf(p->tensor[p->tensors].name, sizeof p->tensor->name, "model.layers.%zu.%s", l, text);                  \
        fits = append(p, rows, columns, &p->layer[l].field) && fits;                                                   \
    }
        PARAMETERS_OF_LAYER(APPEND_OF_LAYER)
    }
    return fits;
}

int parameters_create(Parameters *parameters, const HfConfig *config, Error *error) {
#define COUNT(...) +1
    const size_t of_model = 0 PARAMETERS_OF_MODEL(COUNT), of_layer = 0 PARAMETERS_OF_LAYER(COUNT), L = config->layers;
    Parameters *p = parameters;
    *p = (Parameters){.tensor = calloc(of_model + L * of_layer, sizeof *p->tensor),
                      .layer = calloc(L, sizeof *p->layer)};
    if (p->tensor == NULL || p->layer == NULL) {
        parameters_free(p);
        return error_set(error, ERROR_MEMORY, "no memory for the list of the tensors of %zu layers", L);
    }
#define NONE(field, text, rows, columns, there) .field = PARAMETERS_NONE,
    p->model = (ModelParameters){PARAMETERS_OF_MODEL(NONE)};
    for (size_t l = 0; l < L; l++) p->layer[l] = (LayerParameters){PARAMETERS_OF_LAYER(NONE)};
    bool fits = append_all(p, config, false);
    p->vector_tensors = p->tensors, p->vectors = p->elements;
    fits = append_all(p, config, true) && fits;
    if (config->tied_head) p->model.head = p->model.embedding;
    if (fits) return 0;
    parameters_free(p);
    return error_set(
        error, ERROR_INPUT,
        "config.json: a model of %zu layers, hidden size %zu and vocabulary %zu does not fit into an address space", L,
        config->channels, config->vocabulary);
}
