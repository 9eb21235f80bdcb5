# Two commands do everything on a fresh machine with Python 3.11 or later, pip and make: `make run` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1

.PHONY: run test lint docs reports report-agreement report-survey report-detection report-speed clean

run: .venv/ready  ## train the reference, torch and jax; check random networks and real data; write one index page
	@out=reports/run-$$(date +%Y%m%d-%H%M%S); status=0; \
	$(BIN)/gradagree train diabetes --out $$out/diabetes || status=$$?; \
	$(BIN)/gradagree train digits --out $$out/digits || status=$$?; \
	$(BIN)/gradagree run --cases 150 --regimes ordinary,grid,zeros,diabetes,digits --out $$out/agreement || status=$$?; \
	$(BIN)/gradagree report $$out || status=$$?; exit $$status

test: .venv/ready  ## run the tests, including the agreement suite
	$(BIN)/python -m pytest -n auto

lint: .venv/ready  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p gradagree

# Findings are what these reports are for. How long each takes: reports/README.md.
reports: report-agreement report-survey report-detection report-speed  ## build all published reports

report-agreement: .venv/ready  ## a run, its report, and the baseline for later comparisons
	$(BIN)/gradagree run --profile ci --seed 2026 --out reports/agreement || [ $$? -eq 1 ]
	$(BIN)/gradagree compare reports/agreement --extract reports/baseline.jsonl

report-survey: .venv/ready  ## the survey of each function, and derivatives at kinks
	$(BIN)/gradagree survey --profile ci --out reports/survey
	gzip --force --best --no-name reports/survey/atlas.jsonl reports/survey/findings.json
	$(BIN)/gradagree survey --kinks --out docs || [ $$? -eq 1 ]

report-detection: .venv/benchmarks  ## which planted faults are found; FLAGS=--quick is shorter
	$(BIN)/python -m benchmarks.detection $(FLAGS)

report-speed: .venv/benchmarks  ## speed; FLAGS=--quick is shorter
	$(BIN)/python -m benchmarks.speed $(FLAGS)

docs: .venv/ready  ## build the pages of docs/; warnings are errors
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all]'
	touch $@

.venv/benchmarks: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[benchmarks]'
	touch $@

clean:
	rm -rf .venv build dist docs/_build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
