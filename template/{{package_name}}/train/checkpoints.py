"""Checkpoints: a training that was killed goes on from its last epoch."""

import io
import logging
from collections.abc import Mapping
from typing import Any

import torch

from ..utils import s3

logger = logging.getLogger(__name__)


def save(key: str, parts: Mapping[str, Any], **more: Any) -> None:
    """Store the states of these parts, such as a network and its optimizer.

    Args:
        more: numbers and texts.
    """
    buffer = io.BytesIO()
    states = {name: part.state_dict() for name, part in parts.items()}
    torch.save({"states": states, **more}, buffer)
    s3.put(key, buffer.getvalue())


def load(key: str, parts: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Bring these parts to their stored states, and return what else was stored.

    Returns:
        Nothing if there is no checkpoint, or one of something else.
    """
    try:
        found = torch.load(io.BytesIO(s3.get(key)), map_location=device, weights_only=True)
    except FileNotFoundError:
        return {}
    states = found.pop("states")
    try:
        for name, part in parts.items():
            part.load_state_dict(states[name])
    except (KeyError, RuntimeError, ValueError) as error:
        logger.warning("the checkpoint doesn't fit, so training starts again: %s", error)
        return {}
    return dict(found)


def remove(key: str) -> None:
    """Remove a checkpoint that is no longer needed."""
    s3.client().delete_object(Bucket=s3.bucket(), Key=key)
