# make          build/sts
# make ARCH=armv7       build/armv7/sts; the others are in script/architectures
# make cross    builds for all of them, and tests each under its emulator; ARCHS="armv7 mipsel"
# make dist     build/dist/sts-VERSION-ARCH for all of them and this machine, with SHA-256 sums
# make demo     the whole thing at work, against a broker of its own
# make test     every test; ends with "N passed, N failed"
# make test-brokers     the end-to-end suite against mosquitto, RabbitMQ, ejabberd and aedes, which
#               it installs; BROKERS="aedes"; see doc/brokers.md
# make unit     the unit tests alone, built but not run: build/test/test_*
# make ct       the programs of the constant-time test, built but not run
# make bench    what sts costs beside mosquitto's clients; SHORT=1: a smoke run
# make growth   how the cost of a message grows with peers and spool: a table, and doc/growth.svg
# make instructions     counts instructions anew, for test/instructions
# make fault    breaks what can break around sts, and looks for lost readings; FAULT="--seed 7"
# make fuzz     fuzzes each parser for FUZZ_S seconds, JOBS side by side; see test/fuzz/README.md
# make fuzz-coverage    which lines of the parsers the fuzz corpora reach; V=1: the others
# make lint     gcc -fanalyzer, clang-tidy, clang-format, cppcheck and shellcheck; see script/lint
# make format   sets the sources as .clang-format has it
# make prove    proves the parsers and encoders free of undefined behaviour; see doc/proof.md
# make size     how large each flavour is, and what makes it so; SIZE=--check: only the budgets
# make install  the program, its manuals, sample configs and completions; PREFIX=, DESTDIR=
# make uninstall        removes those
# make clean    removes build/ (and leaves deps/)
#
# `make`, and `make` demo, test, test-brokers, bench, fault and prove, get what they miss with
# script/deps.

# ---- what a user sets ----

SEED ?= 1           # 0: without STS/1 (secp256k1, AES)
RESOLVER ?= 1       # 0: numeric addresses only
SANDBOX ?= 1        # 0: without the filter of system calls, see sandbox.h
MBEDTLS ?= deps/mbedtls-3.6.6
V ?= 0              # 1: show every command
CFLAGS ?= -Oz
LDFLAGS ?=
STRIP ?= strip
CLANG ?= clang
PYTHON ?= /usr/bin/python3
ifeq ($(origin CC),default)
CC := musl-gcc
endif
NATIVE_CC ?= gcc
PREFIX ?= /usr/local
DESTDIR ?=          # in front of every path of `make install`, for packages and images
ARCH :=             # armv7 ...: build/armv7/sts, for that machine; see script/architectures
ARCHS ?= $(shell awk '!/^\#/ { print $$1 }' script/architectures)     # of cross and dist

# A comment behind a value leaves blanks in it.
override ARCH := $(strip $(ARCH))
override PREFIX := $(strip $(PREFIX))
override DESTDIR := $(strip $(DESTDIR))
override SEED := $(strip $(SEED))
override RESOLVER := $(strip $(RESOLVER))
override SANDBOX := $(strip $(SANDBOX))
override MBEDTLS := $(patsubst %/,%,$(strip $(MBEDTLS)))
Q := $(if $(filter 1,$(V)),,@)

# ---- other architectures: Debian's cross compiler, with musl under deps/ ----

TEST_KIND := -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
ifeq ($(ARCH),)
B := build
DEPS := build
KERNEL_CC := $(NATIVE_CC)
else
B := build/$(ARCH)
DEPS := cross
MUSL := deps/musl-1.2.3-1-$(ARCH)
CMOCKA := deps/cmocka-1.1.5
# Debian's name, prefix of the compiler, emulator, flags
ARCH_ROW := $(shell awk '$$1 == "$(ARCH)" { $$1 = ""; print }' script/architectures)
ifeq ($(ARCH_ROW),)
$(error ARCH=$(ARCH): not in script/architectures)
endif
KERNEL_CC := $(word 2,$(ARCH_ROW))-gcc
CC := $(KERNEL_CC) -specs=$(MUSL)/lib/musl-gcc.specs $(wordlist 4,9,$(ARCH_ROW))
STRIP := $(word 2,$(ARCH_ROW))-strip
# The tests run under an emulator, where the sanitizers do not; and with -Os, for with -O1 gcc 12 for
# ARM loses the upper half of a constant that only one branch returns. cmocka would make a uintptr_t
# of its own.
NATIVE_CC := $(CC) -static -isystem $(CMOCKA)/include -D_UINTPTR_T_DEFINED -L $(B)/test
TEST_KIND := -Os
endif

