FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
# The .git folder comes along, so that "tidings version" names the commit.
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -o /out/tidings ./cmd/tidings \
    && install -d -m 0700 -o 65532 -g 65532 /out/data /out/secrets

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/tidings /tidings
# A new named volume takes over the owner and mode of the folder it covers.
COPY --from=build --chown=65532:65532 /out/data /data
# For a volume that several nodes share: --secrets-key-file /secrets/secrets.key.
COPY --from=build --chown=65532:65532 /out/secrets /secrets
ENV TIDINGS_LISTEN=0.0.0.0:8080 TIDINGS_DATA_DIR=/data
USER 65532:65532
VOLUME /data
EXPOSE 8080
# health finds the server by the variables that serve has: TIDINGS_LISTEN and TIDINGS_TLS_CERT.
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s CMD ["/tidings", "health"]
ENTRYPOINT ["/tidings"]
CMD ["serve"]
