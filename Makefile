# SPDX-License-Identifier: GPL-2.0
# Every entry point of the project. `make help` lists them.
# For kbuild's part of the module see Kbuild.

include versions.conf

# Passed on to scripts/lab, which checks them. KVER in versions.conf is the default; only one given here is passed on.
CHIP ?= b300
DRIVER ?= r8168_rust
export DESTDIR PREFIX CHIP DRIVER STANDIN ROUNDS COMPARE JSON NODES KICKSTART KERNEL STORMS REMOVALS CHANGES UNPLUGS PRESSURE DAMAGED MUTANTS SEED MODULE DIST SIZE WIRE DIE KILLS FLOOD MODE
# A module that is given says for which kernel it was built.
packed = $(if $(MODULE),,$(KVER))
ifeq ($(origin KVER),command line)
export KVER
endif

.DEFAULT_GOAL := all
# The compiler of the module for the running kernel. The environment's CC is for programs.
cc = $(if $(filter command,$(origin CC)),$(CC))
# Every target but files below build.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*/\1/p' Makefile)

##@ On a machine with the card

all: ## Build the module for the running kernel (or for KDIR=DIRECTORY), without the toolbox (STANDIN=1 RUSTC= BINDGEN= CC= LLVM=)
	@KDIR="$(KDIR)" STANDIN="$(STANDIN)" RUSTC="$(RUSTC)" BINDGEN="$(BINDGEN)" CC="$(cc)" LLVM="$(LLVM)" scripts/build >/dev/null && \
	echo "built build/host/r8168_rust.ko; load it with: sudo make load"

build/host/r8168_rust.ko:
	@echo "make: found no build/host/r8168_rust.ko; build it first: make" >&2; exit 1

load: build/host/r8168_rust.ko ## Load the module that `make` built (as root)
	@scripts/load build/host/r8168_rust.ko

unload: ## Unload the module (as root)
	@scripts/load --unload

install: build/host/r8168_rust.ko ## Install the module and its manual pages for the running kernel, to come before r8169 (as root; DESTDIR= PREFIX=)
	@scripts/load --install build/host/r8168_rust.ko

uninstall: ## Undo what `make install` did (as root; DESTDIR= PREFIX= KVER=)
	@scripts/load --uninstall

sign: ## Sign the module for Secure Boot (KEY= CERT=, KVER= or MODULE=, ENROLL=1)
	@scripts/sign $(if $(ENROLL),--enroll) "$(KEY)" "$(CERT)" $(packed)

##@ Without the card: an emulated one

run: ## Boot a stock kernel on the emulated chip, drive it, report (CHIP= DRIVER= KVER= MODULE=)
	@scripts/lab run

shell: ## A console in the same guest (CHIP= DRIVER= KVER=)
	@scripts/lab shell

install-demo: ## Install nodes from bare metal over the emulated chip; phases and a picture (NODES=1 KERNEL=stock|backports KVER=)
	@scripts/install-demo

diskless-demo: ## Boot nodes without a disk over the emulated chip, the root loaded by HTTP (NODES=1 KERNEL= KVER=)
	@scripts/install-demo --diskless

cluster-demo: ## Have nodes compute together over the emulated chip: srun, MPI, a node that loses its power (as root; NODES=2 MODE=diskless|install)
	@scripts/cluster-demo

##@ For installers and packagers

usb-stick: ## Make an image for a USB stick: the Debian installer with the driver, for one PC without a network (OUT= PRESEED= KEY= CERT=)
	@scripts/usb-stick $(if $(OUT),-o "$(OUT)") $(if $(PRESEED),--preseed "$(PRESEED)") $(if $(KEY),--key "$(KEY)") $(if $(CERT),--cert "$(CERT)")

offline: ## Make one file that gives a machine without a network its driver, to be carried there (KVER="KVER..." WITH_KERNEL=1 MODULE= OUT=)
	@scripts/make-offline $(if $(OUT),-o "$(OUT)") $(if $(WITH_KERNEL),--with-kernel) $(if $(MODULE),--module "$(MODULE)") \
		$(if $(filter command,$(origin KVER)),$(KVER))

