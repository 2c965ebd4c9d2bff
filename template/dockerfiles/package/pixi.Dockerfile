# The project as an image, for a pixi project: dependencies in one layer, code in another, so that a
# change of the code makes a layer of a few kilobytes.
ARG PIXI_IMAGE
ARG PYTHON_IMAGE
FROM ${PIXI_IMAGE} AS pixi

# The same base as the other images have; Python is the one that pixi.lock names.
FROM ${PYTHON_IMAGE} AS tool
COPY --from=pixi /usr/local/bin/pixi /usr/local/bin/pixi
ENV PIXI_CACHE_DIR=/opt/cache

# Brings the environment of the running stack up to date; also what JupyterLab runs in.
FROM tool AS environment
RUN useradd --uid 50000 --gid 0 --no-create-home --home-dir /tmp environment \
    && install --directory --mode=0775 /opt/env /opt/project
# In the volume with the environment, so that its files are links, and no copies.
ENV PIXI_CACHE_DIR=/opt/env/cache \
    HOME=/tmp \
    PATH=/opt/env/venv/bin:$PATH \
    PYTHONPATH=/opt/project:/opt/project/src \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/project
USER 50000:0
# pixi puts an environment beside the files that describe it, and the project is read-only here.
CMD ["sh", "-ec", "\
    cp pyproject.toml pixi.lock /opt/env; \
    pixi install --frozen --environment stack --manifest-path /opt/env/pyproject.toml; \
    ln -sfn .pixi/envs/stack /opt/env/venv; \
    python -m compileall -qq -j 0 /opt/env/venv/lib || true"]

FROM tool AS dependencies
WORKDIR /opt/build
COPY pyproject.toml pixi.lock ./
# Some packages have files that are no Python yet (templates): they stay as they are.
RUN --mount=type=cache,target=/opt/cache \
    pixi install --frozen --environment package \
    && { .pixi/envs/package/bin/python -m compileall -qq -j 0 /opt/build/.pixi/envs/package/lib \
        || true; }

FROM ${PYTHON_IMAGE} AS package
RUN useradd --uid 50000 --gid 0 --no-create-home --home-dir /tmp package \
    && ln -s /opt/build/.pixi/envs/package /opt/env
# An environment stays where it was made: its files name the place.
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
ENV GAIAFLOW_COMMIT=$GAIAFLOW_COMMIT
USER 50000:0
CMD ["python", "-m", "gaiaflow.runner"]
