# Everything that can be done with this repository. "make" alone lists it.
# "demo" and "test" need Go and make, and nothing else.

GO       ?= go
FUZZTIME ?= 10s

# What is built goes here. It can be deleted at any time.
BUILD := .build

# The modules: this one, and the nested ones, which ./... leaves out. One that has
# an old.mod is there twice, the second time with the versions that this names.
NESTED  := $(sort $(wildcard h2grpc/*/go.mod testdata/*/go.mod testdata/*/*/go.mod testdata/*/old.mod))
MODULES := go.mod $(NESTED)

# enter goes into the module of $$mod. An old.mod is put in go.mod's place by old.json:
# staticcheck fails with -modfile. The tag leaves out what old versions lack.
enter = cd $$(dirname $$mod) && case $$mod in */old.mod) export GOFLAGS="$$($(GO) env GOFLAGS) -overlay=old.json -tags=oldgoplugin";; esac

# The platforms that programs and tests must compile on.
# linux/386 is there for its 32-bit int.
PLATFORMS := $(foreach os,linux darwin windows freebsd,$(os)/amd64 $(os)/arm64) linux/386

# How the example programs are built: the same source gives the same bytes, in
# whatever folder it lies.
PLAIN    := -trimpath
STRIPPED := -trimpath -ldflags='-s -w'

# Tools run by version and stay out of go.mod.
CYCLONEDX   := github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.9.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
STATICCHECKS := inherit,ST1000,ST1020,ST1021,ST1022
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.8.0

# each runs a command in every module, whatever fails before the last:
# $(call each,<command>)
each = @failed=; for mod in $(MODULES); do echo "$$mod: $(1)"; ($(enter) && $(1)) || failed="$$failed $$mod"; done; \
	[ -z "$$failed" ] || { echo "failed in:$$failed"; exit 1; }

.DEFAULT_GOAL := help
.PHONY: help demo test race fastpath fips audit sbom reproduce vulnerabilities check check-format check-vet check-static check-rules lines api narrow windows fuzz fuzz-list frontdoor interop interop-languages conformance attack generate size cross swaps soak bench bench-before bench-scale bench-readme

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(firstword $(MAKEFILE_LIST)) | while IFS='|' read -r name text; do printf '  %-14s %s\n' "$$name" "$$text"; done

demo: ## build the example host and plugin, both static, and run them
	@mkdir -p $(BUILD)
	CGO_ENABLED=0 $(GO) build $(PLAIN) -o $(BUILD)/ ./cmd/kvhost ./cmd/kvplugin
	@echo
	@$(BUILD)/kvhost

test: ## run all tests, those of the nested modules too
	$(call each,$(GO) test ./...)

# By default the detector holds each program up for a second at its exit, which
# is half of what go-plugin's hosts allow.
# What goes through cmd/relay is the interop tests once more, for five minutes; its own
# tests are among these, and make interop runs it. What middleware stands on takes
# minutes to build; what it is about, grpcbridge, is among these. With the old
# versions of the peers this module's own code runs as with the new ones. Those that judge
# texts and files have nothing concurrent.
race: MODULES := $(filter-out testdata/interop/middleware/go.mod testdata/interop/old.mod testdata/metrics/go.mod testdata/publish/go.mod,$(MODULES))
race: ## run all tests with the race detector, in the programs they build too, and the engine's with its order of locks asserted
	$(call each,GORACE=atexit_sleep_ms=0 GOFLAGS="$$($(GO) env GOFLAGS) -race" $(GO) test -timeout=20m -skip='^TestThroughRelay$$' ./...)
	$(GO) test -tags lockorder ./h2grpc/internal/h2
	$(GO) test -tags lockorder -run 'Memory|Stall|Whole|Window|OwnStream|Shutdown' ./h2grpc

# What is done for speed alone is left out: all of it, and one thing after the other.
# The variable is read before go test knows of it, and so results are not cached by it.
fastpath: ## run the connection's tests and the attacks without what is done for speed alone, and compare builds with and without
	TENON_WITHOUT=all $(GO) test -count=1 -tags tenon_fastpath ./h2grpc ./h2grpc/internal/h2 ./h2grpc/internal/attack
	$(GO) test -tags tenon_fastpath -run TestFastPathsChangeNothing ./h2grpc

# Package confine needs its filter, which 386 does not have.
narrow: ## run this module's tests where an int has 32 bits (linux/386, on amd64)
	CGO_ENABLED=0 GOARCH=386 $(GO) test $$($(GO) list ./... | grep -v /plugin/host/confine)
	CGO_ENABLED=0 GOARCH=386 $(GO) test -run TestNoFilter ./plugin/host/confine

windows: ## build all tests for windows/amd64 and run them under Wine (needs wine64 and x86_64-w64-mingw32-gcc)
	testdata/windows/run $(BUILD)/windows

# "only" makes everything that FIPS 140 does not approve an error. Every process begins
# with the module's self-tests, and -short leaves out what starts them by the thousand.
fips: ## run the tests of what links cryptography with Go's FIPS 140 module, once with nothing else allowed
	GODEBUG=fips140=on $(GO) test -short ./h2grpc/... ./plugin/... ./cmd/kvhost ./cmd/kvplugin
	GODEBUG=fips140=only $(GO) test -short ./h2grpc/... ./plugin/... ./cmd/kvhost ./cmd/kvplugin

check: check-format check-vet check-static check-rules ## format, vet on all platforms, staticcheck, the repository's own rules

check-format:
	@bad=$$(gofmt -l .); if [ -n "$$bad" ]; then echo "not formatted; run gofmt -w on:"; echo "$$bad"; exit 1; fi

check-vet:
	@set -e; for p in $(PLATFORMS); do echo "vet for $$p"; GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) vet ./...; done
	@set -e; for mod in $(NESTED); do echo "vet of $$mod"; ($(enter) && $(GO) vet ./...); done
	$(GO) build -tags tenon_nomux ./...

