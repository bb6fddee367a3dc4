# `make demo` runs the main job and `make test` passes the tests, each on a bare machine:
# both set up a virtual environment in .venv first.

PYTHON ?= python3
BIN := .venv/bin
PARALLEL := --numprocesses auto --maxprocesses 4 --dist worksteal
# Kernels of tests run for milliseconds: how fast XLA compiles them counts, not how fast they are. The
# last bit may differ.
QUICK := XLA_FLAGS=--xla_backend_optimization_level=0
export TF_CPP_MIN_LOG_LEVEL ?= 2

# `make test` is for each change, `make test-ci` is what CI runs, `make test-all` for a release.
.PHONY: demo test test-ci test-all test-oldest check docs build test-wheel results \
	benchmark clean

demo: .venv/examples
	$(BIN)/python examples/compare.py --seeds 3 --methods softmax label_smoothing large_margin \
		sparsemax deterministic_dropmax dropmax

# The quick tests, on JAX those of heads and losses. One thread for each of the processes, which already
# keep all cores busy.
test: check
	$(QUICK) TF_NUM_INTRAOP_THREADS=1 $(BIN)/python -m pytest $(PARALLEL) -m "not slow and not thorough"
	$(QUICK) KERAS_BACKEND=jax $(BIN)/python -m pytest $(PARALLEL) -m "not slow and not thorough" \
		tests/conformance/test_heads.py tests/conformance/test_losses.py

# What CI has the time for: all heads, losses, metrics and perturbations, the examples. The slow tests of
# conformance run on TensorFlow alone.
test-ci: check
	$(QUICK) TF_NUM_INTRAOP_THREADS=1 $(BIN)/python -m pytest $(PARALLEL) -m "not slow or conformance"
	$(QUICK) KERAS_BACKEND=jax $(BIN)/python -m pytest $(PARALLEL) -m "not slow" \
		tests/conformance/test_heads.py tests/conformance/test_losses.py

# All tests on TensorFlow, with kernels as users have them; a process keeps each kernel that it compiles, so
# that the fuzz tests have processes of their own. On JAX, which compiles each new shape, the quick tests of
# the package and those that every head and loss passes.
test-all: check
	TF_NUM_INTRAOP_THREADS=1 $(BIN)/python -m pytest $(PARALLEL) --ignore tests/fuzz
	TF_NUM_INTRAOP_THREADS=1 $(BIN)/python -m pytest $(PARALLEL) tests/fuzz
	$(QUICK) KERAS_BACKEND=jax $(BIN)/python -m pytest $(PARALLEL) -m "not slow or conformance" \
		$(addprefix tests/,conformance constraints layers losses metrics models ops optimizers \
		schedules support test_package.py)

# What meets Keras and TensorFlow, on the oldest that setup.cfg admits, in an environment of its own.
test-oldest: .venv-oldest/oldest
	$(QUICK) TF_NUM_INTRAOP_THREADS=1 .venv-oldest/bin/python -m pytest $(PARALLEL) -m "not slow" \
		$(addprefix tests/,conformance/test_heads.py conformance/test_wrappers.py models)

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site, into build/docs/index.html. A broken reference, a public name without a page and a number
# that no file has are errors.
docs: .venv/docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs build/docs

# The source distribution and the wheel, into dist.
build: .venv/release
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

# The wheel in a virtual environment of its own, where the README's first example has to run.
test-wheel: build
	rm -rf .venv-wheel
	$(PYTHON) -m venv .venv-wheel
	$(BIN)/uv pip install --quiet --python .venv-wheel dist/*.whl scikit-learn
	mkdir -p build
	awk '/^```python/ {on = 1; next} /^```/ {if (on) exit} on' README.md > build/example.py
	cd build && ../.venv-wheel/bin/python -I example.py

# Names the command of each result in docs/results, and redoes the cheap ones into results/.
results: .venv/examples
	$(BIN)/python docs/redo.py

benchmark: .venv/examples
	$(BIN)/python benchmarks/training_step.py
	$(BIN)/python benchmarks/losses.py
	$(BIN)/python benchmarks/labels.py
	$(BIN)/python benchmarks/failed_steps.py
	$(BIN)/python benchmarks/gsoftmax.py
	$(BIN)/python benchmarks/many_classes.py
	$(BIN)/python benchmarks/many_classes_growth.py
	$(BIN)/python benchmarks/many_classes_million.py
	$(BIN)/python benchmarks/adversarial_dropout.py
	$(BIN)/python benchmarks/regularization.py

clean:
	rm -rf .venv .venv-oldest .venv-wheel results build dist docs/api/generated

# One stamp an extra: installed once, and again when setup.cfg changes. By uv, which takes a quarter of
# pip's time.
.venv/dev .venv/examples .venv/docs .venv/release .venv-oldest/oldest: setup.cfg pyproject.toml
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet uv
	$(@D)/bin/uv pip install --quiet --python $(@D) --editable '.[$(@F)]'
	touch $@
