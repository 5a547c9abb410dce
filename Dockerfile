# Staged: wheels are gathered and built where a compiler is, installed where none is.  The image needs no network at run time.
FROM python:3.11-slim-bookworm AS wheels
WORKDIR /build
COPY requirements.lock ./
RUN pip wheel --no-cache-dir --require-hashes --wheel-dir /wheels -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY sentinel sentinel
COPY collectors collectors
COPY sandbox sandbox
COPY rules rules
RUN pip install --no-cache-dir --no-index --find-links /wheels setuptools \
 && pip wheel --no-cache-dir --no-index --no-build-isolation --no-deps --wheel-dir /wheels .

FROM python:3.11-slim-bookworm
RUN apt-get update \
 && apt-get install -y --no-install-recommends nftables conntrack iproute2 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --home-dir /var/lib/sentinel --create-home --uid 990 sentinel
COPY --from=wheels /wheels /wheels
RUN pip install --no-cache-dir --no-index --find-links /wheels sentinel && rm -rf /wheels
# One portable CPU for the compiled kernels: a cache that is baked here is hit on every x86-64 machine, also on a read-only root.
ENV PYTHONDONTWRITEBYTECODE=1 NUMBA_CPU_NAME=x86-64-v2 NUMBA_CPU_FEATURES="" SENTINEL_KERNEL_CACHE=/var/lib/sentinel/kernels
USER sentinel
WORKDIR /var/lib/sentinel
RUN python -m collectors.capture.warm
EXPOSE 8443 8444 502
# Capturing and nftables need CAP_NET_RAW and CAP_NET_ADMIN, granted to the container and kept by the processes that use them.
ENTRYPOINT ["sentinel"]
CMD ["run", "--config", "/etc/sentinel/sentinel.toml"]