# ---- the program ----

comma := ,
MACHINE := $(shell $(CC) -dumpmachine)
T := $(B)/test
SRC := $(sort $(wildcard *.c))

# What crypto.c uses of Mbed TLS; mbedtls_config.h switches it on.
EVEREST := 3rdparty/everest/library/Hacl_Curve25519_joined
MBEDTLS_LIBRARY := base64 chacha20 constant_time platform_util poly1305 sha256
ifeq ($(SEED),1)
MBEDTLS_LIBRARY += aes bignum bignum_core ecp ecp_curves
endif
MBEDTLS_SRC := $(MBEDTLS_LIBRARY:%=library/%.c) $(EVEREST).c

# -iquote, because limits.h is also the name of a header of the standard. Mbed TLS looks for a
# quoted name beside its own headers first, where a config of the same name is: so the whole path.
# _GNU_SOURCE is empty as a source file would define it itself.
DEFINES := -DSTS_SEED=$(SEED) -DSTS_RESOLVER=$(RESOLVER) -DSTS_SANDBOX=$(SANDBOX)
MBEDTLS_DEFINES := -DMBEDTLS_CONFIG_FILE='"$(CURDIR)/mbedtls_config.h"'
EVEREST_INCLUDE := $(MBEDTLS)/3rdparty/everest/include
MBEDTLS_INCLUDE := -isystem $(MBEDTLS)/include -isystem $(EVEREST_INCLUDE) \
    -isystem $(EVEREST_INCLUDE)/everest
# X25519 is nearly all that a handshake or a push takes: 77 to 94 us instead of the 225 to 249 us of
# -Os, for 2 KiB more.
EVEREST_FLAGS := -O2 -fpeel-loops -fno-inline-functions \
    -isystem $(MBEDTLS)/library -isystem $(EVEREST_INCLUDE)/everest/kremlib

# Division, 1.8 KiB, is for curves other than ours: see crypto.c.
ECP_FLAGS := -Dmbedtls_mpi_mod_mpi=crypto_no_division

WARN := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
        -Wswitch-enum -Wundef -Wpointer-arith -Wwrite-strings -Werror
BASE := -std=c11 -D_GNU_SOURCE= -iquote . -idirafter $(B)/include $(DEFINES)

# No _FORTIFY_SOURCE: it is the C library that would check, and musl does not. The unit tests have
# glibc, and the sanitizers, which see more and would be kept from seeing some of it.
HARDEN := -fPIE -fstack-protector-strong
SMALL := -flto -flto-partition=one -ffunction-sections -fdata-sections \
    -fno-asynchronous-unwind-tables -fno-tree-loop-im -fno-move-loop-invariants \
    -fno-optimize-sibling-calls -fno-tree-dominator-opts -fallow-store-data-races \
    -fno-partial-inlining -fno-shrink-wrap -fno-caller-saves -fno-tree-sink \
    --param max-inline-functions-called-once-insns=400 \
    --param max-inline-functions-called-once-loop-depth=1
# Where the time goes, those of them that cost any are not for free.
HOT_MBEDTLS := chacha20 poly1305 sha256
HOT := -Os -ftree-loop-im -fmove-loop-invariants -foptimize-sibling-calls -ftree-dominator-opts \
    -fpartial-inlining -fshrink-wrap -fcaller-saves -ftree-sink
# Thumb-1 has no multiplication of 32 bits by 32 to 64, and few registers: half as fast there.
HOT += $(if $(filter armv5,$(ARCH)),-marm)
# musl keeps the canary in two places, a variable and, at an offset that is part of its ABI, behind
# the thread pointer. Which one takes less code is not the compiler's default.
CANARY_x86_64 := -mstack-protector-guard=global
CANARY_arm := -mstack-protector-guard=tls -mstack-protector-guard-offset=-8
CANARY_aarch64 := -mstack-protector-guard=sysreg -mstack-protector-guard-reg=tpidr_el0 \
    -mstack-protector-guard-offset=-16
HARDEN += $(if $(filter armv5,$(ARCH)),,$(CANARY_$(firstword $(subst -, ,$(MACHINE)))))
# What each of these wins, and what was tried beside them: doc/size.md.
PROGRAM_CFLAGS := $(HARDEN) $(SMALL) $(CFLAGS)

