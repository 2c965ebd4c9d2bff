# The image of a pixi project. Dependencies and code are separate layers: a code change adds only a
# few kilobytes.
ARG PIXI_IMAGE
ARG PYTHON_IMAGE
FROM ${PIXI_IMAGE} AS pixi

# The same base image as elsewhere; Python itself comes from pixi.lock.
FROM ${PYTHON_IMAGE} AS tool
COPY --from=pixi /usr/local/bin/pixi /usr/local/bin/pixi
ENV PIXI_CACHE_DIR=/opt/cache

# Updates the running stack's environment; JupyterLab runs in this image too.
FROM tool AS environment
RUN useradd --uid 50000 --gid 0 --no-create-home --home-dir /tmp environment \
    && install --directory --mode=0775 /opt/env /opt/project
# Keep cache and environment in one volume: files can then be links instead of copies.
ENV PIXI_CACHE_DIR=/opt/env/cache \
    HOME=/tmp \
    PATH=/opt/env/venv/bin:$PATH \
    PYTHONPATH=/opt/project:/opt/project/src \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/project
USER 50000:0
# pixi puts environments beside their manifest, and the project is read-only here.
CMD ["sh", "-ec", "\
    cp pyproject.toml pixi.lock /opt/env; \
    pixi install --frozen --environment stack --manifest-path /opt/env/pyproject.toml; \
    ln -sfn .pixi/envs/stack /opt/env/venv; \
    python -m compileall -qq -j 0 /opt/env/venv/lib || true"]

FROM tool AS dependencies
WORKDIR /opt/build
COPY pyproject.toml pixi.lock ./
# Ignore compileall's errors: some packages have .py files that are only templates.
RUN --mount=type=cache,target=/opt/cache \
    pixi install --frozen --environment package \
    && { .pixi/envs/package/bin/python -m compileall -qq -j 0 /opt/build/.pixi/envs/package/lib \
        || true; }

FROM ${PYTHON_IMAGE} AS package
RUN useradd --uid 50000 --gid 0 --no-create-home --home-dir /tmp package \
    && ln -s /opt/build/.pixi/envs/package /opt/env
# Environments can't be moved: their files contain the path.
COPY --from=dependencies /opt/build/.pixi/envs/package /opt/build/.pixi/envs/package
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
