# The commands of Backstock. Most are a line or two, because cargo, xtask and the lab do the work.
# YES=1 installs missing packages without asking. ARGS="…" is passed on.

.DEFAULT_GOAL := help
SHELL := /bin/sh
LEFT ?= baseline
RIGHT ?= optimized
TARGET := $(or $(CARGO_TARGET_DIR),target)
HOME_DIRECTORY := $(or $(BACKSTOCK_HOME),.backstock)
# All commands select the same packages. Otherwise cargo would unify features differently and build dependencies again.
PRODUCT := --package api --package worker --package simulators --package loadtests --package xtask
export YES

help: ## Shows this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

up: install ## Starts two shops with workers and simulated third parties: LEFT=baseline on :8081, RIGHT=optimized on :8080
	@echo "Building. The first build takes minutes."
	@cargo build --quiet --release $(PRODUCT)
	@$(TARGET)/release/xtask up --left '$(LEFT)' --right '$(RIGHT)' $(ARGS)

down: ## Stops processes of `make up` that outlived their terminal
	@cargo xtask down

test: install ## Runs all tests; ARGS="-p api pagination" selects
	@cargo run --quiet --package local-services -- run -- cargo test $(or $(ARGS),--workspace)

compare: install ## Measures the arms of twelve lessons side by side; ARGS=--all, ARGS="--lesson pagination", ARGS=--full
	@echo "Building. The first build takes minutes."
	@cargo build --quiet --release $(PRODUCT)
	@$(TARGET)/release/backstock-lab compare $(ARGS)

import: install ## Imports a Shopify product export into both shops of `make up`: FILE=products.csv
	@test -n '$(FILE)' || { echo 'Which file? make import FILE=products.csv' >&2; exit 2; }
	@cargo build --quiet --release $(PRODUCT)
	@$(TARGET)/release/xtask import '$(FILE)' -- $(ARGS)

clean: ## Removes .backstock/: data, logs, passwords. Keeps what cargo built
	@for purpose in shop tests; do \
	    state='$(HOME_DIRECTORY)'/$$purpose; \
	    if [ -f "$$state/watchdog" ]; then sh "$$state/watchdog" stop || exit 1; fi; \
	    if [ -L "$$state/data" ]; then rm -rf "$$(readlink "$$state/data")"; fi; \
	    rm -rf "$$state"; \
	done; \
	rm -rf '$(HOME_DIRECTORY)'/logs; \
	if [ -d '$(HOME_DIRECTORY)' ]; then rmdir '$(HOME_DIRECTORY)'; fi

install:
	@cargo run --quiet --package local-services -- install

.PHONY: help up down test compare import clean install