# The linker for s390x needs sections of its own.
LAYOUT := $(if $(filter x86_64-% i686-% arm-% aarch64-% mips%,$(MACHINE)),$(comma)-T$(comma)$(B)/sts.ld)

# A static PIE by hand, because musl-gcc ignores -static-pie: rcrt1.o relocates the program itself,
# so no loader is named in it, and no relocation may be left in what is read-only.
PROGRAM_LDFLAGS := $(PROGRAM_CFLAGS) -static -nostartfiles -l:rcrt1.o \
    -Wl,-pie,--no-dynamic-linker,-z,text,-z,relro,-z,now,-z,noexecstack,-z,noseparate-code \
    -Wl,--gc-sections,--fatal-warnings,--hash-style=sysv$(LAYOUT) -fstack-usage $(LDFLAGS)

OBJ := $(SRC:%.c=$(B)/%.o)
MBEDTLS_OBJ := $(MBEDTLS_SRC:%.c=$(B)/mbedtls/%.o)

.PHONY: all unit test test-brokers demo bench growth cross dist instructions ct fault fuzz fuzzers \
    fuzz-coverage fuzz-merge lint format prove size install uninstall clean check-clang FORCE
.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:

all: $(B)/sts

# Unstripped: what the tests look up symbols in.
$(B)/sts.debug: $(OBJ) $(MBEDTLS_OBJ) $(B)/sts.ld
	$(if $(Q),@echo "  LD    $@")
	$(Q)rm -f $(B)/*.su
	$(Q)$(CC) -o $@ $(filter %.o,$^) $(PROGRAM_LDFLAGS)

$(B)/sts.ld: sts.ld $(B)/flags
	$(Q)$(CC) -E -P -x assembler-with-cpp -o $@ $<

$(B)/sts: $(B)/sts.debug
	$(if $(Q),@echo "  STRIP $@")
	$(Q)$(STRIP) -R .comment -o $@ $<
	$(Q)script/cut-sections $@

$(B)/%.o: %.c $(B)/flags | $(B)/include
	$(if $(Q),@echo "  CC    $<")
	$(Q)$(CC) $(BASE) $(WARN) $(PROGRAM_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/mbedtls/%.o: $(MBEDTLS)/%.c mbedtls_config.h $(B)/flags | $(B)/deps
	$(if $(Q),@echo "  CC    $(notdir $<)")
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(DEFINES) $(MBEDTLS_DEFINES) $(MBEDTLS_INCLUDE) $(PROGRAM_CFLAGS) $(FILE_FLAGS) \
	    -c -o $@ $<

$(HOT_MBEDTLS:%=$(B)/mbedtls/library/%.o): private FILE_FLAGS := $(HOT)
$(B)/mbedtls/$(EVEREST).o: private FILE_FLAGS := $(HOT) $(EVEREST_FLAGS)
$(B)/mbedtls/library/ecp.o: private FILE_FLAGS := $(ECP_FLAGS)
$(T)/mbedtls/$(EVEREST).o: private FILE_FLAGS := $(EVEREST_FLAGS)

# No other file of ours gets to see Mbed TLS.
$(B)/crypto.o $(T)/crypto.o: private BASE += $(MBEDTLS_DEFINES) $(MBEDTLS_INCLUDE)
$(B)/crypto.o $(T)/crypto.o: mbedtls_config.h

# Lists and flags in one file that changes with them, so that other ones build everything anew.
$(B)/flags: FORCE
	$(shell mkdir -p $(@D))$(file >$@.new,$(CC) $(BASE) $(WARN) $(PROGRAM_LDFLAGS) $(HOT) $(EVEREST_FLAGS) \
	    $(ECP_FLAGS) $(MBEDTLS) $(SRC))
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# The tools, and Mbed TLS. Looked after again whenever its source is not there.
$(B)/deps: script/deps $(B)/flags $(if $(wildcard $(MBEDTLS)/include/mbedtls/build_info.h),,FORCE)
	$(Q)MBEDTLS='$(MBEDTLS)' script/deps $(DEPS)
	@touch $@

# linux/, asm/ and asm-generic/ of the kernel, and no other header of the folders they are in: those
# of another C library are there, too.
$(B)/include: $(B)/deps
	@mkdir -p $@
	$(Q)echo '#include <linux/types.h>' | $(KERNEL_CC) -M -x c - | tr -s ' \\' '\n\n' | \
	    sed -En 's,(/(linux|asm|asm-generic))/[^/]*$$,\1,p' | sort -u | \
	    while read -r folder; do ln -sfn "$$folder" $@/; done

$(MBEDTLS_SRC:%=$(MBEDTLS)/%): | $(B)/deps ;

# ---- the unit tests: the machine's own C library, under the sanitizers ----

TEST_SRC := $(wildcard test/test_*.c)
ifneq ($(SEED),1)
TEST_SRC := $(filter-out test/test_sts1%,$(TEST_SRC))
endif
TEST_BIN := $(TEST_SRC:test/%.c=$(T)/%)
TEST_LIB := $(T)/libsts.a
TEST_CFLAGS := -g $(TEST_KIND)
# gcc sees conversions that are not there in what UBSan adds; `make` and clang look for them anyway.
TEST_WARN := $(filter-out -Wconversion,$(WARN))
TEST_OBJ := $(patsubst %.c,$(T)/%.o,$(filter-out main.c,$(SRC)))
TEST_MBEDTLS_OBJ := $(MBEDTLS_SRC:%.c=$(T)/mbedtls/%.o)
VECTORS := $(T)/vectors_sts1.h $(T)/vectors_sts2.h

unit: $(TEST_BIN)

# Functions that a test puts its own in the place of.
$(T)/test_crypto: private WRAP := crypto_arena_calloc getrandom
$(T)/test_input: private WRAP := read
$(T)/test_keys: private WRAP := fdatasync fsync getrandom pwrite
$(T)/test_lookup: private WRAP := connect files_open send
$(T)/test_resolve: private WRAP := sandbox_enter
$(T)/test_spool: private WRAP := fcntl fdatasync flock fstat fsync ftruncate poll pread pwrite
$(T)/test_spooler: private WRAP := fdatasync pread pwrite
$(T)/test_store: private WRAP := fdatasync fsync pwrite
$(T)/test_store_out: private WRAP := fdatasync fsync ftruncate pwrite write

$(T)/test_%: $(T)/test_%.o $(TEST_LIB)
	$(if $(Q),@echo "  LD    $@")
	$(Q)$(NATIVE_CC) $(TEST_CFLAGS) -o $@ $< $(WRAP:%=-Wl,--wrap=%) $(TEST_LIB) -lcmocka

$(T)/test_%.o: test/test_%.c $(T)/flags $(VECTORS)
	$(if $(Q),@echo "  CC    $<")
	$(Q)$(NATIVE_CC) $(BASE) -iquote $(T) $(TEST_WARN) $(TEST_CFLAGS) -MMD -MP -c -o $@ $<

# Whatever the tests are linked with on another machine's kind is built for it.
ifneq ($(ARCH),)
$(TEST_BIN): $(T)/libcmocka.a

$(T)/libcmocka.a: $(CMOCKA)/src/cmocka.c $(T)/flags
	$(if $(Q),@echo "  CC    $(notdir $<)")
	$(Q)$(NATIVE_CC) -O1 -DHAVE_INTTYPES_H -DHAVE_SIGNAL_H -DHAVE_STRINGS_H -DHAVE_STRSIGNAL \
	    -DHAVE_SIGLONGJMP -DHAVE_CLOCK_REALTIME -DHAVE_STRUCT_TIMESPEC \
	    -DHAVE_GCC_THREAD_LOCAL_STORAGE -c -o $(T)/cmocka.o $<
	$(Q)rm -f $@
	$(Q)ar rcs $@ $(T)/cmocka.o

$(CMOCKA)/src/cmocka.c: | $(B)/deps ;
endif

$(TEST_LIB): $(TEST_OBJ) $(TEST_MBEDTLS_OBJ)
	$(Q)rm -f $@
	$(Q)ar rcs $@ $^

$(T)/%.o: %.c $(T)/flags | $(B)/deps
	$(if $(Q),@echo "  CC    $< (test)")
	$(Q)$(NATIVE_CC) $(BASE) $(TEST_WARN) $(TEST_CFLAGS) -MMD -MP -c -o $@ $<

$(T)/mbedtls/%.o: $(MBEDTLS)/%.c mbedtls_config.h $(T)/flags | $(B)/deps
	$(if $(Q),@echo "  CC    $(notdir $<) (test)")
	$(Q)mkdir -p $(@D)
	$(Q)$(NATIVE_CC) $(DEFINES) $(MBEDTLS_DEFINES) $(MBEDTLS_INCLUDE) $(TEST_CFLAGS) $(FILE_FLAGS) \
	    -c -o $@ $<

$(T)/vectors_%.h: test/vectors/%.json test/vectors/%_to_c.py
	@mkdir -p $(@D)
	$(Q)$(PYTHON) test/vectors/$*_to_c.py $< >$@

$(T)/flags: FORCE
	$(shell mkdir -p $(@D))$(file >$@.new,$(NATIVE_CC) $(BASE) $(TEST_WARN) $(TEST_CFLAGS) \
	    $(EVEREST_FLAGS) $(MBEDTLS) $(SRC))
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# The other compiler's opinion, of every flavour.
check-clang: $(VECTORS) | $(B)/deps
	$(if $(Q),@echo "  CLANG all sources")
	$(Q)for flavour in '1 1 1' '1 0 0' '0 1 0' '0 0 1'; do \
	    set -- $$flavour; \
	    $(CLANG) -fsyntax-only $(filter-out -DSTS_%,$(BASE)) -DSTS_SEED=$$1 -DSTS_RESOLVER=$$2 \
	        -DSTS_SANDBOX=$$3 $(MBEDTLS_DEFINES) $(MBEDTLS_INCLUDE) $(WARN) $(SRC) || exit 1; \
	done
	$(Q)$(CLANG) -fsyntax-only $(BASE) -iquote $(T) $(WARN) $(TEST_SRC)

# ---- constant time: STS/2 under valgrind; see test/ct/ct.c ----

# The program's own objects, once as they are and once with -O2. Of three files the functions that
# ct.c stands in front of get another name.
CT := $(B)/ct
CT_RENAME := $(foreach name,mbedtls_ct_memcmp noise_decrypt noise_read_1_payload peers_find,\
    -D$(name)=real_$(name))
CT_RENAMED := noise.o peers.o mbedtls/library/constant_time.o
CT_OBJ := $(CT)/ct.o $(CT_RENAMED:%=$(CT)/%) \
    $(filter-out $(B)/main.o $(CT_RENAMED:%=$(B)/%),$(OBJ) $(MBEDTLS_OBJ))

ct: $(CT)/ct
	$(Q)$(MAKE) --no-print-directory B=$(B)/O2 CFLAGS=-O2 $(B)/O2/ct/ct

$(CT)/ct: $(CT_OBJ) $(B)/sts.ld
	$(if $(Q),@echo "  LD    $@")
	$(Q)$(CC) -o $@ $(filter %.o,$^) $(PROGRAM_LDFLAGS) -Wl,--wrap=getrandom

# musl-gcc looks for no header of the machine's own.
$(CT)/ct.o: test/ct/ct.c $(B)/flags
	$(if $(Q),@echo "  CC    $<")
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(BASE) -isystem /usr/include/valgrind $(WARN) -g $(PROGRAM_CFLAGS) -MMD -MP -c -o $@ $<

$(CT)/%.o: %.c $(B)/flags
	$(Q)$(CC) $(BASE) $(WARN) $(PROGRAM_CFLAGS) $(CT_RENAME) -MMD -MP -c -o $@ $<

$(CT)/mbedtls/%.o: $(MBEDTLS)/%.c mbedtls_config.h $(B)/flags
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(DEFINES) $(MBEDTLS_DEFINES) $(MBEDTLS_INCLUDE) $(PROGRAM_CFLAGS) \
	    $(CT_RENAME) -c -o $@ $<

# ---- wiping: the program, and a record of its secrets; see test/test_wipe.py ----

# The program's own objects, but for those whose functions record.c stands in front of.
WIPE := $(B)/wipe
WIPE_NAMES := crypto_aead_open crypto_aead_seal crypto_hmac_sha256 crypto_random \
    crypto_secp256k1_keypair crypto_secp256k1_shared crypto_x25519_keypair crypto_x25519_public \
    crypto_x25519_shared
WIPE_MBEDTLS_NAMES := mbedtls_aes_setkey_dec mbedtls_aes_setkey_enc mbedtls_poly1305_starts \
    mbedtls_sha256_update
WIPE_RENAMED := crypto.o $(filter %/aes.o %/poly1305.o %/sha256.o,$(MBEDTLS_SRC:%.c=mbedtls/%.o))

$(WIPE)/sts: $(WIPE)/record.o $(WIPE_RENAMED:%=$(WIPE)/%) \
    $(filter-out $(WIPE_RENAMED:%=$(B)/%),$(OBJ) $(MBEDTLS_OBJ)) $(B)/sts.ld
	$(if $(Q),@echo "  LD    $@")
	$(Q)$(CC) -o $@ $(filter %.o,$^) $(PROGRAM_LDFLAGS)

$(WIPE)/record.o: test/wipe/record.c $(B)/flags
	$(if $(Q),@echo "  CC    $<")
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(MBEDTLS_DEFINES) $(MBEDTLS_INCLUDE) $(WARN) \
	    $(PROGRAM_CFLAGS) -MMD -MP -c -o $@ $<

$(WIPE)/crypto.o: crypto.c mbedtls_config.h $(B)/flags
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(MBEDTLS_DEFINES) $(MBEDTLS_INCLUDE) $(WARN) $(PROGRAM_CFLAGS) \
	    $(foreach name,$(WIPE_NAMES),-D$(name)=real_$(name)) -MMD -MP -c -o $@ $<

$(WIPE)/mbedtls/%.o: $(MBEDTLS)/%.c mbedtls_config.h $(B)/flags
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(DEFINES) $(MBEDTLS_DEFINES) $(MBEDTLS_INCLUDE) $(PROGRAM_CFLAGS) \
	    $(foreach name,$(WIPE_MBEDTLS_NAMES),-D$(name)=real_$(name)) -c -o $@ $<

# ---- fuzzing: libFuzzer, under the sanitizers; see test/fuzz/README.md ----

F := $(B)/fuzz
FUZZ_S ?= 60        # of each harness
JOBS ?= 2           # side by side
override FUZZ_S := $(strip $(FUZZ_S))
override JOBS := $(strip $(JOBS))

FUZZ := mqtt client sts2 push dns conf keyfiles store spool line text
ifeq ($(SEED),1)
FUZZ += sts1
endif
FUZZ_SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_LINK := -fsanitize=fuzzer
FUZZ_CFLAGS := -O1 -g -fno-omit-frame-pointer $(FUZZ_SANITIZE)
FUZZ_OBJ := $(patsubst %.c,$(F)/%.o,$(filter-out main.c,$(SRC)))
# Mbed TLS is fuzzed by others, and steers no mutation here.
FUZZ_MBEDTLS_OBJ := $(MBEDTLS_SRC:%.c=$(F)/mbedtls/%.o)
FUZZ_WRAP := fdatasync fstat fsync getrandom write

fuzzers: $(FUZZ:%=$(F)/fuzz_%)

fuzz:
	$(Q)MBEDTLS='$(MBEDTLS)' script/deps test
	$(Q)$(MAKE) --no-print-directory fuzzers
	$(Q)test/fuzz/run $(F) $(FUZZ_S) $(JOBS) $(FUZZ)

# Takes over what `make fuzz` has found that reaches something new, and drops what does not.
fuzz-merge: fuzzers
	$(Q)for harness in $(FUZZ); do \
	    mkdir -p $(F)/corpus/$$harness && rm -rf $(F)/merged && mkdir $(F)/merged && \
	    $(F)/fuzz_$$harness -set_cover_merge=1 -max_len=4096 $(F)/merged test/corpus/$$harness \
	        $(F)/corpus/$$harness >$(F)/merge.log 2>&1 && \
	    rm -rf test/corpus/$$harness && mv $(F)/merged test/corpus/$$harness || exit 1; \
	done

fuzz-coverage:
	$(Q)MBEDTLS='$(MBEDTLS)' script/deps test
	$(Q)$(MAKE) --no-print-directory F=$(B)/cover \
	    FUZZ_SANITIZE='-fprofile-instr-generate -fcoverage-mapping' fuzzers
	$(Q)CLANG='$(CLANG)' V=$(V) test/fuzz/coverage $(B)/cover $(FUZZ)

$(F)/fuzz_client: private FUZZ_WRAP += close connect getsockopt read sendmsg setsockopt socket
$(F)/fuzz_line: private FUZZ_WRAP += load_conf session_send spawn_start

$(F)/fuzz_%: $(F)/harness/%.o $(F)/harness/common.o $(F)/libsts.a
	$(if $(Q),@echo "  LD    $@")
	$(Q)$(CLANG) $(FUZZ_CFLAGS) $(FUZZ_LINK) -o $@ $^ $(FUZZ_WRAP:%=-Wl,--wrap=%)

$(F)/libsts.a: $(FUZZ_OBJ) $(FUZZ_MBEDTLS_OBJ)
	$(Q)rm -f $@
	$(Q)ar rcs $@ $^

$(F)/harness/%.o: test/fuzz/%.c $(F)/flags
	$(if $(Q),@echo "  CC    $<")
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BASE) -iquote test/fuzz $(WARN) $(FUZZ_CFLAGS) -MMD -MP -c -o $@ $<

$(F)/%.o: %.c $(F)/flags | $(B)/deps
	$(if $(Q),@echo "  CC    $< (fuzz)")
	$(Q)$(CLANG) $(BASE) $(WARN) $(FUZZ_CFLAGS) $(FUZZ_LINK)-no-link -MMD -MP -c -o $@ $<

$(F)/mbedtls/%.o: $(MBEDTLS)/%.c mbedtls_config.h $(F)/flags
	$(if $(Q),@echo "  CC    $(notdir $<) (fuzz)")
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(DEFINES) $(MBEDTLS_DEFINES) $(MBEDTLS_INCLUDE) $(FUZZ_CFLAGS) -O2 \
	    $(filter-out -fpeel-loops -fno-inline-functions,$(FILE_FLAGS)) -c -o $@ $<

# X25519 reads and writes 32 bytes each time: all that sanitizers would do is to halve the runs.
$(F)/mbedtls/$(EVEREST).o: private FILE_FLAGS := $(EVEREST_FLAGS) -fno-sanitize=all
$(F)/crypto.o: private BASE += $(MBEDTLS_DEFINES) $(MBEDTLS_INCLUDE)
$(F)/crypto.o: mbedtls_config.h

$(F)/flags: FORCE
	$(shell mkdir -p $(@D))$(file >$@.new,$(CLANG) $(BASE) $(WARN) $(FUZZ_CFLAGS) $(FUZZ_LINK) \
	    $(MBEDTLS) $(SRC))
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# ---- analyzers ----

lint:
	$(Q)MBEDTLS='$(MBEDTLS)' script/deps test
	$(Q)$(MAKE) --no-print-directory $(B)/include
	$(Q)for with in gcc clang-tidy clang-format cppcheck shellcheck; do \
	    MBEDTLS='$(MBEDTLS)' script/lint $$with || exit 1; done

format:
	$(Q)clang-format -i *.[ch] test/*.[ch] test/*/*.[ch]

