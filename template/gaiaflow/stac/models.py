"""Describe a model as a STAC item, by the Machine Learning Model extension.

https://github.com/stac-extensions/mlm
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gaiaflow.stac.items import Item
from gaiaflow.stac.products import Classes, classes_of_band, software_in_use

EXTENSIONS = {
    "classification": "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
    "eo": "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
    "mlm": "https://stac-extensions.github.io/mlm/v1.4.0/schema.json",
    "processing": "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
}
# The extension's names of MLflow's flavors.
_FRAMEWORKS = {
    "keras": "Keras",
    "pytorch": "PyTorch",
    "sklearn": "scikit-learn",
    "tensorflow": "TensorFlow",
    "xgboost": "XGBoost",
}


def model_item(
    name: str, model: Any, *, architecture: str, classes: Classes, uri: str | None = None
) -> Item:
    """Describe a classifier of pixels or images as a STAC item, which has no geometry.

    Args:
        name: its id, such as "landcover-v3": letters, digits, and `_.-` between them.
        model: what `mlflow.models.get_model_info` says. Its signature names the bands, or for a
            model of images its metadata (`bands`), which may also name its `architecture`.
        architecture: what kind of model it is, unless its metadata names one, such as "logistic
            regression".
        classes: what it predicts.
        uri: its address; default: the logged model's.
    """
    about: Mapping[str, Any] = model.metadata or {}
    inputs = model.signature.inputs
    if is_of_images := inputs.is_tensor_spec() and len(inputs.inputs[0].shape) == 4:
        bands = [str(band) for band in about.get("bands", ())]
    else:
        columns = inputs.to_dict()
        bands = [str(column.get("name", number)) for number, column in enumerate(columns)]
    flavors: Mapping[str, Any] = model.flavors
    found = (known for flavor, known in _FRAMEWORKS.items() if flavor in flavors)
    framework = about.get("framework") or next(found, None)
    task = "semantic-segmentation" if is_of_images else "classification"
    places = ["height", "width"] if is_of_images else []
    sizes = [-1] * len(places)
    given = {
        "shape": [-1, len(bands), *sizes],
        "dim_order": ["batch", "bands", *places],
        "data_type": "float32" if is_of_images else "float64",
    }
    result = {
        "shape": [-1, *sizes],
        "dim_order": ["batch", *places],
        "data_type": "uint8" if is_of_images else "other",
    }
    properties = {
        "datetime": str(model.utc_time_created).replace(" ", "T") + "Z",
        "mlm:name": name,
        "mlm:architecture": about.get("architecture", architecture),
        "mlm:tasks": [task],
        **({"mlm:framework": framework} if framework else {}),
        "mlm:input": [{"name": "reflectance", "bands": bands, "input": given}],
        "mlm:output": [
            {
                "name": "class",
                "tasks": [task],
                "result": result,
                "classification:classes": [
                    {**entry, "description": entry["title"]} for entry in classes_of_band(classes)
                ],
            }
        ],
        "processing:software": software_in_use(),
        **({"gaiaflow:mlflow_run_id": model.run_id} if model.run_id else {}),
    }
    asset = {
        "href": uri or model.model_uri,
        "roles": ["mlm:model"],
        "mlm:artifact_type": "mlflow",
        # The extension wants the bands described, where STAC 1.1 has no place for it.
        "eo:bands": [{"name": band} for band in bands],
    }
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": sorted(EXTENSIONS.values()),
        "id": name,
        "geometry": None,
        "properties": properties,
        "assets": {"model": asset},
        "links": [],
    }
