# Two commands matter: `make demo` and `make test`. Each makes what it needs.
PYTHON ?= python3
OLDEST := .venv-3.1
DEBIAN := postgresql redis-server chromium fonts-liberation
# Tests that start an Airflow with all its processes share it within a file, so each file stays in one worker.
AIRFLOWS := tests/triggerer tests/ui tests/system/test_system_backfill.py tests/system/test_system_notifier.py \
	tests/system/test_system_schedules_held.py
MANY := -n auto --maxprocesses 4 --dist worksteal $(addprefix --ignore=,tests/distributed $(AIRFLOWS))
WHOLE := -n 2 --dist loadfile $(AIRFLOWS)
MAKEFLAGS += --no-print-directory

.PHONY: demo demo-stop ui test test-distributed check debian bench docs screenshots pins clean

demo: .venv/.ready  ## Send a campaign to 1,000 customers, against a local Braze.
	@.venv/bin/python demo/run.py

demo-stop:  ## Close the demo's inbox.
	@.venv/bin/python demo/run.py stop

ui: .venv/.ready  ## Airflow's UI with the example DAGs and a local Braze, to click through; Ctrl+C stops it.
	@.venv/bin/python demo/ui.py

test: check debian .venv/.ready $(OLDEST)/.ready  ## All checks and tests, on the newest Airflow and on 3.1.
	.venv/bin/python -m pytest $(MANY) --cov --cov-report=term
	.venv/bin/python -m pytest $(WHOLE)
	$(OLDEST)/bin/python -m pytest $(MANY)
	$(OLDEST)/bin/python -m pytest $(WHOLE)
	@$(MAKE) test-distributed

check: .venv/.ready  ## Lint, format, types.
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

test-distributed: debian .venv/.ready  ## 200,000 recipients over Celery workers, one of which is killed.
	.venv/bin/python -m pytest tests/distributed

debian:  ## PostgreSQL, Redis and Chromium: the tests start their own from Debian's programs.
	@if { ls /usr/lib/postgresql/*/bin/initdb || command -v initdb; } >/dev/null 2>&1 \
		&& command -v redis-server >/dev/null && command -v chromium >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ]; then apt-get update -q \
		&& RUNLEVEL=1 apt-get install -qy --no-install-recommends $(DEBIAN); \
	else echo "One of these is missing. As root: apt-get update && apt-get install -y $(DEBIAN)"; exit 1; fi

bench: debian .venv/.ready  ## Speed, as ratios of things run side by side.
	@.venv/bin/python tests/benchmarks/bench.py

docs: .venv/.ready  ## The documentation, as a site: docs/_build/html/index.html
	@.venv/bin/sphinx-build -W --keep-going -E -q -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

screenshots: debian .venv/.ready  ## The pictures of the docs, as the test of the UI sees them.
	BRAZE_SCREENSHOTS=docs/images .venv/bin/python -m pytest -q tests/ui

pins: .venv/.ready  ## Compile requirements/*.in anew.
	cd requirements && ../.venv/bin/uv pip compile -q --universal --python-version 3.11 --no-header --no-annotate \
		--no-emit-index-url airflow-newest.in -o airflow-newest.txt
	cd requirements && ../.venv/bin/uv pip compile -q --universal --python-version 3.11 --no-header --no-annotate \
		--no-emit-index-url --exclude-newer 2026-04-05 airflow-3.1.in -o airflow-3.1.txt

clean:
	rm -rf .venv $(OLDEST) .demo .demo-ui dist docs/_build .mypy_cache .ruff_cache .pytest_cache

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
