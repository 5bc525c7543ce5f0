# syntax=docker/dockerfile:1
#
# allocsync as one static program in an otherwise empty image.
#   docker build --build-arg VERSION="$(git describe --tags --always)" -t allocsync .
#   docker run --rm -v "$PWD/allocsync.yaml:/etc/allocsync/allocsync.yaml:ro" allocsync check
#
# testbed/container-steps does the same steps without a container engine. For that, RUN lines keep to
# relative paths, and there are only the instructions that the script knows.

# The program is built on the builder's own architecture for the target's.
FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
WORKDIR /src
# Modules first: they change seldom, so that most builds find them in a layer.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN GOOS="$TARGETOS" GOARCH="$TARGETARCH" make build VERSION="$VERSION" && mkdir -p dist/state

FROM scratch
LABEL org.opencontainers.image.title="allocsync" \
      org.opencontainers.image.description="Keeps NetBox in step with the IP addresses that LXD, Incus, libvirt and MAAS hand out" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# The one place where the program may write.
COPY --from=build --chown=65532:65532 /src/dist/state /state
COPY --from=build /src/dist/allocsync /allocsync
# A number, not a name: Kubernetes' runAsNonRoot can only tell by a number, and there is no /etc/passwd.
USER 65532:65532
VOLUME ["/state"]
WORKDIR /state
ENTRYPOINT ["/allocsync"]
