# The study from structures to figures. `make` alone prints this help.
#
#   make all          run every notebook at the paper's scale and write figures/ and the numbers of README.md
#   make smoke        run every notebook at a small scale, into build/smoke only
#   make test         run the tests, the notebooks at small scale among them
#   make lab          open the notebooks in JupyterLab
#   make book         make pages of the notebooks and texts, to be read without a network: build/book/index.html
#   make exercises    run the notebooks and their solutions at small scale: an exercise that is not right says so
#   make classify FILE="a.cif b.xyz"  name the crystal structure in each file
#   make published-data  fetch the original arrays (network, some 0.5 GB each) into data/published
#   make bench        measure speed, into docs/speed.md: fingerprint against a plain sum, training against the matrix product
#   make campaign     what hostile files, kills and full disks do (an hour), into docs/campaign.md
#   make env          make the environment in .venv from requirements.txt (the others do it where it is missing)
#   make sync         write numbers into every script and its paired .ipynb, outputs kept where code is the same; make check-sync only compares
#   make lock         resolve pyproject.toml into requirements.txt again (needs uv)
#   make clean        remove build/; figures/ and .venv stay
#
# PROFILE=full|smoke chooses the scale of `make all`. PYTHON=python3.12 chooses the interpreter of the environment.

PROFILE ?= full
BUILD := build/$(PROFILE)
PY := .venv/bin/python
ENV := .venv/.complete
ifeq ($(CONDA_DEFAULT_ENV),xtalsight) # made from environment.yml
PY := python
ENV :=
endif
SCRIPTS := $(sort $(wildcard notebooks/[0-9]*.py))
EXECUTED := $(SCRIPTS:notebooks/%.py=$(BUILD)/%.ipynb)
LIBRARY := $(filter-out %/book.py %/pairing.py,$(wildcard lib/xtalsight/*.py lib/xtalsight/study/*.py))
COMMON := $(LIBRARY) notebooks/profiles.yaml notebooks/matplotlibrc $(ENV)

# Threads that wait actively, as OpenMP's do, hold up the other notebook of `make -j2`.
export OMP_WAIT_POLICY := PASSIVE

# After the clock is set back, notebooks dated in the future would pass for up to date for ever: they run again.
ifeq ($(findstring n,$(firstword -$(MAKEFLAGS))),) # not in a dry run
$(shell if [ -d $(BUILD) ]; then find $(BUILD) -maxdepth 1 -name '*.ipynb' -mmin -0 -exec rm -f {} +; fi)
endif

.PHONY: help all smoke test exercises lab book classify published-data bench campaign env sync check-sync lock clean
.DELETE_ON_ERROR:

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

all: $(EXECUTED) $(if $(filter full,$(PROFILE)),$(BUILD)/.shown)

# At small scale the processes of joblib would take longer to start than to work.
smoke: $(ENV)
	@LOKY_MAX_CPU_COUNT=$${LOKY_MAX_CPU_COUNT:-1} $(MAKE) --no-print-directory -j2 all PROFILE=smoke

# A notebook runs again when its script, the library, the parameters or an earlier notebook that it reads has changed.
$(BUILD)/%.ipynb: notebooks/%.py $(COMMON)
	@$(PY) -m xtalsight.study.run $< --profile $(PROFILE)

# What each reads: only what has a lower number.
after = $(filter $(addprefix $(BUILD)/,$(addsuffix _%,$(1))),$(EXECUTED))
$(call after,02): $(call after,01) $(wildcard tests/reference/*)
$(call after,03 05 13 16): $(call after,02)
$(call after,04 06 14 15): $(call after,03)
$(call after,07 08): $(call after,06)
$(call after,09 10): $(call after,08)
ifeq ($(PROFILE),full) # the networks that travel with the package are made by then
$(call after,09 11 12): $(call after,10)
endif
$(call after,17): $(call after,06 14)
$(call after,18): $(call after,08)
$(call after,19): $(call after,07 08)
$(call after,20): $(call after,09)
$(call after,21): $(call after,10)
$(call after,22): $(call after,10 20)
$(call after,19 20 21): $(wildcard tests/reference/*)
$(call after,13 14 16): $(wildcard data/published/*.pkl)
$(call after,99): $(filter-out $(BUILD)/99%,$(EXECUTED)) README.md $(wildcard docs/*.md)

# The notebooks in notebooks/ get the outputs of the full run.
$(BUILD)/.shown: $(EXECUTED)
	@$(PY) -m xtalsight.study.pairing --executed $(BUILD)
	@touch $@

# Two workers keep two cores busy.
test: $(ENV)
	@LOKY_MAX_CPU_COUNT=$${LOKY_MAX_CPU_COUNT:-1} $(PY) -m pytest -n 2 --dist loadfile

lab: $(ENV)
	@$(PY) -m jupyterlab --LabApp.default_url=/lab/tree/notebooks

classify: $(ENV)
	@$(if $(FILE),,echo 'name a structure file: make classify FILE=crystal.cif' >&2; exit 2;) $(PY) -m xtalsight classify $(FILE)

book: $(ENV)
	@$(PY) -m xtalsight.study.book

# Solutions are cells of the notebooks, with an assert that grades each.
exercises: smoke
	@echo "the solutions of $(words $(filter-out $(BUILD)/99%,$(EXECUTED))) notebooks hold"

published-data: $(ENV)
	@$(PY) -m xtalsight.study.published

bench: $(ENV)
	@$(PY) -m xtalsight.study.bench

campaign: $(ENV)
	@PYTHONWARNINGS=ignore $(PY) tests/campaign/hostile_files.py; files=$$?; \
	$(PY) tests/campaign/interrupted_runs.py && exit $$files

sync: $(ENV)
	@$(PY) -m xtalsight.study.pairing

check-sync: $(ENV)
	@$(PY) -m xtalsight.study.pairing --check

env: $(ENV)

# The first interpreter that fits; with uv, one that uv finds if there is none.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$python && break; done)

NO_RIVALS := OVITO, freud, MatID and DScribe could not be installed: what compares with their methods leaves them out

$(ENV): requirements.txt requirements-rivals.txt
	@set -e; rm -rf .venv; if command -v uv >/dev/null; then \
		uv venv --quiet --python "$(or $(PYTHON),>=3.11,<3.14)" .venv; \
		VIRTUAL_ENV=.venv uv pip install --compile-bytecode --require-hashes -r requirements.txt; \
		VIRTUAL_ENV=.venv uv pip install --quiet --no-deps --no-build-isolation -e .; \
		VIRTUAL_ENV=.venv uv pip install --compile-bytecode --require-hashes -r requirements-rivals.txt || echo "$(NO_RIVALS)"; \
	elif [ -n "$(PYTHON)" ]; then \
		$(PYTHON) -m venv .venv; \
		.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt; \
		.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; \
		.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-rivals.txt || \
			echo "$(NO_RIVALS)"; \
	else echo "xtalsight needs Python 3.11, 3.12 or 3.13 (or uv): set PYTHON=/path/to/python" >&2; exit 1; fi
	@touch $@

UV_COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header

lock:
	$(UV_COMPILE) --extra study --extra test pyproject.toml -o requirements.txt
	sed -n 's/^rivals = //p' pyproject.toml | grep -o '"[^"]*"' | tr -d '"' | \
		$(UV_COMPILE) --constraint requirements.txt - -o requirements-rivals.txt

clean:
	rm -rf build
