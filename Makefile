# make demo   installs what is missing, builds, and shows the split at full size
# make test   installs what is missing, builds, and runs every test
# make build  only builds
PRESET ?= release
JOBS ?= $(shell nproc)

.PHONY: help build test demo deps deps-test format format-check clean

help:
	@sed -n 's/^# make/make/p' Makefile

deps:
	@tools/install_deps.sh

deps-test:
	@tools/install_deps.sh --with-tests

build: deps
	@tools/build.sh $(PRESET) $(JOBS)

test: deps-test
	@tools/build.sh $(PRESET) $(JOBS)
	@tools/test.sh $(PRESET) $(JOBS)

# The demo needs the program alone, half of what there is to compile.
demo: deps
	@tools/build.sh release $(JOBS) airlock_cli
	@tools/demo.sh

# make format rewrites every source file as .clang-format says
format:
	@tools/format.sh

format-check:
	@tools/format.sh --check

clean:
	rm -rf build
