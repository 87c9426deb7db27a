# Each target sets up what it needs and may be repeated; what is already there is not fetched again.
.PHONY: help demo test lint matrix bench pages deb deb-test lab-clean venv packages

python := .venv/bin/python
.DEFAULT_GOAL := help

help:
	@echo 'make demo       two rollouts on real containers (as root; elsewhere on simulated guests)'
	@echo 'make test       unit tests against newest and Debian 13 libraries, then tests on real containers'
	@echo 'make lint       ruff, mypy --strict, the import table, shellcheck'
	@echo 'make matrix     the long generated tests: killed, out of power or disk at every point; most of an hour'
	@echo 'make bench      what is measured, and how'
	@echo 'make pages      print docs/policy anew from the shipped policy'
	@echo 'make deb        the Debian packages of the last commit, into dist (as root)'
	@echo 'make deb-test   built twice, compared, installed into fresh Debian roots; these booted'
	@echo 'make lab-clean  remove all that a killed demo or test left on this machine'
	@echo 'make venv       only the virtual environment in .venv'

demo: venv
	$(python) -m tests.lab.demo

test: venv
	workshop/venv.sh .venv-debian13 constraints/debian13-venv.txt test
	workshop/test.sh

lint: venv
	workshop/lint.sh

matrix: venv
	$(python) -m pytest -n 3 --durations=25 -m 'matrix and not lab'
	$(python) -m pytest --durations=25 -m 'matrix and lab'

bench: venv
	workshop/bench.sh

pages: venv
	$(python) -m zlh_hooks policy render --config /dev/null --policy zlh_hooks/shipped/policy.toml --output docs/policy

deb: venv
	workshop/deb.sh

deb-test: venv
	workshop/deb-test.sh

lab-clean: venv
	$(python) -m tests.lab clean

venv: packages
	workshop/venv.sh .venv constraints/newest.txt test,lint

packages:
	workshop/packages.sh
