# dice - see README.md. Targets: all, demo, check, unit, integrate, bench, fuzz, lint, clean.
#   CC=gcc|clang            compiler
#   SAN=address,undefined   sanitizers (own build directory); SAN=thread uses clang, libomp and its Archer tool
#   BUILD=DIR               build directory
#   DEBUG=1                 -O0 -g

SAN   ?=
CC    := $(if $(filter default,$(origin CC)),$(if $(findstring thread,$(SAN)),clang,gcc),$(CC))
empty :=
comma := ,
BUILD ?= build$(if $(SAN),-$(subst $(comma),-,$(SAN)))$(if $(filter-out gcc cc,$(CC)),-$(notdir $(CC)))
PREFIX ?= /usr/local

PACKAGES := jansson yaml-0.1 libpcre2-8 libutf8proc sqlite3 libxxhash zlib
WARNINGS := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef -Wno-psabi -Werror
OPTIMISE := $(if $(DEBUG),-O0,-O2) -g
SANITISE := $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer $(if $(findstring undefined,$(SAN)),-fno-sanitize-recover=undefined))
# Instrumented loops are not vectorised; clang need not complain that "omp simd" had no effect there.
SANITISE += $(if $(and $(SAN),$(findstring clang,$(CC))),-Wno-pass-failed)
# Contraction of a*b+c into one rounding is left to explicit code, so that gcc, clang and every ISA agree on plain C.
CFLAGS   ?=
override CFLAGS := -std=c17 -D_GNU_SOURCE -Isrc -fopenmp -ffp-contract=off $(OPTIMISE) $(WARNINGS) $(SANITISE) \
                   $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null) $(CFLAGS)
override LDFLAGS := -fopenmp $(SANITISE) $(LDFLAGS)
LIBS     := -ldnnl $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lm

SOURCES := $(sort $(wildcard src/*/*.c src/*/*/*.c))
LIBRARY := $(filter-out src/cli/%,$(SOURCES))
CLI     := $(filter src/cli/%,$(SOURCES))
UNIT    := $(sort $(wildcard tests/unit/test_*.c))
object   = $(patsubst %.c,$(BUILD)/%.o,$(1))

TESTS   := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(UNIT))
BENCHES := $(patsubst bench/%.c,$(BUILD)/bench/%,$(sort $(wildcard bench/bench_*.c)))

.PHONY: all
all: $(BUILD)/dice compile_commands.json

# Only these folders are compiled for a special CPU; the program picks among them at run time.
$(BUILD)/src/kernels/avx2/%.o:   override CFLAGS += -mavx2 -mfma -mf16c
# clang needs many minutes to sanitize the vectors of this folder; the same bodies are sanitized under avx2/ and in the tests.
$(BUILD)/src/kernels/avx512/%.o: override CFLAGS += -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c \
                                  $(if $(and $(SAN),$(findstring clang,$(CC))),-fno-sanitize=all)

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/libdice.a: $(call object,$(LIBRARY))
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/dice: $(call object,$(CLI)) $(BUILD)/libdice.a
	$(CC) $(LDFLAGS) $^ $(LIBS) -o $@

# Tests of cli/ see all of it but main.
$(BUILD)/libcli.a: $(call object,$(filter-out src/cli/main.c,$(CLI)))
	@rm -f $@
	ar rcs $@ $^

$(BUILD)/tests/%: $(BUILD)/tests/unit/%.o $(BUILD)/libcli.a $(BUILD)/libdice.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ -lcmocka $(LIBS) -o $@

$(BUILD)/bench/%: $(BUILD)/bench/%.o $(BUILD)/bench/floor.o $(BUILD)/bench/random_model.o $(BUILD)/libdice.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) $^ $(LIBS) -o $@

.SECONDARY:

compile_commands.json: Makefile $(SOURCES) $(UNIT)
	@python3 tools/compile_commands.py '$(CC)' '$(CFLAGS)' $(SOURCES) $(UNIT) > $@ || rm -f $@

# Packages, build, model, alignment and its table, from nothing: tools/demo says what MODEL= and OUTPUT= do.
.PHONY: demo
demo:
	@tools/demo

.PHONY: tests unit
tests: $(TESTS) $(BUILD)/dice
# Quick loop for developers: unit tests only, no package installation.
unit: tests
	tests/run $(BUILD) $(TESTS)

INTEGRATION := $(sort $(wildcard tests/integration/*))
.PHONY: integrate
integrate: $(BUILD)/dice
	tests/integrate $(BUILD) $(INTEGRATION)

# Rates against what this machine reaches; run it on an otherwise idle one.
.PHONY: bench
bench: $(BENCHES)
	@for program in $(BENCHES); do echo "== $$(basename $$program)"; $$program || exit 1; done

# make fuzz builds build-fuzz/fuzz_X of every fuzz/fuzz_X.c with clang, sanitized; with RUNS=N it also runs each N times,
# FUZZ="a b" only those. See fuzz/run for seeds, words and flags.
FUZZ    := $(sort $(patsubst fuzz/fuzz_%.c,%,$(wildcard fuzz/fuzz_*.c)))
FUZZERS := $(addprefix $(BUILD)/fuzz_,$(FUZZ))
$(BUILD)/fuzz_%: $(BUILD)/fuzz/fuzz_%.o $(BUILD)/libdice.a
	$(CC) -fsanitize=fuzzer $(LDFLAGS) $^ $(LIBS) -o $@

.PHONY: fuzz fuzzers
fuzzers: $(FUZZERS)
fuzz:
	tools/install_packages build fuzz
	$(MAKE) fuzzers CC=clang SAN=fuzzer-no-link,address,undefined BUILD=build-fuzz FUZZ="$(FUZZ)"
	$(if $(RUNS),fuzz/run build-fuzz $(RUNS) $(addprefix build-fuzz/fuzz_,$(FUZZ)))

.PHONY: check
check:
	tools/install_packages build test
	tests/check

# Hours rather than minutes: the thread sanitizer, clang, every fuzzer RUNS times (100000), the whole of ../shared/oracle.
.PHONY: check-long
check-long: check
	tools/install_packages fuzz
	tests/check_long $(or $(RUNS),100000)

.PHONY: install
install: $(BUILD)/dice $(BUILD)/libdice.a
	install -D -m 755 $(BUILD)/dice $(DESTDIR)$(PREFIX)/bin/dice
	install -D -m 644 $(BUILD)/libdice.a $(DESTDIR)$(PREFIX)/lib/libdice.a
	cd src && find . -name '*.h' -not -path './cli/*' -exec install -D -m 644 {} $(DESTDIR)$(PREFIX)/include/dice/{} \;

.PHONY: lint
lint:
	tools/install_packages lint
	python3 tools/check_rooms.py .
	tools/check_style .

.PHONY: clean
clean:
	rm -rf build build-* compile_commands.json

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
