"""A registered segmentation model: this file, and the exported network beside it.

MLflow stores the file with each model, and runs it to load that model. So it imports nothing of
this project, and old models work as they did however the project changes.
"""

from typing import Any

import numpy as np
import torch
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel
from torch.export.passes import move_to_device_pass


class Segmenter(PythonModel):  # type: ignore[misc]
    """From reflectance to class codes, on a GPU if there is one."""

    def load_context(self, context: Any) -> None:
        self.factor = context.model_config["factor"]  # rows and columns must be multiples of it
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        network = torch.export.load(context.artifacts["network"])
        self.network = move_to_device_pass(network, self.device).module()

    def predict(
        self, context: Any, model_input: np.ndarray, params: dict[str, Any] | None = None
    ) -> np.ndarray:
        """Class codes, uint8 of shape (images, rows, columns).

        Args:
            model_input: reflectance, float32 of shape (images, bands, rows, columns), NaN where
                there is no data.
        """
        rows, columns = model_input.shape[-2:]
        missing = [(0, 0), (0, 0), (0, -rows % self.factor), (0, -columns % self.factor)]
        images = np.pad(model_input, missing, constant_values=np.nan)
        gpu = self.device == "cuda"
        with torch.inference_mode(), torch.autocast(self.device, enabled=gpu):
            codes = self.network(torch.from_numpy(images).to(self.device))
        found: np.ndarray = codes.cpu().numpy()[:, :rows, :columns]
        return found


set_model(Segmenter())
