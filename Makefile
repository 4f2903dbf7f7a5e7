# The one entry point. `make run` and `make test` install what they need and say so.

.PHONY: help run build test lint format deps test-deps clean
.DEFAULT_GOAL := help

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
SOURCES := Sources Tests Package.swift
# CONFIG=file.yaml make run
CONFIG ?=

BUILD_PACKAGES := libcoap3-dev pkg-config
TEST_PACKAGES := libcoap3-bin mosquitto-clients curl nodejs node-mqtt python3 python3-venv

help:
	@echo "make run     build and start the broker (CONFIG=file.yaml to configure it)"
	@echo "make test    run all tests, with real MQTT, CoAP, HTTP and WebSocket clients"
	@echo "make build   build the release executable, .build/release/sluice"
	@echo "make lint    check format and layout"
	@echo "make format  format the sources"
	@echo "make clean   remove what was built"

run: build
	exec .build/release/sluice serve $(if $(CONFIG),--config $(CONFIG))

build: deps
	swift build -c release --product sluice

test: deps test-deps
	swift build --build-tests --explicit-target-dependency-import-check error
	swift test --skip-build --disable-xctest

lint:
	swift format lint --strict --recursive --parallel $(SOURCES)

format:
	swift format --in-place --recursive --parallel $(SOURCES)

# $(call install,PACKAGES): installs those of the Debian packages that are missing.
define install
@missing=""; \
for package in $(1); do \
	dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"; \
done; \
if [ -n "$$missing" ]; then \
	echo "Installing from Debian:$$missing"; \
	$(SUDO) apt-get update -qq && \
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
fi
endef

deps:
	$(call install,$(BUILD_PACKAGES))

test-deps: .venv/installed
	$(call install,$(TEST_PACKAGES))

.venv/installed: Tests/IntegrationTests/requirements.txt
	$(call install,$(TEST_PACKAGES))
	@echo "Installing from PyPI into .venv:"; cat $<
	/usr/bin/python3 -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

clean:
	rm -rf .build .venv