# Besides what staticcheck checks by itself: comments of packages, and how those of
# exported functions, types and variables begin.
check-static:
	$(call each,$(GO) run $(STATICCHECK) -checks=$(STATICCHECKS) ./...)

lines: ## count lines of code anew, for the table in cmd/internal/check/README.md
	$(GO) run ./cmd/internal/audit -lines

api: ## list what the packages export anew, in testdata/api.txt
	$(GO) run ./cmd/internal/audit -api

# What git says is no part of what results of tests are cached by.
check-rules:
	$(GO) test ./cmd/internal/check/...
	cd testdata/publish && $(GO) test -count=1 ./...

# govulncheck's exit status is 3 if it found any.
vulnerabilities: ## look for known vulnerabilities, where the database can be reached
	@GOBIN=$(CURDIR)/$(BUILD)/bin $(GO) install $(GOVULNCHECK)
	@out=$$($(BUILD)/bin/govulncheck ./... 2>&1); code=$$?; echo "$$out"; \
	if [ $$code != 0 ] && [ $$code != 3 ] && echo "$$out" | grep -qE 'fetching vulnerabilities|dial tcp|no such host|connection refused|timeout|40[0-9] |50[0-9] '; then \
		echo "the database of vulnerabilities cannot be reached from here: nothing was looked up"; exit 0; \
	fi; exit $$code

audit: ## print a page for auditors: imports, system calls, cryptography, limits, licences, vulnerabilities (AUDIT=-v: every use, every reason)
	@$(GO) run ./cmd/internal/audit $(AUDIT)
	@echo; echo "## Bills of materials, in CycloneDX's JSON"
	@$(MAKE) -s sbom
	@echo; echo "## Known vulnerabilities, by govulncheck"
	@$(MAKE) -s vulnerabilities

# What the bill names must be what Go itself says that the program was built of.
sbom: ## write what the example programs are made of to .build/sbom, in CycloneDX's JSON
	@mkdir -p $(BUILD)/sbom
	@set -e; for program in kvhost kvplugin; do \
		out=$(BUILD)/sbom/$$program; \
		$(GO) run $(CYCLONEDX) app -json -licenses -std -noserial -main cmd/$$program -output $$out.json . 2>$$out.log || { cat $$out.log; exit 1; }; \
		CGO_ENABLED=0 $(GO) build $(PLAIN) -o $$out ./cmd/$$program; \
		{ $(GO) version $$out | sed 's,.*: ,std@,'; $(GO) version -m $$out | awk '$$1 == "dep" { print $$2 "@" $$3 }'; } | sort >$$out.is; \
		sed -n '/"components"/,$$s,.*"purl": "pkg:golang/\([^?#"]*\).*,\1,p' $$out.json | sort >$$out.says; \
		diff $$out.is $$out.says || { echo "$$out.json does not say what $$program is made of"; exit 1; }; \
		echo "$$out.json: $$(paste -sd' ' $$out.says)"; \
	done

