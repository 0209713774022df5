# Two commands matter: `make demo` and `make test`. Each makes what it needs.
PYTHON ?= python3
OLDEST := .venv-3.1
MAKEFLAGS += --no-print-directory

.PHONY: demo demo-stop test check bench pins clean

demo: .venv/.ready  ## Send a campaign to 1,000 customers, against a local Braze.
	@.venv/bin/python demo/run.py

demo-stop:  ## Close the demo's inbox.
	@.venv/bin/python demo/run.py stop

test: check .venv/.ready $(OLDEST)/.ready  ## All checks and tests, on the newest Airflow and on 3.1.
	.venv/bin/python -m pytest -n auto --maxprocesses 4 --cov --cov-report=term
	$(OLDEST)/bin/python -m pytest -n auto --maxprocesses 4

check: .venv/.ready  ## Lint, format, types.
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

bench: .venv/.ready  ## Speed, as ratios of things run side by side.
	@.venv/bin/python tests/benchmarks/bench.py

pins: .venv/.ready  ## Compile requirements/*.in anew.
	cd requirements && ../.venv/bin/uv pip compile -q --universal --python-version 3.11 --no-header --no-annotate \
		--no-emit-index-url airflow-newest.in -o airflow-newest.txt
	cd requirements && ../.venv/bin/uv pip compile -q --universal --python-version 3.11 --no-header --no-annotate \
		--no-emit-index-url --exclude-newer 2026-04-05 airflow-3.1.in -o airflow-3.1.txt

clean:
	rm -rf .venv $(OLDEST) .demo dist .mypy_cache .ruff_cache .pytest_cache

.venv/.ready: requirements/airflow-newest.txt pyproject.toml
	$(call make-venv,.venv,$<)

$(OLDEST)/.ready: requirements/airflow-3.1.txt pyproject.toml
	$(call make-venv,$(OLDEST),$<)

define make-venv
	$(PYTHON) -m venv $(1)
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(1)/bin/uv pip install --quiet --python $(1)/bin/python -r $(2)
	$(1)/bin/uv pip install --quiet --python $(1)/bin/python --no-deps --no-build-isolation --editable .
	@touch $@
endef
