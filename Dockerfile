# The command alone, to be copied into the image of a project:
#   COPY --from=ghcr.io/reflex-dev/reflex-orm:v0.1.0 /usr/local/bin/reflex /usr/local/bin/
# dist/ is what `make binaries` has built.
FROM gcr.io/distroless/base-debian12
ARG TARGETARCH
COPY --chmod=755 dist/reflex-linux-${TARGETARCH} /usr/local/bin/reflex
ENTRYPOINT ["/usr/local/bin/reflex"]
