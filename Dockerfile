# The images of the shop: `api`, `worker` and `simulators` hold one program, run as nobody in particular and have no
# shell; `lab` has what measuring needs. docker-compose.yml builds all four; one alone:
#
#     docker build --target api --tag backstock-api .
#
# A first build downloads and compiles some 450 libraries, optimized: many minutes, which it says before it begins. They
# are a layer of their own, so that a change to our sources compiles only these. Works with BuildKit and with the builder
# before it, which is why there is no cache mount and no here-document.

ARG RUST_IMAGE=rust:1-bookworm
# The C library that Rust's programs link, certificates and time zones. Debian 12, as the image that compiles.
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot
ARG LAB_IMAGE=debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
WORKDIR /src
# Without symbols a program is a quarter smaller. A panic still says where it happened.
ENV CARGO_PROFILE_RELEASE_STRIP=symbols CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0
# For example --no-default-features: the shop without baselines, which the compose file's second shop can't do without.
ARG CARGO_FLAGS=

# The libraries. Of our own crates there are only the manifests, with empty sources: what changes daily must not be part
# of this layer. `tests/` and `benches/` stay empty, since manifests name files in them.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY api/Cargo.toml api/
COPY loadtests/Cargo.toml loadtests/
COPY local-services/Cargo.toml local-services/
COPY simulators/Cargo.toml simulators/
COPY storefront/Cargo.toml storefront/
COPY worker/Cargo.toml worker/
COPY xtask/Cargo.toml xtask/
RUN set -eu; \
    for crate in api loadtests local-services simulators storefront worker xtask; do \
        mkdir -p $crate/src $crate/tests $crate/benches; \
        echo 'fn main() {}' | tee $crate/src/main.rs $crate/tests/main.rs > $crate/benches/cpu_bound.rs; \
        : > $crate/src/lib.rs; \
    done; \
    echo "Compiling the libraries, optimized. This takes many minutes, and is kept until Cargo.lock changes."; \
    cargo build --release --locked -p api -p worker -p simulators -p loadtests $CARGO_FLAGS; \
    rm -rf */src

# Our own crates. cargo goes by time, and the sources are older than their empty stand-ins were: they are touched.
COPY .sqlx .sqlx
COPY migrations migrations
COPY storefront storefront
COPY local-services local-services
COPY simulators simulators
COPY api api
COPY worker worker
COPY loadtests loadtests
RUN set -eu; \
    find api loadtests local-services simulators storefront worker -name '*.rs' -exec touch {} +; \
    mkdir -p xtask/src; echo 'fn main() {}' > xtask/src/main.rs; \
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
# In a container, loopback is the container's own: what shall be reached listens on all addresses. Which of them the
# world sees is said where ports are published; never the second.
ENV BACKSTOCK_LISTEN=0.0.0.0:8080 BACKSTOCK_INTERNAL_LISTEN=0.0.0.0:9080
EXPOSE 8080 9080
# The program asks itself, for there is no shell. The interval is a compromise: each check is a process, and whoever waits
# for this one waits up to an interval longer.
HEALTHCHECK --interval=5s --timeout=3s --retries=6 CMD ["/usr/local/bin/backstock-api", "health"]
ENTRYPOINT ["/usr/local/bin/backstock-api"]


FROM ${RUNTIME_IMAGE} AS worker
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="Backstock worker" \
      org.opencontainers.image.description="Works off what the storefront queues" \
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
      org.opencontainers.image.description="A payment gateway, a parcel carrier and a mail server to try a shop with" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.revision="${COMMIT}"
COPY --from=build /programs/backstock-simulators /usr/local/bin/
ENV BACKSTOCK_PAYMENT_LISTEN=0.0.0.0:8090 BACKSTOCK_CARRIER_LISTEN=0.0.0.0:8091 \
    BACKSTOCK_SMTP_LISTEN=0.0.0.0:8025 BACKSTOCK_INBOX_LISTEN=0.0.0.0:8026
EXPOSE 8090 8091 8025 8026
HEALTHCHECK --interval=5s --timeout=3s --retries=6 CMD ["/usr/local/bin/backstock-simulators", "health"]
ENTRYPOINT ["/usr/local/bin/backstock-simulators"]


FROM ${LAB_IMAGE} AS lab
# pgbench and redis-benchmark tell what the stores allow. pgbench comes with a whole server, of which the rest stays away.
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
      org.opencontainers.image.description="Makes data, and measures what each technique of the shop costs and saves" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.revision="${COMMIT}"
# The lab starts api, worker and simulators itself, in the arms that it compares.
COPY --from=build /programs/ /usr/local/bin/
COPY deploy/compose/lab /usr/local/bin/
# Said in reports, since there is no repository to ask here.
ENV BACKSTOCK_COMMIT=${COMMIT}
# `compare` writes to target/compare, where a folder of the host is put.
WORKDIR /lab
ENTRYPOINT ["/usr/local/bin/lab"]
