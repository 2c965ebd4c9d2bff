# The image of a conda project. Dependencies and code are separate layers: a code change adds only a
# few kilobytes.
ARG CONDA_IMAGE
ARG PYTHON_IMAGE
FROM ${CONDA_IMAGE} AS tool
# Your own package index, if set in the shell that builds.
ARG PIP_INDEX_URL
ENV CONDA_PKGS_DIRS=/opt/cache/conda \
    PIP_CACHE_DIR=/opt/cache/pip

# Updates the running stack's environment; JupyterLab runs in this image too.
FROM tool AS environment
RUN useradd --uid 50000 --gid 0 --no-create-home --home-dir /tmp environment \
    && install --directory --mode=0775 /opt/env /opt/project
# Keep cache and environment in one volume: files can then be links instead of copies.
ENV CONDA_PKGS_DIRS=/opt/env/cache/conda \
    PIP_CACHE_DIR=/opt/env/cache/pip \
    HOME=/tmp \
    PATH=/opt/env/venv/bin:$PATH \
    PYTHONPATH=/opt/project:/opt/project/src \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/project
USER 50000:0
ENTRYPOINT []
# Without the project itself, which is mounted. Remove `nodefaults`: the image has no defaults, and
# some releases mistake the word for a channel. Solving is slow: only after a change.
CMD ["sh", "-ec", "\
    sed '/^ *- -e \\.$/d; /^ *- nodefaults$/d' environment.yml >/tmp/environment.yml; \
    if cmp --silent /tmp/environment.yml /opt/env/environment.yml; then exit; fi; \
    if [ -e /opt/env/venv/conda-meta/history ]; then \
        conda env update --prune --prefix /opt/env/venv --file /tmp/environment.yml; \
    else \
        conda env create --yes --prefix /opt/env/venv --file /tmp/environment.yml; \
    fi; \
    python -m compileall -qq -j 0 /opt/env/venv/lib || true; \
    cp /tmp/environment.yml /opt/env/environment.yml"]

FROM tool AS dependencies
WORKDIR /opt/build
COPY environment.yml ./
# Without the project itself, which is a separate layer, and without tools. Ignore compileall's
# errors: some packages have .py files that are only templates.
RUN --mount=type=cache,target=/opt/cache \
    sed --in-place '/^ *- -e \.$/d; /^ *- nodefaults$/d; / # dev$/d' environment.yml \
    && conda env create --yes --prefix /opt/env --file environment.yml \
    && { /opt/env/bin/python -m compileall -qq -j 0 /opt/env/lib || true; }

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