deb: ## Make Debian packages: DKMS, prebuilt, udeb (KVER= or MODULE=)
	@scripts/make-deb $(packed)

rpm: ## Make RPM packages: source, kmod (KVER= or MODULE=)
	@scripts/make-rpm $(packed)

inject-deb: ## Make inject-initrd a Debian package, for machines without a checkout
	@scripts/make-deb --out build/inject-deb inject-initrd

# The shell expands what is given, and does not read it again, as it would what make puts in.
release: ## Make all that people download, with sums and an SBOM (PARTS= KVER="KVER..." OUT= GPG_KEY= TWICE=1 DRY_RUN=1)
	@scripts/make-release $${PARTS:+--only $$PARTS} $(if $(filter command,$(origin KVER)),--kernels $$KVER) $${OUT:+-o "$$OUT"} \
		$${GPG_KEY:+--key "$$GPG_KEY"} $${TWICE:+--twice} $${DRY_RUN:+--dry-run}

driver-disk: ## Make a driver disk (FLAVOR=debian|anaconda|suse|rhel4, KVER= or MODULE=, DIST= for suse)
	@scripts/make-driver-disk "$(FLAVOR)" $(if $(filter command%,$(origin KVER)),$(packed))

##@ Tests; CI runs `make test`

test: ## Lint, and the tests of the rings, the model, the set-up, the head node, and in guests (three quarters of an hour)
	@scripts/test

test-host: ## The tests that boot nothing: the build, the rings and the stand-in (with loom), the model
	@scripts/test-host

test-guests: ## The tests that boot guests (T="NAME..." for some of them)
	@scripts/lab test $(T)

test-setup: ## Test the set-up against a mirror that misbehaves, on loopback, and against SIGKILL (T=)
	@scripts/test-setup $(T)

test-cluster: ## Test the head node's services; boots nothing (T= KILLS= FLOOD= SEED=)
	@scripts/test-cluster $(T)

test-model: ## The emulated chip's own tests, and what it costs the host under a stock guest
	@scripts/test-host model
	@scripts/lab test the_model

fuzz-briefly: ## Fuzz the emulated chip for 5 s a target, as `make test` does
	@scripts/fuzz-model --seconds 5

##@ Tests that take longer or download more

test-inject: ## Test inject-initrd on real, made and damaged initrds (T= DAMAGED= MUTANTS= SEED=)
	@scripts/test-inject $(T)

test-kernels: ## Build for and boot a stock kernel of each series, a table (K="KVER..." for some; STANDIN=1; 5 minutes each)
	@scripts/test-kernels $(K)

test-distro: ## Build and drive with packages of another distribution's kernel (DISTRO_DEBS=DIRECTORY; else made in their layout)
	@scripts/test-distro $(if $(DISTRO_DEBS),"$(DISTRO_DEBS)")

test-standin: ## The module on the stand-in beside that on the kernel's crate: guests, size, instructions a frame (T= ROUNDS= SERIES=)
	@scripts/test-standin $(T)

test-debug: ## Tests on a kernel that checks itself: KASAN, lockdep, leaks, faults, and a minute of fuzz-driver (T= STORMS= REMOVALS= CHANGES= UNPLUGS= PRESSURE=)
	@$(if $(T),,scripts/fuzz-driver --debug --slow 4 --seconds 60)
	@scripts/lab debug $(T)

test-selftests: ## The kernel's own selftests, with r8169's results beside ours (T= CHIP= KVER=)
	@scripts/selftests $(T)

test-stick: ## Test the image for a USB stick: bytes, refusals, boots by BIOS and UEFI, an installation (T=PART)
	@scripts/test-stick $(T)

test-offline: ## Test the file for a machine without a network: its bytes, and in a guest that has none (T=PART)
	@scripts/test-offline $(T)

test-witnesses: ## Other drivers of the chip, and ours, on both chips: a table (W="NAME..." for some of them)
	@scripts/lab witnesses $(W)

test-packages: ## Install, upgrade, remove the Debian packages in a system made for it; DKMS builds; loads that in guests
	@scripts/test-packages

