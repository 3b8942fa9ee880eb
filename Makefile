# `make run` and `make test` need Python 3.11, 3.12 or 3.13 and nothing else: they make .venv and install into it.
# Another Python: make run PYTHON=/path/to/python3.12. Where uv is on PATH it installs, and pip where it cannot.

VENV   := .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip install --quiet --disable-pip-version-check --no-compile
UV     := command -v uv >/dev/null && uv pip install --quiet --python $(PY)
WANTED := --constraint constraints.txt --editable
SETUP  := pyproject.toml constraints.txt hatch_build.py

# What points another Python elsewhere must not reach into .venv.
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE PIP_USER PIP_TARGET PIP_PREFIX VIRTUAL_ENV

.PHONY: help run test test-fast test-slow test-clients soak image-steps soak-desk check bench kernels pictures wheel clean

help:
	@echo 'make run        set up, then replay the council over the sample bars and write a report'
	@echo 'make test       set up, then run the tests'
	@echo 'make test-fast  those of them that are done within a minute'
	@echo 'make test-slow  the tests that take longer than ten seconds'
	@echo 'make test-clients  other people'\''s Alpaca clients against the rehearsal exchange and the MCP servers (installs them into .clients)'
	@echo 'make soak       fifty kills of rehearsed forward sessions while the broker fails (a quarter of an hour), then'
	@echo 'make soak-desk  thirty kills of the desk, in each of its ten states (two minutes)'
	@echo 'make image-steps  the steps of deploy/Dockerfile without Docker, and what they make, as another user (root, two minutes)'
	@echo 'make test-executors  sweeps on Dask and Ray, in an environment of its own (.venv-executors, half a gigabyte)'
	@echo 'make check      ruff, mypy, import-linter'
	@echo 'make bench      the benchmarks'
	@echo 'make kernels    the loops compiled ahead, anew after a change in them (Linux on 64-bit x86, needs cc)'
	@echo 'make pictures   the pictures of README, made anew (needs Chromium)'
	@echo 'make wheel      build dist/*.whl and dist/*.tar.gz'
	@echo 'make clean      remove .venv and what tools left behind; reports and cache stay'

run: $(VENV)/.installed
	@echo '==> sim run --from 2024-01-01 --symbols SPY,QQQ'
	@$(VENV)/bin/sim run --from 2024-01-01 --symbols SPY,QQQ
	@echo '==> `. $(VENV)/bin/activate` puts sim on PATH for this shell; $(VENV)/bin/sim is it'

test: $(VENV)/.installed-test
	@echo '==> pytest'
	@$(PY) -m pytest

test-fast: $(VENV)/.installed-test
	@echo '==> pytest -m "not slow and not medium"'
	@$(PY) -m pytest -m 'not slow and not medium'

test-slow: $(VENV)/.installed-test
	@echo '==> pytest -m slow'
	@$(PY) -m pytest -m slow

test-clients: $(VENV)/.installed-test
	@echo '==> tests/exchange/clients'
	@$(PY) tests/exchange/clients/run.py
	@echo '==> tests/mcp/clients'
	@$(PY) tests/mcp/clients/run.py

soak: $(VENV)/.installed-test
	@echo '==> tests/rehearsal/soak.py'
	@$(PY) tests/rehearsal/soak.py
	@$(MAKE) --no-print-directory soak-desk

soak-desk: $(VENV)/.installed-test
	@echo '==> tests/rehearsal/desk_soak.py'
	@$(PY) tests/rehearsal/desk_soak.py

image-steps: $(VENV)/.installed-test
	@$(PY) tests/deploy/image.py

# Not in .venv: Ray alone is larger than all the simulator needs.
test-executors:
	@$(MAKE) --no-print-directory VENV=.venv-executors .venv-executors/.installed-executors
	@echo '==> pytest tests/studies/test_executors.py'
	@.venv-executors/bin/python -m pytest -n 0 -m '' tests/studies/test_executors.py

check: $(VENV)/.installed-dev
	@echo '==> ruff check'         && $(PY) -m ruff check .
	@echo '==> ruff format'        && $(PY) -m ruff format --check .
	@echo '==> mypy'               && $(PY) -m mypy
	@echo '==> import-linter'      && $(VENV)/bin/lint-imports

bench: $(VENV)/.installed-dev
	@for file in benchmarks/*.py; do echo "==> $$file"; $(PY) $$file || exit 1; done

kernels: $(VENV)/.installed
	@echo '==> simulator/compiled_ahead'
	@$(PY) compile_ahead.py

pictures: $(VENV)/.installed
	@echo '==> docs/pictures'
	@$(PY) docs/pictures/make.py

wheel: $(VENV)/.installed-dev
	@rm -rf dist
	@echo '==> python -m build' && $(PY) -m build --outdir dist >/dev/null
	@ls dist

clean:
	@rm -rf $(VENV) .clients build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info
	@find simulator strategies tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# A stamp is written only after its installation went through, so an interrupted one is repeated.
$(VENV)/.installed: $(SETUP) | $(PY)
	@echo '==> installing the simulator (up to a minute)'
	@{ $(UV) $(WANTED) .; } || $(PIP) $(WANTED) .
	@touch $@

$(VENV)/.installed-test: $(SETUP) | $(PY)
	@echo '==> installing the simulator and what its tests need (up to a minute)'
	@{ $(UV) $(WANTED) '.[test]'; } || $(PIP) $(WANTED) '.[test]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: $(SETUP) | $(PY)
	@echo '==> installing the simulator and its tools (up to a minute)'
	@{ $(UV) $(WANTED) '.[dev]'; } || $(PIP) $(WANTED) '.[dev]'
	@touch $@ $(VENV)/.installed $(VENV)/.installed-test

$(VENV)/.installed-executors: $(SETUP) | $(PY)
	@echo '==> installing the simulator with Dask and Ray'
	@{ $(UV) $(WANTED) '.[test,dask,ray]'; } || $(PIP) $(WANTED) '.[test,dask,ray]'
	@touch $@

# A Python found on PATH may be a shim that runs nothing, or lack venv (Debian ships it apart): each is tried.
# uv needs no venv of Python's; --seed puts pip into .venv, which then installs where uv cannot or is gone.
$(PY):
	@lacking=; for python in $${PYTHON:-python3.13 python3.12 python3.11 python3 python}; do \
	  "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1 || continue; \
	  command -v uv >/dev/null && rm -rf $(VENV) && echo "==> making $(VENV) with uv and $$python ($$("$$python" --version))" && \
	  uv venv --quiet --seed --python "$$("$$python" -c 'import sys; print(sys.executable)')" $(VENV) && exit 0; \
	  "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || { lacking=$$python; continue; }; \
	  echo "==> making $(VENV) with $$python ($$("$$python" --version))"; \
	  "$$python" -m venv --clear $(VENV) && exit 0; \
	  rm -rf $(VENV); echo "make: $$python -m venv $(VENV) failed" >&2; exit 1; \
	done; \
	if [ -n "$$lacking" ]; then echo "make: $$lacking has no venv; on Debian and Ubuntu: apt install $$("$$lacking" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" >&2; \
	else echo "make: no Python 3.11, 3.12 or 3.13 found (looked for $${PYTHON:-python3.13 python3.12 python3.11 python3 python}); install one or say make PYTHON=/path/to/python" >&2; fi; \
	exit 1
