# Gatehouse as an image: one static binary, a person without rights, nothing else.
# It runs with a read-only root: gatehouse writes no file.
#
#   docker build -t gatehouse .
#   docker run --read-only -v ./my-config:/etc/gatehouse:ro -p 5000:5000 gatehouse
#
# Both base images are arguments, so that a house with images of its own can use them.
# Every RUN is in exec form: the build image needs no shell, and the result has none.
ARG BUILD_IMAGE=golang:1.26.9
ARG RUN_IMAGE=scratch

FROM ${BUILD_IMAGE} AS build
ARG VERSION=dev
ARG COMMIT=unknown
WORKDIR /src
COPY . .
ENV CGO_ENABLED=0 \
    GOFLAGS="-trimpath -buildvcs=false '-ldflags=-s -w -X main.releaseVersion=${VERSION} -X main.releaseCommit=${COMMIT}'"
RUN ["go", "build", "-o", "/out/gatehouse", "./cmd/gatehouse"]

FROM ${RUN_IMAGE}
LABEL org.opencontainers.image.title="gatehouse" \
      org.opencontainers.image.description="An authenticating reverse proxy for container registries"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/gatehouse /gatehouse
ENV GATEHOUSE_CONFIG=/etc/gatehouse/gatehouse.yaml
USER 65532:65532
EXPOSE 5000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/gatehouse", "healthcheck"]
ENTRYPOINT ["/gatehouse"]
CMD ["serve"]
