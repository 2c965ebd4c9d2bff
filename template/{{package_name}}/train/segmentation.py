"""Third stage of `segmentation`: train the U-Net, on a GPU if there is one."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ..model.classes import Classes
from ..model.unet import UNet
from ..model_pipeline.segmentation import log_network
from ..preprocess.chips import Chips, classes_of_chips, open_copies
from ..preprocess.features import SEED
from ..utils import s3
from . import checkpoints

logger = logging.getLogger(__name__)

READERS = 4  # threads that read chips


def train(
    chips: str,
    scene: str,
    mask: str,
    epochs: int = 30,
    batch_size: int = 8,
    learning_rate: float = 0.01,
) -> dict[str, Any]:
    """Train on the chips of the table stored under this key, in an MLflow run.

    A checkpoint is stored after each epoch. If the task is killed, Airflow tries it again, and it
    resumes from the last one, in the same run.

    Args:
        scene, mask: S3 keys of the rasters that the chips are parts of.
        epochs: how often the network sees each chip.
        batch_size: chips per step.
        learning_rate: its peak. The rate warms up to it, then decays.

    Returns:
        `run_id`, the URI `model` of the exported network, and its training `loss`.
    """
    settings: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
    }
    table = s3.get_table(chips)
    table = table[table["split"] == "train"]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with open_copies(scene, mask) as (image, labels):
        classes = classes_of_chips(table, labels)
        learn = Chips(table, image, labels, [code for code, _ in classes.values()])
        training = Training(learn, classes, device, **settings)
        checkpoint = s3.beside(chips, "checkpoint.pt")
        settings["chips"] = int(pd.util.hash_pandas_object(table).sum())
        known = checkpoints.load(checkpoint, training.parts, settings)
        run_id = known.get("run_id")
        if run_id and not is_there(run_id):
            run_id = None
        # System metrics: CPU, memory and GPU, sampled while it runs.
        with mlflow.start_run(
            run_id=run_id,
            run_name=None if run_id else "segmentation",
            tags={"pipeline": "segmentation"},
            log_system_metrics=True,
        ) as run:
            if known:
                logger.warning("training goes on after epoch %d", known["epoch"])
            if not run_id:
                mlflow.log_params({**settings, "chips": len(learn), "device": device.type})
            loss = float(known.get("loss", np.nan))
            for epoch in range(known.get("epoch", 0) + 1, epochs + 1):
                loss = training.epoch(epoch)
                mlflow.log_metrics({"loss": loss, "learning_rate": training.rate}, step=epoch)
                logger.info("epoch %d of %d: loss %.4f", epoch, epochs, loss)
                about = {"epoch": epoch, "loss": loss, "run_id": run.info.run_id}
                checkpoints.save(checkpoint, training.parts, settings, about)
            model = log_network(training.network, classes)
    checkpoints.remove(checkpoint)
    return {"run_id": run.info.run_id, "model": model, "loss": loss}


def is_there(run_id: str) -> bool:
    """Whether nobody has deleted this MLflow run."""
    wanted = f"attributes.run_id = '{run_id}'"
    return bool(mlflow.search_runs(filter_string=wanted, output_format="list"))


class Training:
    """A network, and what changes it.

    Attributes:
        parts: all that has a state, which a checkpoint stores.
    """

    def __init__(
        self,
        chips: Chips,
        classes: Classes,
        device: torch.device,
        *,
        epochs: int,
        batch_size: int,
        learning_rate: float,
        mixed_precision: bool | None = None,
    ) -> None:
        """Prepare the training of a new network.

        Args:
            mixed_precision: compute with 16 bits where that is enough: twice as fast on a GPU.
                Default: on a GPU.
        """
        torch.manual_seed(SEED)
        mean, deviation, weights = statistics(chips, len(classes))
        self._chips, self._batch_size, self._device = chips, batch_size, device
        self._readers = ThreadPoolExecutor(READERS)  # each has files open
        self._mixed = device.type == "cuda" if mixed_precision is None else mixed_precision
        self.network = UNet(mean, deviation, len(classes)).to(device)
        self._loss = nn.CrossEntropyLoss(weights.to(device), ignore_index=-1)
        self._optimizer = torch.optim.AdamW(self.network.parameters(), learning_rate)
        steps = epochs * -(-len(chips) // batch_size)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, learning_rate, total_steps=steps
        )
        self._scaler = torch.amp.GradScaler(device.type, enabled=self._mixed)
        self.parts: Mapping[str, Any] = {
            "network": self.network,
            "optimizer": self._optimizer,
            "schedule": self._schedule,
            "scaler": self._scaler,
        }

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return float(self._schedule.get_last_lr()[0])

    def epoch(self, number: int) -> float:
        """Learn from each chip once, and return the mean loss. The number seeds their order."""
        random = np.random.default_rng([SEED, number])
        self.network.train()
        total = 0.0
        for images, classes in batches(self._chips, self._batch_size, random, self._readers):
            self._optimizer.zero_grad()
            with torch.autocast(self._device.type, enabled=self._mixed):
                scores = self.network(images.to(self._device))
                loss = self._loss(scores, classes.to(self._device))
            self._scaler.scale(loss).backward()
            self._scaler.step(self._optimizer)
            self._scaler.update()
            self._schedule.step()
            total += float(loss.detach()) * len(images)
        return total / len(self._chips)


def batches(
    chips: Chips, size: int, random: np.random.Generator, readers: ThreadPoolExecutor
) -> Iterator[tuple[Tensor, Tensor]]:
    """All chips in random order, turned and flipped at random: seen from above, any way is up.

    Threads read them. Processes, as a `DataLoader` starts them, need more shared memory than
    containers have.
    """

    def read(number: int, turns: int) -> tuple[Tensor, Tensor]:
        image, classes = map(torch.from_numpy, chips[number])
        if turns >= 4:
            image, classes = image.flip(-1), classes.flip(-1)
        return image.rot90(turns, (-2, -1)), classes.rot90(turns, (-2, -1))

    order = random.permutation(len(chips))
    ways = random.integers(8, size=len(chips))
    for first in range(0, len(order), size):
        part = slice(first, first + size)
        images, classes = zip(*readers.map(read, order[part], ways[part]), strict=True)
        yield torch.stack(images), torch.stack(classes)


def statistics(chips: Chips, classes: int) -> tuple[Sequence[float], Sequence[float], Tensor]:
    """Mean and deviation of each band, and a weight for each class: rare ones count more."""
    counts = np.zeros(classes)
    known, sums, squares = np.zeros((3, 1))
    for number in range(len(chips)):
        image, places = chips[number]
        values = image.reshape(len(image), -1).astype(float)
        known = known + np.isfinite(values).sum(axis=1)
        sums = sums + np.nansum(values, axis=1)
        squares = squares + np.nansum(values**2, axis=1)
        counts += np.bincount(places[places >= 0], minlength=classes)
    mean = sums / known
    deviation = np.sqrt(np.maximum(squares / known - mean**2, 1e-6))
    weights = 1 / np.sqrt(np.maximum(counts, 1) / counts.sum())
    weights[counts == 0] = 0
    tensor = torch.tensor(weights / weights.mean(), dtype=torch.float32)
    return mean.tolist(), deviation.tolist(), tensor
