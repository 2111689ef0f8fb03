# Everything one does in this repository; `make help` lists it. A generated project has a Makefile of
# its own.

PY := .venv/bin/python
READY := .venv/ready
TEMPLATE := {{cookiecutter.project_slug}}
SOURCES := pyproject.toml bootstrap.sh $(TEMPLATE)/bootstrap.sh $(wildcard packages/*/pyproject.toml)
# Named, because ruff would also read the template's pyproject.toml, which is no TOML yet.
RUFF := --config pyproject.toml
# Two at a time, on any machine: half of their time is waiting, and each process has servers of its own.
# Neighbours stay together, as those of one file share a project.
PYTEST := $(PY) -m pytest -n 2 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: copies demo bench test test-quick test-host test-servers soak differential conformance conformance-core lint lint-ansible \
    lab-test lab-test-full docs docs-links clean help
# There is one .venv.
.NOTPARALLEL:

demo: .venv/demo  ## Generate a project, start it, load it; fails if the bound is passed (2 minutes)
	@exec $(PY) -m demo

bench: $(READY) benchmarks/.venv/ready  ## mysql_pool beside its peers (10 minutes); ARGS=--full
	@exec $(PY) -m benchmarks $(ARGS)

test: .venv/drivers  ## All tests (14 to 20 minutes); ARGS="-k pool" chooses, "-n 0" runs one at a time
	$(PYTEST) -m "not chaos" $(ARGS)

test-quick: .venv/drivers  ## The part of them that takes 2 to 3 minutes
	POOL_QUICK=1 $(PYTEST) -m "not full and not chaos" $(ARGS)

test-host: .venv/drivers  ## Processes of a host that are killed, forked, stopped, and their ledger harmed (5 minutes)
	$(PY) -m pytest packages/mysql_pool/tests/host $(ARGS)

test-servers: .venv/servers  ## The pool on real MySQL and a newer MariaDB, fetched from Debian (needs root; 7 minutes); ARGS=mysql
	@$(PY) -m tests.servers $(ARGS)

soak: .venv/drivers  ## Greenlets killed at random, 100,000 requests of each variant (15 minutes); ARGS="--seed 7"
	@exec $(PY) -m packages.mysql_pool.tests.soak $(ARGS)

differential: .venv/drivers  ## Random programs on stock Django and on the pool; ARGS="--minutes 120 --seed 7"
	@exec $(PY) -m tests.differential $(ARGS)

conformance: .venv/conformance  ## Django's own test suite: mysql_pool against stock; ARGS="--django 6.1" (half an hour)
	$(PY) -m tests.conformance $(ARGS)

conformance-core: .venv/conformance  ## The modules of it where a backend goes wrong first (minutes)
	$(PY) -m tests.conformance --core $(ARGS)

copies: $(READY)  ## Write the copies of packages/ and ansible/ that the template carries
	$(PY) -m packages.copies

lint: $(READY)  ## Copies, ruff, formatting, types, who imports whom, spelling (5 seconds)
	$(PY) -m packages.copies --check
	$(PY) -m ruff check $(RUFF) .
	$(PY) -m ruff format --check $(RUFF) .
	$(PY) -m mypy
	.venv/bin/lint-imports --no-logo
	$(PY) -m codespell_lib

lint-ansible: .venv/lab  ## ansible-lint over the collection, production profile
	cd ansible && PATH="$(CURDIR)/.venv/bin:$$PATH" \
	    ANSIBLE_COLLECTIONS_PATH="$(CURDIR)/$(TEMPLATE)/deploy/collections" ansible-lint

# Exit status 77 of these ("Error 77" in make's words) is: not tested, there cannot be such hosts here.
lab-test: .venv/lab  ## Deploy to real hosts made on this machine (needs root; 12 minutes); ARGS="-k drift"
	@$(PY) -m tests.lab.machines tools
	LAB=core $(PY) -m pytest tests/lab $(ARGS)

lab-test-full: .venv/lab  ## The same with several hosts, MySQL and power losses (an hour)
	@$(PY) -m tests.lab.machines tools
	LAB=full $(PY) -m pytest tests/lab $(ARGS)

docs: $(READY)  ## Build the documentation into site/; a broken link between pages is an error
	$(PY) -m sphinx -q -W --keep-going docs site

# Not in CI: other people's sites have their bad days.
docs-links: $(READY)  ## Ask every address in the documentation whether it still answers (needs the internet)
	$(PY) -m sphinx -q -b linkcheck docs site/links

clean:  ## Remove the environment, what was built, and caches
	rm -rf .venv site .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:  ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): $(SOURCES)
	@./bootstrap.sh
	@touch $@

# These ask for all they need at once, and not for $(READY) first: who may not install packages is
# told one command, not one after the other.
.venv/demo: $(SOURCES)
	@./bootstrap.sh hey
	@touch $(READY) $@

# The peers' packages, and the load generator.
benchmarks/.venv/ready: benchmarks/pyproject.toml
	@BOOTSTRAP_ROOT=../benchmarks '$(TEMPLATE)/bootstrap.sh' wrk
	@touch $@

# Only the tests need the second driver, which is compiled, and both load generators.
.venv/drivers: $(SOURCES)
	@GROUPS_TO_INSTALL="dev drivers" ./bootstrap.sh hey wrk
	@touch $(READY) $@

# The program that tells the server of time zones.
.venv/conformance: $(SOURCES)
	@GROUPS_TO_INSTALL="dev drivers" ./bootstrap.sh mariadb-tzinfo-to-sql:mariadb-client
	@touch $(READY) $@

.venv/servers: $(SOURCES)
	@GROUPS_TO_INSTALL="dev drivers" ./bootstrap.sh mmdebstrap patchelf
	@touch $(READY) $@

.venv/lab: $(SOURCES)
	@GROUPS_TO_INSTALL="dev lab" ./bootstrap.sh
	@touch $(READY) $@
