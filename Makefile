# Everything a newcomer types. `make demo` shows it, `make test` proves it;
# both install what they need from Debian by package name.

BUILD_PACKAGES := gcc libc6-dev pkg-config libclang-dev libasound2-dev libudev-dev \
	libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev
MEDIA_PACKAGES := gstreamer1.0-plugins-base gstreamer1.0-plugins-good \
	gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-alsa
# The last line is for webrtcbin, as a caller and as what the agent is compared with.
TEST_PACKAGES := gstreamer1.0-tools libx264-dev chromium chromium-driver firefox-esr coturn dbus-daemon e2fsprogs faketime ffmpeg mount \
	gstreamer1.0-plugins-base-apps iproute2 nginx-light procps nftables tinyproxy-bin openssl util-linux \
	python3-venv gstreamer1.0-nice python3-gst-1.0 gir1.2-gst-plugins-bad-1.0

GECKODRIVER_VERSION := 0.37.1
GECKODRIVER := target/tools/geckodriver-$(GECKODRIVER_VERSION)/bin/geckodriver
AIORTC_VERSION := 1.16.0
AIORTC := target/tools/aiortc-$(AIORTC_VERSION)/installed
AXE_VERSION := 4.14.1
AXE := target/tools/axe-core-$(AXE_VERSION)/node_modules/axe-core/axe.min.js

SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

# Installs those of the packages $(1) that are missing.
define install
	@missing=$$(for p in $(1); do \
		dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; \
	done); \
	if [ -n "$$missing" ]; then \
		echo "installing:" $$missing; \
		$(SUDO) apt-get update -qq && \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -qq --no-install-recommends $$missing; \
	fi
endef

.PHONY: help
help:
	@echo "make demo     build, and show this machine's camera on http://localhost:6503/"
	@echo "make test     every check and test that needs no virtual machine"
	@echo "make test-pure, test-calls, test-browsers  parts of it, by what they need"
	@echo "make test-boards  the rows of boards' encoders, through stand-ins for those; apart from"
	@echo "              it test-arm64 (64-bit ARM, emulated) and test-vm-boards (a virtual machine)"
	@echo "make siege    strangers of every kind, 20 s each, beside an honest viewer"
	@echo "make test-paths  what Chromium shows over bad networks; wants an idle machine"
	@echo "make test-vm  the same agent on a real kernel camera, in a virtual machine"
	@echo "make test-vm-boards  webcams, HDMI bridges, loopback cameras and libcamera in that machine"
	@echo "make deb      a Debian package in target/debian (TARGET=… for another architecture)"
	@echo "make cross    the binary for a board: TARGET=aarch64-unknown-linux-gnu,"
	@echo "              armv7-unknown-linux-gnueabihf or this machine's own (Debian 12)"
	@echo "make test-arm64  that binary for 64-bit ARM, emulated, answers a browser's call, also"
	@echo "              as on a Raspberry Pi 4; make test-armhf the one for 32 bits"
	@echo "make fixture  REPORT=file: a test of what somebody's board reported (doctor --report)"
	@echo "make figures  size, memory, CPU and start-up, as in docs/figures.md"
	@echo "make bench    cost and latency of calls, beside a bare webrtc sender"
	@echo "make bench-recording  half an hour of recording for four viewers (MINUTES=…)"
	@echo "make fuzz     a minute for each fuzz target (nightly Rust and cargo-fuzz)"

.PHONY: demo
demo: build-packages
	cargo run --release --locked -- demo $(ARGS)

.PHONY: build-packages
build-packages:
	$(call install,$(BUILD_PACKAGES) $(MEDIA_PACKAGES))

.PHONY: test-packages
test-packages: test-debian-packages $(GECKODRIVER) $(AIORTC) $(AXE)

.PHONY: test-debian-packages
test-debian-packages:
	$(call install,$(BUILD_PACKAGES) $(MEDIA_PACKAGES) $(TEST_PACKAGES))

# Firefox's WebDriver, which Debian has not; tests/support/driver.rs names it.
$(GECKODRIVER): | test-debian-packages
	cargo install geckodriver --locked --version $(GECKODRIVER_VERSION) --debug \
		--root target/tools/geckodriver-$(GECKODRIVER_VERSION) --target-dir target/tools/build

# A caller that is no browser; tests/support/caller.rs names it.
$(AIORTC): tests/support/callers/requirements.txt | test-debian-packages
	rm -rf $(@D)
	/usr/bin/python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

# Looks for what keeps people out of a page; tests/browsers/languages.rs names it.
$(AXE): | test-debian-packages
	$(if $(shell command -v npm),,$(call install,npm))
	npm install --silent --no-audit --no-fund --no-save --prefix target/tools/axe-core-$(AXE_VERSION) \
		axe-core@$(AXE_VERSION)

.PHONY: test
test: test-packages lint
	@if cargo nextest --version >/dev/null 2>&1; then \
		set -x; cargo nextest run --locked --no-fail-fast; \
		status=$$?; $(SECONDS_OF); test $$status -eq 0; \
	else \
		set -x; RUST_TEST_THREADS=1 cargo test --locked --no-fail-fast --lib --bins --tests; \
	fi
	cargo test --locked --doc

# Parts of it, by what they need: nothing but this program; sockets, GStreamer
# and shells; browsers. Each ends with the seconds of its files.
NOT_PURE := media::gst media::probe doctor:: setup:: servers:: signaling::
SECONDS_OF := tests/seconds.sh target/nextest/default/junit.xml

.PHONY: test-pure
test-pure: build-packages
	cargo nextest run --locked --no-fail-fast --lib --test pure \
		-E 'not ($(foreach part,$(NOT_PURE),test(/^$(part)/) |) none())'; \
	status=$$?; $(SECONDS_OF); exit $$status