# ---- proof: Frama-C/Eva ----

prove:
	$(Q)script/deps prove
	$(Q)test/prove/run

# ---- what bench measures beside the program itself ----

$(B)/bench/crypto: $(B)/bench/crypto.o $(filter-out $(B)/main.o,$(OBJ)) $(MBEDTLS_OBJ) \
    $(B)/sts.ld
	$(if $(Q),@echo "  LD    $@")
	$(Q)$(CC) -o $@ $(filter %.o,$^) $(PROGRAM_LDFLAGS)

$(B)/bench/%.o: test/bench/%.c $(B)/flags | $(B)/include
	$(if $(Q),@echo "  CC    $<")
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(BASE) $(WARN) $(PROGRAM_CFLAGS) -MMD -MP -c -o $@ $<

# ---- other machines, all of them ----

cross:
	$(Q)MBEDTLS='$(MBEDTLS)' script/deps test
	$(Q)script/deps cross
	$(Q)$(MAKE) --no-print-directory all
	$(Q)for arch in $(ARCHS); do $(MAKE) --no-print-directory ARCH=$$arch all unit || exit 1; done
	$(Q)script/cross $(ARCHS)

VERSION := $(shell sed -n 's/^\#define STS_VERSION "\(.*\)"/\1/p' version.h)

