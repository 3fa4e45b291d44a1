# Two stages from one base: the first builds a virtual environment out of locked, hash-checked wheels; the second
# takes that environment and nothing else. Neither a compiler nor pip reaches the image that runs.
#
# A tag moves; to build the same image again, name the base by the digest that the registry shows for it:
#   docker build --build-arg BASE=python@sha256:<digest> .
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore

WORKDIR /src

# The environment has no pip of its own; the base's installs into it. This layer changes only with the locks.
COPY requirements-build.lock requirements.lock ./
RUN python -m venv /opt/build \
    && /opt/build/bin/python -m pip install --require-hashes --only-binary :all: -r requirements-build.lock \
    && python -m venv --without-pip /opt/sam3d \
    && /opt/build/bin/python -m pip --python /opt/sam3d/bin/python install \
        --no-compile --require-hashes --only-binary :all: -r requirements.lock

# The wheel carries the migrations as `worker/_migrations`. Both installs run without an index: what the locks do not
# hold cannot get in. Bytecode with its source's time in it is stale where a builder rounds or rewrites times, and
# whoever may not write compiles it again at each start; with a hash that nobody checks it is good for ever.
COPY pyproject.toml README.md LICENSE ./
COPY migrations migrations
COPY worker worker
RUN /opt/build/bin/python -m pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /tmp/wheels . \
    && /opt/build/bin/python -m pip --python /opt/sam3d/bin/python install \
        --no-compile --no-deps --no-index /tmp/wheels/*.whl \
    && python -m compileall -q -f --invalidation-mode unchecked-hash /opt/sam3d/lib


FROM ${BASE}

# The base brings pip, setuptools and the wheels of both in ensurepip: a running worker installs nothing. Its
# standard library has no bytecode.
RUN python -m pip uninstall --yes --root-user-action=ignore pip setuptools wheel \
    && rm -rf "$(python -c 'import ensurepip; print(ensurepip.__path__[0])')" \
    && python -m compileall -q -f --invalidation-mode unchecked-hash \
        "$(python -c 'import os; print(os.path.dirname(os.__file__))')" \
    && groupadd --gid 10001 sam3d \
    && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin sam3d

COPY --from=build /opt/sam3d /opt/sam3d

ENV PATH=/opt/sam3d/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="sam3d-worker" \
      org.opencontainers.image.description="3D models from photos: a message in, an event out, and a slow, paid, poll-only API in between." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# The number, not the name, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /tmp

# A worker finishes its running tasks on SIGTERM.
STOPSIGNAL SIGTERM
ENTRYPOINT ["sam3d"]
CMD ["--help"]
