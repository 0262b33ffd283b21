# make repro: the pipeline on the embedded sample · make test · make lint · make bench · each sets up .venv first
PYTHON ?= python3.11
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: repro test lint bench lock clean

repro: .venv/installed .venv/plots.html
	$(BIN)/dvc repro
	$(BIN)/dvc metrics show results/metrics.json

# Two files at a time, each with one thread: pools of threads that share cores wait for each other.
test: .venv/installed-dev .venv/installed-bench .venv/plots.html
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile

lint: .venv/installed-dev .venv/installed-bench
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Beside its peers; BENCH="--data FOLDER" measures on the tutorial's two files in a folder, and at full size;
# BENCH=--quick sees in three minutes that all of it runs.
bench: .venv/installed-bench
	$(BIN)/dvc repro -q fetch
	$(BIN)/python -m bench $(BENCH)

# Pin what the pinned packages need in turn, from what is installed now.
lock: .venv/installed-dev .venv/installed-bench
	$(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/installed: requirements.txt requirements-sample.txt constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "expected Python 3.11, found " + sys.version)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q -r requirements.txt -r requirements-sample.txt -c constraints.txt
	touch $@

# The page of `dvc plots` loads Vega from the web; with this template it carries it, and draws without a connection.
.venv/plots.html: .venv/installed
	$(BIN)/python -c 'import dvc_render.html, vl_convert; \
		vega = "<script>(() => {" + vl_convert.javascript_bundle(vl_version="5.20") + "})()</script>"; \
		print(dvc_render.html.PAGE_HTML.replace("{scripts}", vega))' > $@.partial
	mv $@.partial $@
	$(BIN)/dvc config --local plots.html_template '$(CURDIR)/$@'

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(BIN)/pip install -q -r requirements-dev.txt -c constraints.txt
	touch $@

.venv/installed-bench: .venv/installed requirements-bench.txt
	$(BIN)/pip install -q -r requirements-bench.txt -c constraints.txt
	touch $@