dist:
	$(Q)MBEDTLS='$(MBEDTLS)' script/deps cross
	$(Q)$(MAKE) --no-print-directory all
	$(Q)for arch in $(ARCHS); do $(MAKE) --no-print-directory ARCH=$$arch all || exit 1; done
	$(Q)rm -rf $(B)/dist && mkdir $(B)/dist
	$(Q)cp $(B)/sts $(B)/dist/sts-$(VERSION)-$$(uname -m)
	$(Q)for arch in $(ARCHS); do cp $(B)/$$arch/sts $(B)/dist/sts-$(VERSION)-$$arch || exit 1; done
	$(Q)cd $(B)/dist && sha256sum sts-* >SHA256SUMS && cat SHA256SUMS

# ---- everything at once ----

# One after the other, for the first installs what the others need.
test:
	$(Q)MBEDTLS='$(MBEDTLS)' script/deps test
	$(Q)$(MAKE) --no-print-directory all unit ct $(WIPE)/sts fuzzers check-clang
	$(Q)test/run

test-brokers:
	$(Q)MBEDTLS='$(MBEDTLS)' script/deps brokers
	$(Q)$(MAKE) --no-print-directory all
	$(Q)STS='$(B)/sts' test/brokers/run $(BROKERS)

demo:
	$(Q)MBEDTLS='$(MBEDTLS)' script/deps demo
	$(Q)$(MAKE) --no-print-directory all
	$(Q)script/demo

