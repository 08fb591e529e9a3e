# Each target is one line that calls a script; the scripts can be run by themselves too.
.DEFAULT_GOAL := help
.PHONY: help demo test check test-integration test-system bench golden man docs node-image binary deb clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 20

demo: ## two Docker hosts in this machine, routed and firewalled (root; KEEP=1 leaves them up)
	@KEEP=$(KEEP) scripts/demo

test: ## everything: set-up, check, integration and system tests (root)
	@scripts/test

check: ## the quick gate: format, lint, types, floors, unit and architecture tests
	@scripts/check

test-integration: ## only the integration tests (root)
	@scripts/test integration

test-system: ## only the system tests (root)
	@scripts/test system

bench: ## how fast, how big, and is a packet lost: tables with targets, in ten minutes (root)
	@scripts/bench

golden: ## write the golden files anew; review the difference before committing
	@scripts/setup && UPDATE_GOLDEN=1 .venv/bin/pytest -q

man: ## write man/calicoctl.8 anew from the usage texts
	@scripts/build_man man

docs: ## write docs/reference/cli.md anew from the usage texts
	@scripts/build_man docs

node-image: ## build calico/node:<version> (root or Docker group)
	@scripts/node_image

binary: ## build dist/calicoctl, one file without a need for Python, and what goes with it
	@./build_binary.sh

deb: binary ## build dist/calicoctl_<version>_<architecture>.deb of it
	@scripts/deb

clean: ## remove what the other targets made
	@scripts/clean
