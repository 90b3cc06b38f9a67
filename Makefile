# make demo     build textmill and go the whole way once, from text to a model
# make test     in under 15 minutes: the C++ core under sanitizers, kernels, Python; needs no root
# make test-slow    the rest of what CI runs: threads, other processors, fuzzing, Python tests above ten seconds
# make check    style, types, layers, stubs, the pages of docs/
# make fuzz     each libFuzzer target for SECONDS=600, from another place every time unless SEED says one
# make test-arm the engine's C++ tests for 64-bit Arm, under an emulator
# make bench-tokenizer, bench-inference, bench-serving, bench-data, bench-training, bench-tuning, bench-evaluation, bench-studio   the figures of docs/benchmarks
# make test-clients    OpenAI's client, LiteLLM, LangChain and schemathesis against the server (test-slow has them, too)
# make docs     the pages of docs/ as a site, build/docs/index.html; a link that leads nowhere is an error
# make studio   the page of `textmill studio`, from studio-web (needs Node 20.19 or newer); make test-browser drives it, make screenshots takes its pictures
# make gpu-check   the runner and the trainer on a GPU: tests and figures, where there is one
# make system   what needs root: the Debian packages of the compilers, a browser with Chinese and emoji (16 MB), clang and an emulator

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt
CPP := $(shell find cpp -name '*.cpp' -o -name '*.h' -o -name '*.inc')
NATIVE := $(CPP) CMakeLists.txt pyproject.toml constraints.txt $(wildcard recipes/*.toml)
FORMATTED := $(shell find cpp -name '*.cpp' -o -name '*.h')
WEB := studio-web
DIST := src/textmill/studio/dist/index.html
DEMO_MINUTES ?= 2
SECONDS ?= 600
SEED ?= 0
CLANG ?= clang++-16
ARM_CXX ?= aarch64-linux-gnu-g++
QEMU_ARM ?= qemu-aarch64
CMAKE := $(BIN)/cmake -S . -G Ninja -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja

.PHONY: demo studio studio-example test-browser screenshots check-studio test test-slow test-long test-python test-python-slow test-clients test-cpp test-kernels test-threads test-sanitized test-fuzz test-arm fuzz check docs figures format stubs bench bench-tokenizer bench-inference bench-serving bench-data bench-training bench-tuning bench-evaluation bench-studio gpu-check system clean help
.DELETE_ON_ERROR:

help:
	@sed -n 's/^# //p' Makefile

demo: $(VENV)/.installed
	$(BIN)/textmill demo --minutes $(DEMO_MINUTES)

test: test-cpp test-kernels test-python

test-slow: test-threads test-sanitized test-fuzz test-arm test-browser test-python-slow

# The proofs that CI runs shortened, at full length: about an hour on 2 cores.
test-long: $(VENV)/.installed-tools
	TEXTMILL_INVARIANCE_CASES=10000 $(BIN)/python -m pytest tests/infer/test_native_invariance.py
	TEXTMILL_KILLS=40 $(BIN)/python -m pytest tests/data/test_prepare_killed.py
	TEXTMILL_GREEDY_TOKENS=256 $(BIN)/python -m pytest tests/infer/test_real_model.py
	TEXTMILL_FUZZ_SECONDS=600 $(BIN)/python -m pytest tests/attacks/test_fuzz_loaders.py
	TEXTMILL_KILLS=20 $(BIN)/python -m pytest tests/train/test_killed_runs.py
	TEXTMILL_POISON_BATCHES=50 $(BIN)/python -m pytest tests/train/test_spikes.py
	TEXTMILL_PARITY_STEPS=200 $(BIN)/python -m pytest tests/train/test_parity.py
	TEXTMILL_EXTENSION_STEPS=700,700 $(BIN)/python -m pytest tests/train/test_extension.py
	TEXTMILL_LOAD_SECONDS=300 $(BIN)/python -m pytest tests/serve/test_load.py
	$(BIN)/python -m pytest --hypothesis-profile exploring -m "not slow and not alone"

# Two processes share the files of tests; those that need the machine to themselves follow.
PYTEST := $(BIN)/python -m pytest --durations 15
test-python: $(VENV)/.installed-tools
	$(PYTEST) --numprocesses 2 --dist loadfile -m "not alone and not slow"
	$(PYTEST) -m "alone and not slow"

test-python-slow: $(VENV)/.installed-tools
	$(PYTEST) --numprocesses 2 --dist loadfile -m "slow and not alone"
	$(PYTEST) -m "slow and alone"

# Each client has an environment of its own under build/clients, made once.
test-clients: $(VENV)/.installed-tools
	$(PYTEST) -m clients

SANITIZED := build/tests
.PHONY: build-sanitized
build-sanitized: $(VENV)/.installed-tools
	$(CMAKE) -B $(SANITIZED) -DTEXTMILL_TESTS=ON -DTEXTMILL_PYTHON=ON -DTEXTMILL_SANITIZE=address,undefined \
		-DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python -Dnanobind_DIR=$$($(BIN)/python -m nanobind --cmake_dir) \
		> $(SANITIZED).log || (cat $(SANITIZED).log; exit 1)
	$(BIN)/cmake --build $(SANITIZED)

test-cpp: build-sanitized
	$(BIN)/ctest --test-dir $(SANITIZED) --output-on-failure --parallel 2

# The kernels as they are shipped: what the optimiser makes of them is not what the sanitizers see.
test-kernels: $(VENV)/.installed-tools
	$(CMAKE) -B build/kernels -DTEXTMILL_TESTS=ON -DTEXTMILL_PYTHON=OFF > build/kernels.log || (cat build/kernels.log; exit 1)
	$(BIN)/cmake --build build/kernels --target test_engine test_training_kernels test_attention
	$(BIN)/ctest --test-dir build/kernels --tests-regex 'engine|kernels|attention' --output-on-failure

# ThreadSanitizer cannot be combined with the others; only the tests that start threads are built for it.
test-threads: $(VENV)/.installed-tools
	$(CMAKE) -B build/threads -DTEXTMILL_TESTS=ON -DTEXTMILL_PYTHON=OFF -DTEXTMILL_SANITIZE=thread \
		> build/threads.log || (cat build/threads.log; exit 1)
	$(BIN)/cmake --build build/threads --target test_threads test_forward test_training_kernels
	$(BIN)/ctest --test-dir build/threads --tests-regex threads --output-on-failure

# The extension under ASan and UBSan, below the Python tests that give it the hardest texts. libstdc++ is loaded early
# because ASan looks for its exceptions at the start, and -S keeps the extension that is installed out of the way.
test-sanitized: build-sanitized
	$(BIN)/cmake --install $(SANITIZED) --prefix $(SANITIZED)/site > /dev/null
	cp -r src/textmill $(SANITIZED)/site
	LD_PRELOAD="$$(c++ -print-file-name=libasan.so) $$(c++ -print-file-name=libstdc++.so)" \
		ASAN_OPTIONS=detect_leaks=0 TEXTMILL_MAX_EXAMPLES=20 TEXTMILL_TIME_BOUND_S=30 \
		PYTHONPATH=$(SANITIZED)/site:$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
		$(BIN)/python -S -m pytest -q -p no:cacheprovider -m "not peer and not slow" -k "not million" \
		$(addprefix tests/tokenizer/test_,added_tokens.py encode.py normalize.py scanner.py sentencepiece.py train.py) \
		$(addprefix tests/attacks/test_,regexes.py tokenizer_files.py) tests/infer/test_native_core.py

# The portable kernels and the forward pass on 64-bit Arm, compiled here and run by an emulator.
test-arm: $(VENV)/.installed-tools
	@for tool in $(ARM_CXX) $(QEMU_ARM); do command -v $$tool > /dev/null || \
		{ echo "tests on Arm are skipped: $$tool is not here (sudo make system installs it)"; exit 0; }; done; \
	$(CMAKE) -B build/arm -DTEXTMILL_TESTS=ON -DTEXTMILL_PYTHON=OFF -DCMAKE_CXX_COMPILER=$(ARM_CXX) \
		-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
		'-DCMAKE_CROSSCOMPILING_EMULATOR=$(QEMU_ARM);-L;/usr/aarch64-linux-gnu' \
		> build/arm.log || { cat build/arm.log; exit 1; }; \
	$(BIN)/cmake --build build/arm --target test_engine test_forward test_training_kernels test_attention && \
	$(BIN)/ctest --test-dir build/arm --tests-regex 'engine|forward|kernels|attention' --output-on-failure --parallel 2

test-fuzz:
	@$(MAKE) --no-print-directory fuzz SECONDS=20 SEED=1

fuzz: $(VENV)/.installed-tools
	@command -v $(CLANG) > /dev/null || \
		{ echo "fuzzing is skipped: $(CLANG) is not here (sudo make system installs it)"; exit 0; }; \
	CC=$(CLANG:clang++%=clang%) CXX=$(CLANG) $(CMAKE) -B build/fuzz -DTEXTMILL_FUZZ=ON -DTEXTMILL_PYTHON=OFF \
		-DTEXTMILL_SANITIZE=address,undefined -DTEXTMILL_FUZZ_SECONDS=$(SECONDS) -DTEXTMILL_FUZZ_SEED=$(SEED) \
		> build/fuzz.log || { cat build/fuzz.log; exit 1; }; \
	$(BIN)/cmake --build build/fuzz && $(BIN)/ctest --test-dir build/fuzz --output-on-failure -j2 || \
		{ echo "what failed is kept: build/fuzz/fuzz_TARGET build/fuzz/failures/FILE runs it again"; exit 1; }

check: $(VENV)/.installed-tools
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/clang-format --dry-run --Werror $(FORMATTED)
	$(BIN)/pyrefly check
	PYTHONPATH=src $(BIN)/lint-imports --no-cache
	$(BIN)/python -m nanobind.stubgen -m textmill._core -p cpp/bindings/stubs.txt -o build/_core.pyi
	diff -u src/textmill/_core.pyi build/_core.pyi
	@$(MAKE) --no-print-directory docs
	@if command -v npm > /dev/null; then $(MAKE) --no-print-directory check-studio; \
		else echo "npm is not here, so the page in studio-web is not checked" >&2; fi

# Broken links and pages that docs/index.md names nowhere are warnings, and so errors.
docs: $(VENV)/.installed-tools
	$(BIN)/python -m sphinx -W --keep-going -q -d build/doctrees -b html docs build/docs

# The figures of docs/concepts, drawn from textmill's own code.
figures: $(VENV)/.installed-tools
	$(BIN)/python docs/figures

format: $(VENV)/.installed-tools
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(FORMATTED)

stubs: $(VENV)/.installed-tools
	$(BIN)/python -m nanobind.stubgen -m textmill._core -p cpp/bindings/stubs.txt -o src/textmill/_core.pyi

bench: $(VENV)/.installed-tools
	$(BIN)/python benchmarks/demo.py

bench-tokenizer: $(VENV)/.installed-tools
	$(BIN)/python benchmarks/tokenizer.py --write

# llama.cpp is built for this machine first (build/peers), and a model is trained to be scored (build/bench-model).
bench-inference: $(VENV)/.installed-tools
	$(BIN)/textmill model get smollm2-135m-instruct
	$(BIN)/python benchmarks/inference.py --write

# llama.cpp's server and llama-cpp-python's are built for this machine first (build/peers), which takes many minutes.
bench-serving: $(VENV)/.installed-tools
	$(BIN)/textmill model get smollm2-135m-instruct
	$(BIN)/python benchmarks/serving.py --write

# datatrove, datasketch and rensa are installed first (build/peers); TEXT is a folder of .txt files, 10 MB or more.
bench-data: $(VENV)/.installed-tools
	@[ -n "$(TEXT)" ] || { echo "make bench-data needs text: make bench-data TEXT=FOLDER, of .txt files, 10 MB or more" >&2; exit 1; }
	$(BIN)/python benchmarks/data.py "$(TEXT)" --out docs/benchmarks/data.md

# TEXT is tiny-shakespeare; without it, the characters are left out.
bench-training: $(VENV)/.installed-tools
	$(BIN)/python benchmarks/training.py $(if $(TEXT),--text "$(TEXT)") --out docs/benchmarks/training.md

# lm-evaluation-harness is installed first (build/peers).
bench-evaluation: $(VENV)/.installed-tools
	$(BIN)/textmill model get smollm2-135m-instruct
	$(BIN)/python benchmarks/evaluation.py --write

# TRL and PEFT are installed first (build/peers).
bench-tuning: $(VENV)/.installed-tools
	$(BIN)/textmill model get smollm2-135m-instruct
	$(BIN)/python benchmarks/tuning.py --out docs/benchmarks/tuning.md

bench-studio: $(VENV)/.installed-tools $(DIST)
	$(BIN)/python benchmarks/studio.py --write

# Checks and measures the torch runner and the trainer on a CUDA device, in under 10 minutes; without one it says so.
gpu-check: $(VENV)/.installed-tools
	$(BIN)/python benchmarks/gpu.py

# The page: hashed files that git ignores, and that sdist and wheel carry. Nobody who installs textmill needs Node.
WEB_SOURCES := $(shell find $(WEB) -path $(WEB)/node_modules -prune -o -path $(WEB)/tests -prune -o -type f -print)

studio: $(DIST)

$(DIST): $(WEB)/node_modules/.installed $(WEB_SOURCES)
	cd $(WEB) && npm run --silent build
	@touch $@

$(WEB)/node_modules/.installed: $(WEB)/package-lock.json
	@command -v npm > /dev/null || { echo "the page is built with Node 20.19 or newer, and npm is not here: https://nodejs.org" >&2; exit 1; }
	@node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' || \
		{ echo "the page is built with Node 20.19 or newer, and this is $$(node --version)" >&2; exit 1; }
	cd $(WEB) && npm ci --prefer-offline --no-audit --no-fund --silent
	@touch $@

# Debian's Chromium (make system) against the real studio.
test-browser: $(VENV)/.installed-tools $(DIST)
	cd $(WEB) && npm run --silent test:browser

# The pictures of docs/guides/studio.md, which the browser tests take.
screenshots: $(VENV)/.installed-tools $(DIST)
	cd $(WEB) && SCREENSHOTS=$(CURDIR)/docs/images/studio npm run --silent test:browser

check-studio: $(WEB)/node_modules/.installed
	cd $(WEB) && npm run --silent check && npm run --silent test

# The small model that the studio carries, its run, and an answer of every endpoint: some minutes.
studio-example: $(VENV)/.installed-tools
	$(BIN)/python src/textmill/studio/example/make.py train

system:
	@command -v apt-get > /dev/null || { echo "make system installs Debian packages, and apt-get is not here" >&2; exit 1; }
	@[ "$$(id -u)" = 0 ] || { echo "make system needs root: sudo make system" >&2; exit 1; }
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		g++ make python3.11-venv python3.11-dev chromium fonts-wqy-microhei fonts-noto-color-emoji clang-16 libclang-rt-16-dev \
		g++-aarch64-linux-gnu qemu-user ccache > /dev/null

clean:
	rm -rf $(VENV) build dist

# The machine is checked before anything is built, so that what is missing is named and not guessed from an error.
$(VENV)/.made:
	@command -v $(PYTHON) > /dev/null || { echo "$(PYTHON) is missing: apt-get install python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "textmill needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V): make PYTHON=python3.11 demo" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || \
		{ echo "Python's venv is missing: apt-get install python3.11-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import os, sys, sysconfig as s; sys.exit(not os.path.exists(s.get_path("include") + "/Python.h"))' || \
		{ echo "Python's headers are missing: apt-get install python3.11-dev" >&2; exit 1; }
	@command -v $${CXX:-c++} > /dev/null || { echo "a C++ compiler is missing: apt-get install g++" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) pip
	@mkdir -p build
	@touch $@

# pip prints nothing while it downloads torch (about 200 MB), so the line before it says what is going on.
$(VENV)/.installed: $(VENV)/.made $(NATIVE)
	@echo "building textmill and installing torch, about a minute"
	$(INSTALL) --build-constraint constraints.txt --editable '.[train,serve]'
	@touch $@

$(VENV)/.installed-tools: $(VENV)/.installed
	$(INSTALL) --group test --group check --group docs
	@touch $@
