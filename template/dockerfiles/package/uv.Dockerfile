# The image of a uv project. Dependencies and code are separate layers: a code change adds only a
# few kilobytes.
ARG PYTHON_IMAGE
FROM ${PYTHON_IMAGE} AS tool
ARG UV_VERSION
# Your own package index, if set in the shell that builds.
ARG PIP_INDEX_URL
ARG UV_DEFAULT_INDEX
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv /opt/uv && /opt/uv/bin/pip install "uv==${UV_VERSION}"
ENV UV_PROJECT_ENVIRONMENT=/opt/env \
    UV_PYTHON=/usr/local/bin/python \
    UV_LINK_MODE=copy \
    UV_COMPILE_BYTECODE=1

# Updates the running stack's environment; JupyterLab runs in this image too.
FROM tool AS environment
RUN useradd --uid 50000 --gid 0 --no-create-home --home-dir /tmp environment \
    && install --directory --mode=0775 /opt/env /opt/project
# Keep cache and environment in one volume: files can then be links instead of copies.
ENV UV_PROJECT_ENVIRONMENT=/opt/env/venv \
    UV_CACHE_DIR=/opt/env/cache \
    UV_LINK_MODE=hardlink \
    HOME=/tmp \
    PATH=/opt/env/venv/bin:$PATH \
    PYTHONPATH=/opt/project:/opt/project/src \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/project
USER 50000:0
CMD ["/opt/uv/bin/uv", "sync", "--frozen", "--inexact", "--no-install-project"]

FROM tool AS dependencies
WORKDIR /opt/build
COPY pyproject.toml uv.lock ./
RUN --mount=type=cache,target=/root/.cache/uv \
    /opt/uv/bin/uv sync --frozen --no-install-project --no-dev

FROM ${PYTHON_IMAGE} AS package
RUN useradd --uid 50000 --gid 0 --no-create-home --home-dir /tmp package
COPY --from=dependencies /opt/env /opt/env
ENV HOME=/tmp \
    PATH=/opt/env/bin:$PATH \
    PYTHONPATH=/opt/project:/opt/project/src \
    PYTHONUNBUFFERED=1
WORKDIR /opt/project
COPY mlops_manager.py ./
COPY gaiaflow gaiaflow
RUN python -m compileall -q gaiaflow
ARG SOURCE
COPY pyproject.toml ./
COPY ${SOURCE} ${SOURCE}
RUN python -m compileall -q "${SOURCE}"
ARG GAIAFLOW_COMMIT
ARG GAIAFLOW_DIRTY
ENV GAIAFLOW_COMMIT=$GAIAFLOW_COMMIT \
    GAIAFLOW_DIRTY=$GAIAFLOW_DIRTY
LABEL org.opencontainers.image.revision=$GAIAFLOW_COMMIT
USER 50000:0
CMD ["python", "-m", "gaiaflow.runner"]
