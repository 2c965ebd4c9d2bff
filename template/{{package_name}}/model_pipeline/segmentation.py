"""Make a trained network an MLflow model: for `landcover_batch`, serving, or anything else."""

from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import numpy as np
import torch
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from torch import Tensor, nn
from torch.export import Dim

from ..model.classes import Classes
from ..model.unet import FACTOR, OVERLAP, UNet
from . import segmenter
from .bands import BANDS

REQUIREMENTS = ("mlflow", "numpy", "torch")  # to load the model
SMALL = 4 * FACTOR  # pixels: the size of the example, which a server predicts to warm up


class Codes(nn.Module):
    """A network that gives the codes of classes, uint8, instead of their scores."""

    codes: Tensor

    def __init__(self, network: UNet, classes: Classes) -> None:
        super().__init__()
        self.network = network
        codes = [code for code, _ in classes.values()]
        self.register_buffer("codes", torch.tensor(codes, dtype=torch.uint8))

    def forward(self, images: Tensor) -> Tensor:
        return self.codes[self.network(images).argmax(dim=1)]


def log_network(network: UNet, classes: Classes) -> str:
    """Export a trained network, and log it to the active MLflow run.

    `torch.export` stores what the network computes, for images of any size, instead of its Python
    code.

    Args:
        classes: in the order of the network's output.

    Returns:
        The URI of the model.
    """
    example = np.full((2, len(BANDS), SMALL, SMALL), 0.1, np.float32)
    exported = torch.export.export(
        Codes(network, classes).cpu().eval(),
        (torch.from_numpy(example),),
        dynamic_shapes=(
            {0: Dim("images", min=1), 2: FACTOR * Dim("rows"), 3: FACTOR * Dim("columns")},
        ),
    )
    inputs = TensorSpec(np.dtype(np.float32), (-1, len(BANDS), -1, -1))
    output = TensorSpec(np.dtype(np.uint8), (-1, -1, -1))
    with TemporaryDirectory() as folder:
        file = Path(folder, "network.pt2")
        torch.export.save(exported, file)
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=segmenter.__file__,
            artifacts={"network": str(file)},
            model_config={"factor": FACTOR},
            pip_requirements=[f"{name}=={version(name).split('+')[0]}" for name in REQUIREMENTS],
            signature=ModelSignature(Schema([inputs]), Schema([output])),
            input_example=example[:1],
            metadata={
                "architecture": "U-Net",
                "bands": list(BANDS),
                "classes": dict(classes),
                "framework": "PyTorch",
                "overlap": OVERLAP,  # `gaiaflow.rasters.apply` gives windows so many pixels more
            },
        )
    return str(info.model_uri)
