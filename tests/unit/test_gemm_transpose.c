#include "kernels/gemm_transpose.h"
#include "test.h"

#include <string.h>

/* Every size up to two strips and a rest, with gaps between rows that nothing may be written to. */
static void moves_every_element(void **state) {
    (void)state;
    enum { MOST = 41, ROW = 50 };
    static bf16 src[MOST * ROW], dst[MOST * ROW];
    for (size_t i = 0; i < MOST * ROW; i++) src[i] = (bf16)(i + 1);
    for (size_t rows = 0; rows <= MOST; rows++)
        for (size_t columns = 0; columns <= MOST; columns++) {
            memset(dst, 0, sizeof dst);
            gemm_transpose_bf16(rows, columns, src, ROW, dst, ROW);
            size_t wrong = 0;
            for (size_t i = 0; i < MOST; i++)
                for (size_t j = 0; j < ROW; j++)
                    wrong += dst[i * ROW + j] != (i < columns && j < rows ? src[j * ROW + i] : 0);
            if (wrong > 0) fail_msg("%zu x %zu: %zu elements wrong", rows, columns, wrong);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(moves_every_element)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
