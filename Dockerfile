# syntax=docker/dockerfile:1
# The manager in a small image, with twinctl beside it: docker build -t twinthing .

FROM rust:1-slim-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends cmake libc6-dev libmariadb-dev libssl-dev make pkg-config \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# The dependencies, which seldom change, are a layer of their own.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src/bin/twinmgr src/bin/twinctl benches/load \
 && touch src/lib.rs benches/core.rs benches/flood.rs benches/groups.rs benches/load/main.rs \
 && echo 'fn main() {}' | tee src/bin/twinmgr/main.rs >src/bin/twinctl/main.rs \
 && cargo build --release --locked --bins \
 && rm -rf src target/release/deps/*twinthing* target/release/deps/twinmgr* target/release/deps/twinctl* \
           target/release/.fingerprint/twinthing-*
COPY migrations migrations
COPY src src
RUN cargo build --release --locked --bins

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libmariadb3 libssl3 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --no-create-home --shell /usr/sbin/nologin --uid 10001 twinmgr \
 && install -d -o twinmgr -g twinmgr -m 700 /data
COPY --from=build /src/target/release/twinmgr /src/target/release/twinctl /usr/local/bin/
USER twinmgr
# All that it writes is here: the rest may be read-only.
ENV TWIN_DATA_DIR=/data
VOLUME /data
# It finishes what came in within 10 s: stop it with a little more patience than that.
STOPSIGNAL SIGTERM
# Stuck is unhealthy. A broker or a database that is away is not: starting the manager again does not bring them back.
HEALTHCHECK --interval=30s --timeout=15s --start-period=30s --retries=3 CMD ["sh", "-c", "twinmgr health; [ $? != 70 ]"]
ENTRYPOINT ["twinmgr"]
