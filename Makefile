# The one entry point. `make run` and `make test` install what they need and say so.

.PHONY: help run build test test-coap test-libcoap test-asan test-tsan fuzz fuzz-state bench-hostile measure lint format conformance deps test-deps clean
.DEFAULT_GOAL := help

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
SOURCES := Sources Tests Package.swift
# CONFIG=file.yaml make run
CONFIG ?=
# LIBCOAP=/opt/libcoap/lib make test-libcoap
LIBCOAP ?=
# SECONDS=600 make fuzz
SECONDS ?= 60
# SEED=1 make fuzz-state
SEED ?=

BUILD_PACKAGES := libcoap3-dev libgnutls28-dev librocksdb-dev pkg-config
TEST_PACKAGES := libcoap3-bin mosquitto mosquitto-clients paho.mqtt.c-examples curl nodejs node-mqtt python3 python3-venv chromium \
	chromium-driver haproxy

help:
	@echo "make run     build and start the broker (CONFIG=file.yaml to configure it)"
	@echo "make test    run all tests, with real MQTT, CoAP, HTTP and WebSocket clients"
	@echo "make build   build the release executable, .build/release/sluice"
	@echo "make test-coap                   run the tests of CoAP only"
	@echo "make test-libcoap                run them with libcoap 4.3.5 or newer, if there is one (LIBCOAP=folder where it is)"
	@echo "make test-asan, make test-tsan   run the tests that start no other program under a sanitizer"
	@echo "make fuzz SECONDS=60             fuzz the codec, the broker, CoAP, its connections and datagrams, so long each"
	@echo "make fuzz-state SECONDS=60       valid operations of all protocols at random, over a broker that is killed (SEED=N)"
	@echo "make bench-hostile               send the worst packets known, and see how long others wait"
	@echo "make conformance                 write docs/CONFORMANCE.md anew from the tests"
	@echo "make measure                     print the figures of the code: sizes, comments, parameters, types with the most state"
	@echo "make lint    check format, sizes, imports and words"
	@echo "make format  format the sources"
	@echo "make clean   remove what was built"

run: build
	exec .build/release/sluice serve $(if $(CONFIG),--config $(CONFIG))

build: deps
	swift build -c release --product sluice

# Swift Testing takes down the stack of each error that is thrown: a test of 100,000 malformed packets would do little else.
export SWT_SWIFT_ERROR_BACKTRACING_ENABLED := 0

# Tests that wait for sockets and other programs. They run after those that only compute, which would keep them from both cores,
# and 16 at a time, so that their clients do not time out.
WAITING := (GatewayTests|ServerTests|TransportTests|IntegrationTests)\.|WebhookTests/

BUILD_TESTS := swift build --build-tests --explicit-target-dependency-import-check error

test: deps test-deps
	$(BUILD_TESTS)
	swift test --skip-build --disable-xctest --skip '$(WAITING)'
	swift test --skip-build --disable-xctest --experimental-maximum-parallelization-width 16 --filter '$(WAITING)'

# All that libcoap reads or writes a message for. Suites are named where not each of their tests says CoAP.
COAP := CoAP|IntegrationTests\.(AccessTests|CrashTests|EveryClientTests|LifecycleTests|LogLineTests)/

test-coap: deps test-deps
	$(BUILD_TESTS)
	@ldd "$$(swift build --show-bin-path)/sluice" | grep libcoap
	swift test --skip-build --disable-xctest --experimental-maximum-parallelization-width 16 --filter '$(COAP)'

# Sluice is built with Debian's libcoap, and runs with the one that the system it is on has.
test-libcoap:
	$(call install,python3)
	@LIBCOAP="$(LIBCOAP)" scripts/with-libcoap 4.3.5 $(MAKE) --no-print-directory test-coap

# $(call sanitized,KIND,FOLDER): IntegrationTests are left out: they start the plain executable. Under a sanitizer all takes several
# times as long, so fewer tests wait at a time.
define sanitized
swift build --build-tests --sanitize $(1) --scratch-path $(2)
swift test --skip-build --sanitize $(1) --scratch-path $(2) --disable-xctest --skip '$(WAITING)'
swift test --skip-build --sanitize $(1) --scratch-path $(2) --disable-xctest --skip IntegrationTests \
	--experimental-maximum-parallelization-width 8 --filter '$(WAITING)'
endef

# Leaks are the fuzz harnesses' subject: many a test ends with clients that are still connected, which its broker and
# they hold in cycles that only a disconnect would cut.
test-asan: export ASAN_OPTIONS := detect_leaks=0
test-asan: deps
	$(call sanitized,address,.build-asan)

test-tsan: export TSAN_OPTIONS := suppressions=$(CURDIR)/Tests/tsan-suppressions.txt
test-tsan: deps
	$(call sanitized,thread,.build-tsan)

fuzz: deps
	Tests/Fuzz/run $(SECONDS)

fuzz-state: build
	$(call install,python3)
	python3 Tests/Fuzz/State/run.py --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(ARGUMENTS)

# On a quiet machine: what is measured is how long another client waits.
bench-hostile: build
	$(call install,python3)
	python3 -B Tests/Benchmarks/hostile/run.py $(ARGUMENTS)

conformance:
	$(call install,python3)
	python3 docs/conformance/generate.py

measure:
	$(call install,python3)
	python3 -B scripts/house/measure.py

lint:
	$(call install,python3)
	python3 docs/conformance/generate.py --check
	python3 -B scripts/house/exact_text.py
	python3 -B scripts/house/limits.py
	python3 -B scripts/house/words.py
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
	rm -rf .build .build-asan .build-tsan .build-fuzz .venv