reproduce: ## build the example programs in two folders, each way, and compare them
	@set -e; top=$$(mktemp -d); trap 'rm -r $$top' EXIT; mkdir -p $$top/one $$top/another/one/deeper; \
	for dir in $$top/one $$top/another/one/deeper; do \
		tar -cf - go.mod go.sum cmd h2grpc plugin wire | tar -xf - -C $$dir; \
		(cd $$dir && export CGO_ENABLED=0 && \
			for program in kvhost kvplugin; do \
				$(GO) build $(PLAIN) -o $$program.plain ./cmd/$$program; \
				$(GO) build $(STRIPPED) -o $$program.stripped ./cmd/$$program; \
			done; \
			sha256sum *.plain *.stripped >sums); \
	done; \
	cat $$top/one/sums; \
	diff $$top/one/sums $$top/another/one/deeper/sums || { echo "they depend on the folder that they are built in"; exit 1; }

# Go up to 1.26 may take the end of the time for a failure (golang/go#75804). An
# input that fails says more than that one line.
fuzz: ## run every fuzz target for FUZZTIME (10s unless given), or one: FUZZ="package FuzzTarget"
	@mkdir -p $(BUILD)
	@set -e; list=$${FUZZ:-$$($(MAKE) -s fuzz-list)}; [ -n "$$list" ] || { echo "no fuzz targets found"; exit 1; }; \
	echo "$$list" | { n=0; while read -r pkg target; do \
		echo "$$pkg $$target, $(FUZZTIME)"; \
		if $(GO) test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZTIME) $$pkg >$(BUILD)/fuzz.txt 2>&1; then tail -n 2 $(BUILD)/fuzz.txt; \
		elif sed -n '/^--- FAIL/,$$p' $(BUILD)/fuzz.txt | sed -n 2,3p | tr '\n' '/' | grep -q '^    context deadline exceeded/FAIL/$$'; then \
			echo "no input failed until the time was over"; \
		else cat $(BUILD)/fuzz.txt; exit 1; fi; \
		n=$$((n+1)); \
	done; echo "$$n fuzz targets"; }

fuzz-list: ## list the fuzz targets with their packages
	@set -e; for pkg in $$($(GO) list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./...); do \
		names=$$($(GO) test -list='^Fuzz' $$pkg) || { echo "$$names" >&2; exit 1; }; \
		echo "$$names" | sed -n "s,^Fuzz,$$pkg &,p"; \
	done

frontdoor: ## in an empty directory with a clone alone, do what README.md says, and move go-plugin's example by plugin/MIGRATING.md
	.ci/frontdoor

interop: ## run this library against hashicorp/go-plugin, each way, and write what works into testdata/interop/README.md; and h2grpc with what is written for grpc-go
	@mkdir -p $(BUILD)/interop && rm -f $(BUILD)/interop/results
	@set -e; for mod in testdata/interop/go.mod testdata/interop/old.mod; do \
		($(enter) && $(GO) list -m github.com/hashicorp/go-plugin google.golang.org/grpc && \
			$(GO) test -count=1 -args -table -results "$(CURDIR)/$(BUILD)/interop/results"); \
	done
	cd testdata/interop/upstreamtests && $(GO) test -count=1 -args -table
	cd h2grpc/grpcbridge && $(GO) test -count=1 ./...
	cd testdata/interop/middleware && $(GO) test -count=1 ./...
	cd testdata/interop && $(GO) run ./cmd/table -results "$(CURDIR)/$(BUILD)/interop/results" -readme "$(CURDIR)/testdata/interop/README.md"

interop-languages: ## run this library against plugins and hosts in other languages, which it installs
	cd testdata/interop/languages && $(GO) run ./cmd/languages -dir "$(CURDIR)/$(BUILD)/languages" -readme "$(CURDIR)/testdata/interop/languages/README.md"

conformance: ## have h2grpc judged by connectconformance, h2spec and grpc-go's interoperability tests
	cd testdata/interop/conformance && $(GO) run ./cmd/judge -dir "$(CURDIR)/$(BUILD)/conformance" -readme "$(CURDIR)/testdata/interop/conformance/README.md"

