# The shop's images. `api`, `worker` and `simulators` contain one program each, run it as an unprivileged user and have no
# shell. `lab` contains all programs and the tools for benchmarks. docker-compose.yml builds all four. To build one:
#
#     docker build --target api --tag backstock-api .
#
# The first build downloads some 450 libraries and compiles them with optimizations, which takes many minutes. They are in
# a layer of their own, so that a change to our sources compiles only our crates. There are no cache mounts and no
# here-documents, because the legacy builder supports neither.

ARG RUST_IMAGE=rust:1-bookworm
# Contains glibc, certificates and time zones. It is Debian 12 like the build image, so that glibc has the same version.
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot
ARG LAB_IMAGE=debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
WORKDIR /src
# Without symbols, a program is a quarter smaller. A panic message still contains file and line.
ENV CARGO_PROFILE_RELEASE_STRIP=symbols CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0
# For example --no-default-features, which builds the shop without baselines. The compose file's second shop needs them.
ARG CARGO_FLAGS=

# The libraries. This layer contains only the manifests of our crates, with placeholder sources, because it must stay
# cached when our sources change. `tests/` and `benches/` have placeholders too, because manifests name files in them.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY api/Cargo.toml api/
COPY dev/child-process/Cargo.toml dev/child-process/
COPY dev/dataset/Cargo.toml dev/dataset/
COPY dev/local-services/Cargo.toml dev/local-services/
COPY dev/simulators/Cargo.toml dev/simulators/
COPY dev/tcp-proxy/Cargo.toml dev/tcp-proxy/
COPY dev/xtask/Cargo.toml dev/xtask/
COPY loadtests/Cargo.toml loadtests/
COPY platform/Cargo.toml platform/
COPY shop/Cargo.toml shop/
COPY techniques/Cargo.toml techniques/
COPY worker/Cargo.toml worker/
RUN set -eu; \
    for crate in api dev/* loadtests platform shop techniques worker; do \
        mkdir -p $crate/src $crate/tests $crate/benches; \
        echo 'fn main() {}' | tee $crate/src/main.rs $crate/tests/main.rs > $crate/benches/cpu_bound.rs; \
        : > $crate/src/lib.rs; \
    done; \
    echo "Compiling the libraries, optimized. This takes many minutes, and is kept until Cargo.lock changes."; \
    cargo build --release --locked -p api -p worker -p simulators -p loadtests $CARGO_FLAGS; \
    rm -rf */src dev/*/src

# Our own crates. cargo compares modification times, and the sources are older than the placeholders, so touch them.
COPY .sqlx .sqlx
COPY migrations migrations
COPY platform platform
COPY techniques techniques
COPY shop shop
COPY dev/child-process dev/child-process
COPY dev/dataset dev/dataset
COPY dev/local-services dev/local-services
COPY dev/simulators dev/simulators
COPY dev/tcp-proxy dev/tcp-proxy
COPY api api
COPY worker worker
COPY loadtests loadtests
RUN set -eu; \
    find api dev loadtests platform shop techniques worker -name '*.rs' -exec touch {} +; \
    mkdir -p dev/xtask/src; echo 'fn main() {}' > dev/xtask/src/main.rs; \
    echo "Compiling the shop."; \
    cargo build --release --locked -p api -p worker -p simulators -p loadtests $CARGO_FLAGS; \
    mkdir /programs; \
    for name in api worker simulators lab; do cp target/release/backstock-$name /programs/; done


FROM ${RUNTIME_IMAGE} AS api
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="Backstock api" \
      org.opencontainers.image.description="The storefront's HTTP service" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.revision="${COMMIT}"
COPY --from=build /programs/backstock-api /usr/local/bin/
# A container has its own loopback interface, so a port that is reachable from outside must listen on all addresses.
# Which ports are public is decided where they are published. Never publish the second one, which is internal.
ENV BACKSTOCK_LISTEN=0.0.0.0:8080 BACKSTOCK_INTERNAL_LISTEN=0.0.0.0:9080
EXPOSE 8080 9080
# The program requests its own `/readyz`, because the image has no shell or curl. The interval is a compromise: each check
# starts a process, and services that depend on this one start up to one interval late.
HEALTHCHECK --interval=5s --timeout=3s --retries=6 CMD ["/usr/local/bin/backstock-api", "health"]
ENTRYPOINT ["/usr/local/bin/backstock-api"]


FROM ${RUNTIME_IMAGE} AS worker
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="Backstock worker" \
      org.opencontainers.image.description="The storefront's event relay, queue consumers and background tasks" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.revision="${COMMIT}"
COPY --from=build /programs/backstock-worker /usr/local/bin/
ENV BACKSTOCK_INTERNAL_LISTEN=0.0.0.0:9090
EXPOSE 9090
HEALTHCHECK --interval=5s --timeout=3s --retries=6 CMD ["/usr/local/bin/backstock-worker", "health"]
ENTRYPOINT ["/usr/local/bin/backstock-worker"]


FROM ${RUNTIME_IMAGE} AS simulators
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="Backstock simulators" \
      org.opencontainers.image.description="A simulated payment gateway, parcel carrier and mail server to try a shop with" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.revision="${COMMIT}"
COPY --from=build /programs/backstock-simulators /usr/local/bin/
ENV BACKSTOCK_PAYMENT_LISTEN=0.0.0.0:8090 BACKSTOCK_CARRIER_LISTEN=0.0.0.0:8091 \
    BACKSTOCK_SMTP_LISTEN=0.0.0.0:8025 BACKSTOCK_INBOX_LISTEN=0.0.0.0:8026
EXPOSE 8090 8091 8025 8026
HEALTHCHECK --interval=5s --timeout=3s --retries=6 CMD ["/usr/local/bin/backstock-simulators", "health"]
ENTRYPOINT ["/usr/local/bin/backstock-simulators"]


FROM ${LAB_IMAGE} AS lab
# pgbench and redis-benchmark measure the limits of the stores. pgbench is in the server's package, so only its binary is
# extracted.
RUN set -eu; \
    apt-get update; \
    apt-get install -y --no-install-recommends ca-certificates libpq5 redis-tools; \
    cd /tmp; \
    apt-get download postgresql-15; \
    dpkg --extract postgresql-15_*.deb postgresql; \
    cp postgresql/usr/lib/postgresql/15/bin/pgbench /usr/local/bin/; \
    rm -rf postgresql* /var/lib/apt/lists/*; \
    pgbench --version
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="Backstock lab" \
      org.opencontainers.image.description="Generates data, and measures what each technique of the shop costs and saves" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.revision="${COMMIT}"
# The lab starts api, worker and simulators itself, with the arms that it compares.
COPY --from=build /programs/ /usr/local/bin/
COPY deploy/compose/lab /usr/local/bin/
# Reports name the commit, and the image contains no repository to read it from.
ENV BACKSTOCK_COMMIT=${COMMIT}
# `compare` writes to target/compare, where a directory of the host is mounted.
WORKDIR /lab
ENTRYPOINT ["/usr/local/bin/lab"]