bench:
	$(Q)MBEDTLS='$(MBEDTLS)' script/deps test
	$(Q)$(MAKE) --no-print-directory all $(B)/bench/crypto
	$(Q)script/bench $(B)

growth:
	$(Q)MBEDTLS='$(MBEDTLS)' script/deps test
	$(Q)$(MAKE) --no-print-directory all
	$(Q)script/growth $(B)

# What test/test_instructions.py holds the program against.
instructions:
	$(Q)MBEDTLS='$(MBEDTLS)' script/deps test
	$(Q)$(MAKE) --no-print-directory all
	$(Q)STS_DEBUG='$(B)/sts.debug' $(PYTHON) test/test_instructions.py --renew

fault:
	$(Q)MBEDTLS='$(MBEDTLS)' script/deps test
	$(Q)$(MAKE) --no-print-directory all
	$(Q)STS='$(B)/sts' $(PYTHON) test/fault/fault.py $(FAULT)

# The flavours side by side. -g changes no instruction; the map says what the libraries bring.
size: | $(B)/deps
	$(Q)for flavour in 'all 1 1' 'seed0 0 1' 'bare 0 0'; do \
	    set -- $$flavour; \
	    $(MAKE) --no-print-directory B=$(B)/size/$$1 SEED=$$2 RESOLVER=$$3 CFLAGS='$(CFLAGS) -g' \
	        LDFLAGS='$(LDFLAGS) -Wl,-Map=$(B)/size/'$$1/sts.map || exit 1; \
	done
	$(Q)$(PYTHON) script/size $(SIZE) $(B)/size '$(ARCH)' '$(STRIP:%strip=%)'

