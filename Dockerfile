# wbk-infra and helm, for charts/fleet-runner and for CI: docker build --tag registry.example.com/wbk-infra:VERSION .
# Pin the three images by digest where yours must be reproducible.
FROM rust:1.89-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin wbk-infra

FROM alpine/helm:4.2.4 AS helm

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=helm /usr/bin/helm /usr/local/bin/helm
COPY --from=build /src/target/release/wbk-infra /usr/local/bin/wbk-infra
ENTRYPOINT ["wbk-infra"]