attack: ## attack a server and a client of h2grpc as hostile peers do, and hosts and plugins (Linux, three minutes on a quiet machine)
	@mkdir -p $(BUILD)/attack
	$(GO) test -count=1 -timeout=30m ./h2grpc/internal/attack -args -attack -figures "$(CURDIR)/$(BUILD)/attack/figures.txt" -readme "$(CURDIR)/h2grpc/internal/attack/RESULTS.md"
	@cat $(BUILD)/attack/figures.txt
	$(GO) test -count=1 ./plugin ./plugin/host ./plugin/internal/broker -run 'Crowd|Flood|Brokered|MaxOpen'

SWAPS  ?= 10000
STARTS ?= 200

swaps: ## work on files, and start plugins, beside somebody who swaps what they work on (Linux; as root, as another user too)
	$(GO) test -count=1 -v -timeout=30m ./plugin/internal/files -run '^TestSwaps$$' -args -rounds=$(SWAPS) -starts=$(STARTS)

SOAK ?= 10000

soak: ## have a supervised plugin crash under load, SOAK times (some four minutes for 10000)
	$(GO) test -count=1 -v -timeout=60m ./plugin/host/supervise -run '^TestManyRestarts$$' -args -restarts=$(SOAK)

generate: ## write the generated code anew (needs protoc)
	@set -e; for script in $$(find . -name generate.sh | sort); do echo "$$script"; "$$script"; done

size: ## print the size of the stripped static example plugin; fail above testdata/size.txt
	@mkdir -p $(BUILD)
	@GOOS=linux GOARCH=amd64 CGO_ENABLED=0 $(GO) build $(STRIPPED) -o $(BUILD)/kvplugin-stripped ./cmd/kvplugin
	@size=$$(($$(wc -c <$(BUILD)/kvplugin-stripped))); ceiling=$$(cat testdata/size.txt); \
	echo "cmd/kvplugin, linux/amd64, static and stripped: $$size bytes; the ceiling is $$ceiling"; \
	if [ $$size -gt $$ceiling ]; then echo "testdata/size.txt:1: the plugin has outgrown its ceiling"; exit 1; fi

cross: ## build every program for every platform
	@set -e; for p in $(PLATFORMS); do echo "build for $$p"; GOOS=$${p%/*} GOARCH=$${p#*/} CGO_ENABLED=0 $(GO) build ./...; done

# BENCH has further flags: "make bench BENCH=-quick" only tries it. The shell sees
# them, so regular expressions need quotes: BENCH="-contenders 'tenon|grpc-go'".
BENCH ?=

# Sockets are kept in memory if there is such a place: removing the directories that
# they are in waits for the disk on some file systems (testdata/bench/README.md).
MEMORY := $(or $(wildcard /dev/shm),$(TMPDIR),/tmp)

bench: ## measure tenon beside grpc-go, go-plugin and others: ten minutes on a quiet machine
	@mkdir -p $(BUILD)/bench
	@cd testdata/bench && $(GO) build -o ../../$(BUILD)/bench/bench . && TMPDIR=$(MEMORY) ../../$(BUILD)/bench/bench -out ../../$(BUILD)/bench $(BENCH)

BEFORE ?= e1201b6

bench-before: ## measure this tree beside an earlier commit and beside itself, in pairs (BEFORE=commit): half an hour on a quiet machine
	@git rev-parse --verify --quiet "$(BEFORE)^{commit}" >/dev/null || { echo "this clone has no commit $(BEFORE): if it is shallow, git fetch --unshallow"; exit 1; }
	@rm -rf $(BUILD)/before && mkdir -p $(BUILD)/before && git archive $(BEFORE) | tar -xf - -C $(BUILD)/before
	@cd $(BUILD)/before/testdata/bench && $(GO) build -o $(CURDIR)/$(BUILD)/bench-before .
	@mkdir -p $(BUILD)/bench
	@cd testdata/bench && $(GO) build -o ../../$(BUILD)/bench/bench . && ../../$(BUILD)/bench/bench -out ../../$(BUILD)/bench -beside $(BEFORE)=../../$(BUILD)/bench-before $(BENCH)

bench-scale: ## measure how costs grow with connections, streams, bytes and plugins
	@$(MAKE) -s bench BENCH="-scale $(BENCH)"

bench-readme: ## write what bench and bench-scale have measured into testdata/bench/README.md
	@cd testdata/bench && $(GO) run . -from ../../$(BUILD)/bench/bench.json -out ../../$(BUILD)/bench -readme README.md >/dev/null