# ---- installing ----

BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
DOCDIR ?= $(PREFIX)/share/doc/sts
BASHCOMPDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHCOMPDIR ?= $(PREFIX)/share/zsh/site-functions

# Mode, file, place: one file a line.
define INSTALLED
0755 $(B)/sts $(BINDIR)/sts
0644 doc/sts.1 $(MANDIR)/man1/sts.1
0644 doc/sts.conf.5 $(MANDIR)/man5/sts.conf.5
0644 completions/sts.bash $(BASHCOMPDIR)/sts
0644 completions/_sts $(ZSHCOMPDIR)/_sts
$(foreach file,$(sort $(wildcard config/*)),
0644 $(file) $(DOCDIR)/$(file))
endef
install uninstall: export LIST = $(INSTALLED)

# The manual says where the samples are. Nothing is written under build/, which is a user's own
# where root installs.
install: all
	$(Q)printf '%s\n' "$$LIST" | while read -r mode file place; do \
	    [ -z "$$mode" ] || { echo "  INSTALL $(DESTDIR)$$place" && \
	        install -D -m "$$mode" "$$file" "$(DESTDIR)$$place"; } || exit 1; \
	done
	$(Q)sed -i 's,/usr/local/share/doc/sts,$(DOCDIR),' "$(DESTDIR)$(MANDIR)/man1/sts.1"

# Of folders only its own, and that when nothing else is in it.
uninstall:
	$(Q)printf '%s\n' "$$LIST" | while read -r mode file place; do \
	    [ -z "$$mode" ] || rm -f "$(DESTDIR)$$place" || exit 1; \
	done
	$(Q)rmdir "$(DESTDIR)$(DOCDIR)/config" "$(DESTDIR)$(DOCDIR)" 2>/dev/null || true

clean:
	rm -rf $(B)

-include $(OBJ:.o=.d) $(TEST_OBJ:.o=.d) $(TEST_BIN:=.d)
-include $(CT)/ct.d $(CT)/noise.d $(CT)/peers.d $(WIPE)/crypto.d $(WIPE)/record.d
-include $(FUZZ_OBJ:.o=.d) $(FUZZ:%=$(F)/harness/%.d) $(F)/harness/common.d
