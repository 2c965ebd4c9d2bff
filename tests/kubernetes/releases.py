"""The releases of Kubernetes whose schemas our objects must fit."""

from __future__ import annotations

import kubernetes_validate

_MAJOR, _MINOR = kubernetes_validate.latest_version().split(".")[:2]
RELEASES = [f"{_MAJOR}.{int(_MINOR) - back}" for back in range(3)]  # the three newest
