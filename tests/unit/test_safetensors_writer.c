#include "base/file.h"
#include "base/rng.h"
#include "formats/safetensors_writer.h"
#include "test.h"

#include <dirent.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

enum { A = 3 * 50, B = 77 };
static char directory[64];
static float a[A], b[B];

static int setup(void **state) {
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/dice-test-XXXXXX");
    RngAddress address = {.seed = test_seed(), .stream = RNG_TEST};
    for (uint32_t i = 0; i < A; i++) a[i] = (float)rng_normal(&address, i);
    for (uint32_t i = 0; i < B; i++) b[i] = (float)rng_normal(&address, A + i);
    return mkdtemp(directory) == NULL;
}

static int teardown(void **state) {
    (void)state;
    return file_remove_tree(directory, NULL);
}

static const TensorSource *source(DType type) {
    static TensorSource t[2];
    t[0] = (TensorSource){.name = "layer.a", .type = DTYPE_F32, .rank = 2, .shape = {3, 50}, .values = a};
    t[1] = (TensorSource){.name = "layer.b", .type = type, .rank = 1, .shape = {B}, .values = b};
    return t;
}

static void check_content(DType type) {
    Error error = {0};
    Checkpoint *c = NULL;
    float out[A];
    if (checkpoint_open(&c, directory, &error) != 0) fail_msg("%s", error.message);
    assert_int_equal(checkpoint_count(c), 2);
    assert_int_equal(checkpoint_find(c, "layer.a")->shape[1], 50);
    assert_int_equal(tensor_read_f32(checkpoint_find(c, "layer.a"), 0, A, out, &error), 0);
    assert_memory_equal(out, a, sizeof a);
    assert_int_equal(tensor_read_f32(checkpoint_find(c, "layer.b"), 0, B, out, &error), 0);
    for (size_t i = 0; i < B; i++)
        assert_true(out[i] == (type == DTYPE_F32 ? b[i] : dtype_bf16_to_float(dtype_bf16_from_float(b[i]))));
    checkpoint_close(c);
}

static void one_file_round_trip(void **state) {
    (void)state;
    Error error = {0};
    assert_int_equal(safetensors_write(directory, source(DTYPE_BF16), 2, 0, &error), 0);
    check_content(DTYPE_BF16);
}

static void shards_round_trip_and_the_index_is_believed_only_where_true(void **state) {
    (void)state;
    Error error = {0};
    assert_int_equal(safetensors_write(directory, source(DTYPE_F32), 2, 400, &error), 0);
    check_content(DTYPE_F32);
    char *index = file_join(directory, "model.safetensors.index.json");
    const char *lie = "{\"weight_map\": {\"layer.a\": \"model-00002-of-00002.safetensors\", \"layer.b\": "
                      "\"model-00001-of-00002.safetensors\"}}";
    assert_int_equal(file_write(index, lie, strlen(lie), &error), 0);
    Checkpoint *c = NULL;
    assert_int_equal(checkpoint_open(&c, directory, &error), -1);
    assert_non_null(strstr(error.message, "is not in"));
    const char *climb = "{\"weight_map\": {\"layer.a\": \"../x.safetensors\"}}";
    assert_int_equal(file_write(index, climb, strlen(climb), &error), 0);
    assert_int_equal(checkpoint_open(&c, directory, &error), -1);
    assert_int_equal(error.code, ERROR_INPUT);
    free(index);
}

static size_t files_in(const char *path) {
    DIR *d = opendir(path);
    size_t n = 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static int copy_row(const void *context, size_t row, float *out, Error *error) {
    if (context == NULL && row == 2) return error_set(error, ERROR_NUMERIC, "row 2 is bad");
    memcpy(out, a + 50 * row, 50 * sizeof *a);
    return 0;
}

static void rows_on_demand_are_the_same_file(void **state) {
    (void)state;
    Error error = {0};
    TensorSource t[2] = {source(DTYPE_BF16)[0], source(DTYPE_BF16)[1]};
    t[0].values = NULL;
    t[0].read_row = copy_row;
    t[0].context = a;
    assert_int_equal(safetensors_write(directory, t, 2, 0, &error), 0);
    check_content(DTYPE_BF16);
    file_remove_tree(directory, NULL);
    assert_int_equal(file_make_directory(directory, &error), 0);
    t[0].context = NULL; // a row that cannot be made ends the writing, and leaves nothing
    assert_int_equal(safetensors_write(directory, t, 2, 0, &error), -1);
    assert_string_equal(error.message, "row 2 is bad");
    assert_int_equal(files_in(directory), 0);
}

/* A file size limit stands in for a full disk: an error, and nothing left behind. */
static void a_full_disk_leaves_nothing(void **state) {
    (void)state;
    Error error = {0};
    struct rlimit old, small;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 700; // the second shard does not fit
    setrlimit(RLIMIT_FSIZE, &small);
    TensorSource t[2] = {source(DTYPE_F32)[1], source(DTYPE_F32)[0]};
    int result = safetensors_write(directory, t, 2, 400, &error);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    assert_int_equal(result, -1);
    assert_int_equal(error.code, ERROR_IO);
    assert_int_equal(files_in(directory), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_file_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(shards_round_trip_and_the_index_is_believed_only_where_true, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_on_demand_are_the_same_file, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_leaves_nothing, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