.PHONY: test-calls
test-calls: test-packages
	cargo nextest run --locked --no-fail-fast --test calls; \
	status=$$?; $(SECONDS_OF); exit $$status

.PHONY: test-browsers
test-browsers: test-packages
	cargo nextest run --locked --no-fail-fast --test browsers; \
	status=$$?; $(SECONDS_OF); exit $$status

# Rows of encoders whose boards are not here, wherever they are tested, and what a board
# reports. On 64-bit ARM: `make test-arm64`; on the kernel's own drivers, in a virtual
# machine: `make test-vm-boards`.
OF_BOARDS := boards:: doctor_report:: doctor::bundle:: media::encoder:: media::element::lines::

.PHONY: test-boards
test-boards: test-packages
	cargo nextest run --locked --no-fail-fast --lib --test pure --test calls --test browsers \
		-E '$(foreach part,$(OF_BOARDS),test(/^$(part)/) |) none()'; \
	status=$$?; $(SECONDS_OF); exit $$status

# A form of 3 s each is in `make test` too.
SIEGE_SECONDS := 20

.PHONY: siege
siege: test-packages
	@if cargo nextest --version >/dev/null 2>&1; then \
		set -x; SIEGE_SECONDS=$(SIEGE_SECONDS) cargo nextest run --locked --test browsers siege:: --no-capture; \
	else \
		set -x; SIEGE_SECONDS=$(SIEGE_SECONDS) cargo test --locked --test browsers siege:: -- --nocapture; \
	fi

# One after the other, some 20 minutes; the short ones are in `make test` too.
.PHONY: test-paths
test-paths: test-packages
	@if cargo nextest --version >/dev/null 2>&1; then \
		set -x; cargo nextest run --locked --test browsers paths:: lip_sync:: --run-ignored all --no-fail-fast --no-capture; \
	else \
		set -x; RUST_TEST_THREADS=1 cargo test --locked --test browsers -- --include-ignored --nocapture paths:: lip_sync::; \
	fi

.PHONY: lint
lint: build-packages
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
	@if cargo deny --version >/dev/null 2>&1; then \
		set -x; cargo deny --offline check bans licenses sources; \
	else \
		echo "cargo-deny is not installed; licences and sources were not checked"; \
	fi

.PHONY: test-vm
test-vm: test-packages
	tests/lab/run.sh

# What hangs on boards, on real drivers: USB webcams, an HDMI bridge, a
# multi-planar camera, a loopback camera, libcamera. In the same virtual machine.
.PHONY: test-vm-boards
test-vm-boards: test-packages
	tests/lab/run.sh boards

# The service, as the package installs it, in the same virtual machine.
.PHONY: test-vm-service
test-vm-service: test-packages
	tests/lab/service.sh

# --- The Debian package ---------------------------------------------------

# Rust's name of an architecture; empty for this machine's own.
TARGET :=
CARGO_DEB_VERSION := 3.8.0
CARGO_DEB := target/tools/cargo-deb-$(CARGO_DEB_VERSION)/bin/cargo-deb

# It copies files: not worth an optimised build.
$(CARGO_DEB):
	cargo install cargo-deb --locked --version $(CARGO_DEB_VERSION) --debug \
		--root target/tools/cargo-deb-$(CARGO_DEB_VERSION) --target-dir target/tools/build

# Manual pages and completions come from the binary itself; where that is for
# another machine, from one for this machine.
.PHONY: package-files
ifeq ($(TARGET),)
package-files: build-packages
	cargo build --release --locked --bin camera-agent
	rm -rf target/package
	target/release/camera-agent package-files target/package
else
package-files: build-packages
	rm -rf target/package
	cargo run --locked --bin camera-agent -- package-files target/package
endif

# With TARGET, the binary is the one that was cross-compiled before.
.PHONY: deb
deb: package-files $(CARGO_DEB)
	$(CARGO_DEB) --no-build --locked --dbgsym $(if $(TARGET),--target $(TARGET)) --output target/debian/
	@if command -v lintian >/dev/null; then \
		set -x; lintian --fail-on error,warning $$(ls -t target/debian/camera-agent_*.deb | head -n 1); \
	else \
		echo "lintian is not installed; the package was not checked"; \
	fi

.PHONY: cross
cross:
	cross/build.sh $(TARGET)

.PHONY: test-arm64 test-armhf
test-arm64: test-packages
	tests/arm/run.sh aarch64-unknown-linux-gnu
test-armhf: test-packages
	tests/arm/run.sh armv7-unknown-linux-gnueabihf

# What a board reported becomes a described machine; docs/boards.md.
.PHONY: fixture
fixture: build-packages
	@test -n "$(REPORT)" || { echo "make fixture REPORT=file: the file that doctor --report wrote"; exit 2; }
	cargo run --locked --bin camera-agent -- fixture "$(abspath $(REPORT))" tests/fixtures/devices
	cargo test --locked --lib boards_that_were_tried_get_the_answers_that_they_had

.PHONY: figures
figures: build-packages
	cargo bench --locked --bench figures

.PHONY: bench
bench: test-packages
	cargo bench --locked --bench access
	cargo bench --locked --bench calls
	cargo bench --locked --bench media
	cargo bench --locked --bench motion
	cargo bench --locked --bench page
	cargo bench --locked --bench probe

# Longer than the others together: MINUTES=5 for less.
.PHONY: bench-recording
bench-recording: build-packages
	cargo bench --locked --bench recording -- $(MINUTES)

FUZZ_SECONDS := 60

.PHONY: fuzz
fuzz: build-packages
	for target in $$(cargo +nightly fuzz list); do \
		cargo +nightly fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) || exit 1; \
	done
