# make repro: the pipeline on the embedded sample · make test · test-engines · audit · crossval · release · weekly · lint · bench · wheel
# · fuzz · sbom · lock · clean
PYTHON ?= python3.11
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: repro crossval release weekly audit test test-engines lint bench wheel fuzz sbom lock clean

# Stage report leaves the verdict to the last line, which also says it if no stage had to run.
repro: export VERDICT := later
repro: .venv/installed .venv/plots.html
	$(BIN)/dvc repro
	@$(BIN)/python -m scripts.summary

# One model for each of the five folds and three seeds, each a cached stage; for other ones see params.yaml's crossval.
# SHARES='[0.25,0.5]' also draws the curve over judgements.
SHARES ?= []
SEEDS ?= [13,14,15]
crossval: .venv/installed
	$(BIN)/dvc exp run -S 'crossval.folds=[0,1,2,3,4]' -S 'crossval.seeds=$(SEEDS)' -S 'crossval.shares=$(SHARES)' -S 'crossval.compare=[all]' crossval/dvc.yaml

# As they were typed: make would read a $ in them.
ifdef REASON
override REASON := $(value REASON)
endif
ifdef JUDGEMENTS
override JUDGEMENTS := $(value JUDGEMENTS)
endif
export REASON JUDGEMENTS

# Register what dvc repro left as the next version, unless it is worse; REASON="..." overrides a refusal. See docs/release.md.
release: .venv/installed
	$(BIN)/python -m scripts.release --seeds '$(SEEDS)'

# New judgements in (JUDGEMENTS=grades.csv), pipeline, comparison, release or refusal, and the list of what to judge next.
weekly: .venv/installed .venv/plots.html
	$(BIN)/python -m scripts.weekly --seeds '$(SEEDS)'

# The numbers of the working tree again, by other libraries and no module of ranker.
audit: .venv/installed
	$(BIN)/python -m audit

# Three files at a time, because some wait more than they work; one thread each, because threads that share cores wait, too.
test: .venv/installed-dev .venv/installed-bench .venv/installed-scale .venv/plots.html
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

# Vespa's own Java code, a real OpenSearch, other tools and frameworks on what `make repro` wrote; skipped, in a line, where
# Maven, a JDK or the artifacts are missing.
test-engines: .venv/installed-dev
	$(BIN)/pytest -m 'engines or frameworks' -rs tests/engines

lint: .venv/installed-dev .venv/installed-bench .venv/installed-scale
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@$(BIN)/python -m scripts.audit_packages constraints.txt

# Beside its peers; BENCH="--data FOLDER" measures on the tutorial's two files in a folder;
# BENCH=--quick sees in two minutes that all of it runs.
bench: .venv/installed-bench
	$(BIN)/dvc repro -q base_model
	$(BIN)/python -m bench $(BENCH)

# What serves a ranker elsewhere: `pip install dist/cord19_ranker-*.whl`, and never here.
wheel: .venv/installed
	rm -rf dist build
	$(BIN)/pip wheel -q --no-deps --wheel-dir dist .
	rm -rf build *.egg-info
	@ls dist

# FUZZ seconds for each of what reads a user's files; it stops at the first crash.
fuzz: FUZZ ?= 60
fuzz: .venv/installed-dev
	for target in $$($(BIN)/python -c 'from tests.fuzz.targets import TARGETS; print(*TARGETS)'); do \
		$(BIN)/python -m tests.fuzz $$target -max_total_time=$(FUZZ) -print_final_stats=1 || exit 1; done

# The bill of materials: packages, versions and licences of what is installed, as CycloneDX.
sbom: .venv/installed-dev
	$(BIN)/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml -o sbom.cdx.json $(BIN)/python

# Pin what the pinned packages need in turn, from what is installed now.
lock: .venv/installed-dev .venv/installed-bench .venv/installed-scale
	$(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/installed: requirements.txt requirements-sample.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "expected Python 3.11, found " + sys.version)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q -r requirements.txt -r requirements-sample.txt -c constraints.txt
	@touch $@

# The page of `dvc plots` loads Vega from the web; with this template it carries it, and draws without a connection.
.venv/plots.html: .venv/installed scripts/plots_page.py scripts/plots_page.html
	@$(BIN)/python -m scripts.plots_page $@
	@$(BIN)/dvc config --local plots.html_template ../$@  # from .dvc/

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(BIN)/pip install -q -r requirements-dev.txt -c constraints.txt
	@touch $@

.venv/installed-bench: .venv/installed requirements-bench.txt
	$(BIN)/pip install -q -r requirements-bench.txt -c constraints.txt
	@touch $@

.venv/installed-scale: .venv/installed requirements-scale.txt
	$(BIN)/pip install -q -r requirements-scale.txt -c constraints.txt
	@touch $@
