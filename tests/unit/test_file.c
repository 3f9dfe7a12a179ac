#include "base/file.h"
#include "test.h"

#include <dirent.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64];
static Error error;

static int setup(void **state) {
    (void)state;
    strcpy(directory, "/tmp/dice-file-XXXXXX");
    return mkdtemp(directory) == NULL;
}

static int teardown(void **state) {
    (void)state;
    return file_remove_tree(directory, &error);
}

static const char *place(const char *name) {
    static char path[4][160];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", directory, name);
    return p;
}

static void has_content(const char *name, const char *text) {
    FileMap map;
    assert_int_equal(file_map(&map, place(name), &error), 0);
    assert_int_equal(map.size, strlen(text));
    assert_true(map.size == 0 || memcmp(map.data, text, map.size) == 0);
    file_unmap(&map);
    file_unmap(&map); // twice is fine
}

static size_t entries(void) {
    DIR *d = opendir(directory);
    size_t n = 0;
    while (readdir(d) != NULL) n++;
    closedir(d);
    return n - 2; // . and ..
}

static void refused(int result, ErrorCode code, const char *words) {
    assert_int_equal(result, -1);
    assert_int_equal(error.code, code);
    if (strstr(error.message, words) == NULL) fail_msg("\"%s\" does not say \"%s\"", error.message, words);
}

static void files_come_back(void **state) {
    (void)state;
    assert_int_equal(file_write(place("a"), "one", 3, &error), 0);
    has_content("a", "one");
    assert_int_equal(file_write(place("a"), "twofold", 7, &error), 0);
    has_content("a", "twofold");
    assert_int_equal(file_copy(place("a"), place("b"), &error), 0);
    has_content("b", "twofold");
    assert_int_equal(file_write(place("empty"), NULL, 0, &error), 0);
    has_content("empty", "");
    assert_int_equal(entries(), 3);
}

/* A reader sees the old content until the commit; what is dropped leaves nothing. */
static void writers_replace_at_the_commit(void **state) {
    (void)state;
    FileWriter writer;
    assert_int_equal(file_write(place("a"), "old", 3, &error), 0);
    assert_int_equal(file_writer_open(&writer, place("a"), &error), 0);
    fputs("new", writer.stream);
    fflush(writer.stream);
    has_content("a", "old");
    assert_int_equal(entries(), 2);
    file_writer_abort(&writer);
    file_writer_abort(&writer);
    has_content("a", "old");
    assert_int_equal(entries(), 1);
    assert_int_equal(file_writer_open(&writer, place("a"), &error), 0);
    fputs("new", writer.stream);
    assert_int_equal(file_writer_commit(&writer, &error), 0);
    file_writer_abort(&writer);
    has_content("a", "new");
    assert_int_equal(entries(), 1);
}

static void a_file_that_grows_too_large_leaves_the_old_one(void **state) {
    (void)state;
    static char much[1 << 16];
    struct rlimit old, low;
    assert_int_equal(file_write(place("a"), "old", 3, &error), 0);
    getrlimit(RLIMIT_FSIZE, &old);
    low = (struct rlimit){.rlim_cur = 4096, .rlim_max = old.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &low);
    int result = file_write(place("a"), much, sizeof much, &error);
    FileWriter writer; // whose user stops at the first write that fails, and leaves the rest to the commit
    Error late;
    assert_int_equal(file_writer_open(&writer, place("a"), &late), 0);
    while (!ferror(writer.stream)) fwrite(much, 1, 100, writer.stream);
    int committed = file_writer_commit(&writer, &late);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    refused(result, ERROR_IO, "/a: cannot write: File too large");
    assert_int_equal(committed, -1);
    assert_non_null(strstr(late.message, "/a: cannot write: File too large"));
    has_content("a", "old");
    assert_int_equal(entries(), 1);
}

static void what_is_no_file_is_told(void **state) {
    (void)state;
    FileMap map;
    FileWriter writer;
    refused(file_map(&map, place("none"), &error), ERROR_IO,
            "/none: cannot open: No such file or directory; check the path");
    refused(file_map(&map, directory, &error), ERROR_IO, "is not a regular file");
    refused(file_writer_open(&writer, place("no/such"), &error), ERROR_IO, "/no/such: cannot create");
    refused(file_copy(place("none"), place("b"), &error), ERROR_IO, "/none");
    refused(file_rename(place("none"), place("b"), &error), ERROR_IO, "/b: cannot put the new file in place");
    assert_int_equal(entries(), 0);
    assert_int_equal(file_write(place("in the way"), "x", 1, &error), 0);
    refused(file_make_directory(place("in the way"), &error), ERROR_IO, "is in the way");
    refused(file_make_directory(place("in the way/below"), &error), ERROR_IO, "cannot create the directory");
}

static void directories_are_made_moved_and_removed(void **state) {
    (void)state;
    assert_int_equal(file_make_directory(place("a/b/c"), &error), 0);
    assert_int_equal(file_make_directory(place("a/b/c"), &error), 0); // there already
    assert_true(file_is_directory(place("a/b/c")));
    assert_int_equal(file_write(place("a/b/c/file"), "x", 1, &error), 0);
    assert_true(file_exists(place("a/b/c/file")));
    assert_false(file_is_directory(place("a/b/c/file")));
    assert_int_equal(symlink(place("keep"), place("a/link")), 0);
    assert_int_equal(file_write(place("keep"), "x", 1, &error), 0);
    assert_int_equal(file_rename(place("a"), place("moved"), &error), 0);
    assert_false(file_exists(place("a")));
    assert_true(file_exists(place("moved/b/c/file")));
    assert_int_equal(file_remove_tree(place("moved"), &error), 0);
    assert_false(file_exists(place("moved")));
    has_content("keep", "x");                                      // a link is removed, not what it points to
    assert_int_equal(file_remove_tree(place("moved"), &error), 0); // not there any more: fine
}

static void paths_are_joined(void **state) {
    (void)state;
    char *path = file_join("a", "b");
    assert_string_equal(path, "a/b");
    free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(writers_replace_at_the_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_grows_too_large_leaves_the_old_one, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_file_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(directories_are_made_moved_and_removed, setup, teardown),
        cmocka_unit_test(paths_are_joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