test-driver-disks: ## Have the driver disks read by the programs of installers (T= ANACONDA_DRACUT=FILE PUBLIC_FILES=DIRECTORY)
	@scripts/test-driver-disks $(T)

test-signing: ## Load signed and unsigned modules on a machine with Secure Boot
	@scripts/test-signing

test-scale: ## Simulate a hundred nodes that are switched on at once before one head node: a table and a picture (NODES= SIZE= WIRE= DIE= SEED=)
	@scripts/test-scale

test-page: ## Look at the head node's page with a browser: a hundred nodes, wide and narrow, kept up to date (173 MB to download once)
	@scripts/test-page

test-slurm: ## Have nodes compute by Slurm and MPI: srun, a checked answer, a ping-pong, a node that loses its power (NODES=2)
	@scripts/test-slurm

test-install: ## `install-demo`, failing if anything on the nodes is not as it should be (NODES=1 KERNEL= KVER=)
	@scripts/install-demo --test

test-install-faults: ## Each fault of an installation that is reported: a test (T= for some of them)
	@scripts/install-demo --faults $(T)

test-diskless: ## `diskless-demo`, failing if anything on the nodes is not as it should be (NODES=1 KERNEL= KVER=)
	@scripts/install-demo --diskless --test

fuzz-model: ## Fuzz the emulated chip, and say how much of it that reaches (SECONDS_EACH=30)
	@scripts/fuzz-model --seconds $(or $(SECONDS_EACH),30) --coverage

fuzz-driver: ## Fuzz the driver in a guest, through a device that lies (SECONDS=60 CHIP= DRIVER=r8169 SEED=1; scripts/fuzz-driver --help)
	@scripts/fuzz-driver --chip "$(CHIP)" --driver "$(DRIVER)" $(if $(SECONDS),--seconds "$(SECONDS)") $(if $(SEED),--seed "$(SEED)")

test-mutants: ## Change what compiles on the host, one place at a time: do the tests notice? A table (T=PART SHARD=K/N JOBS=1)
	@scripts/test-mutants $(if $(SHARD),--shard "$(SHARD)") $(if $(JOBS),--jobs "$(JOBS)") $(T)

check-models: ## Have model checkers look for arguments, or orders of calls, on which descriptors and the ring between two CPUs are wrong
	@scripts/check-models
	@scripts/check-models --broken

##@ Development

lint: ## Check form: rustfmt, clippy, shellcheck, shfmt, ruff, mypy, vulture
	@scripts/lint

module: ## Build the module in the toolbox for a stock kernel (KVER=)
	@scripts/module $(KVER)

toolbox: ## Make the toolbox: compilers and QEMU, in the cache outside the tree
	@scripts/toolbox create

next: ## What a kernel that is not supported yet needs, on a page (KDIR=DIRECTORY KVER=)
	@scripts/next-kernel "$(KDIR)" $(if $(filter command,$(origin KVER)),$(KVER))

pins: ## Pin the packages of versions.conf by content, out of verified package lists
	@scripts/pin

bench: ## Measure this driver beside r8169 and Realtek's r8168: counts, ratios, plots (ROUNDS=3 COMPARE=REVISION KVER=)
	@scripts/bench

count: ## Count the module's instructions a frame, by function, in 64 MiB each way (CHIP= DRIVER= KVER= MODULE= STANDIN=1)
	@scripts/lab count

test-boots: ## Boot the same guest N=500 times: a table of hangs and times (COMPARE=1 ALSO="NAME=QEMU-ARGUMENTS -- KERNEL-ARGUMENTS" KVER=)
	@scripts/test-boots --count $(or $(N),500) $(if $(COMPARE),--compare) $(if $(ALSO),--also "$(ALSO)")

test-answers: ## Check a corpus of kickstart and preseed files, and summarise (CORPUS=DIRECTORY)
	@scripts/test-answers "$(CORPUS)"

clean: ## Remove what was built; the cache stays
	rm -rf build qemu/target tests/target tests/rings/target

help: ## This list
	@sed -n 's/^##@ \(.*\)/\n\1:/p; s/^\([a-z-]*\):[^#]*## \(.*\)/  \1\t\2/p' Makefile | expand -t 23
