"""Checkpoints: a training that was killed goes on from its last epoch."""

import copy
import io
import logging
from collections.abc import Mapping
from typing import Any

import torch

from ..utils import s3

logger = logging.getLogger(__name__)


def save(
    key: str, parts: Mapping[str, Any], settings: Mapping[str, Any], about: Mapping[str, Any]
) -> None:
    """Store the state of a training.

    Args:
        parts: what has a state, such as a network and its optimizer.
        settings: what the states depend on.
        about: anything else, as numbers and texts.
    """
    states = {name: part.state_dict() for name, part in parts.items()}
    buffer = io.BytesIO()
    torch.save({"states": states, "settings": dict(settings), "about": dict(about)}, buffer)
    s3.put(key, buffer.getvalue())


def load(key: str, parts: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Bring the parts to their stored states, and return what was stored about them.

    Returns:
        Nothing if there is no checkpoint, or one of other parts or settings; in that case the parts
        are unchanged.
    """
    try:
        # To the CPU: each part moves its state to its own device.
        found = torch.load(io.BytesIO(s3.get(key)), map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return {}
    new = {name: copy.deepcopy(part.state_dict()) for name, part in parts.items()}
    try:
        if found["settings"] != settings:
            raise ValueError(f"it is of {found['settings']}")
        for name, part in parts.items():
            if state := found["states"][name]:  # on a CPU, loss scaling has none
                part.load_state_dict(state)
    except (KeyError, RuntimeError, ValueError) as error:
        logger.warning("the checkpoint doesn't fit, so training starts again: %s", error)
        for name, part in parts.items():
            if new[name]:
                part.load_state_dict(new[name])
        return {}
    return dict(found["about"])


def remove(key: str) -> None:
    """Remove a checkpoint that is no longer needed."""
    s3.client().delete_object(Bucket=s3.bucket(), Key=key)
