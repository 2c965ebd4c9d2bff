"""Load the champion where the project is not on the path, and ask it. Prints JSON.

Usage: predict.py ROOT
"""

import json
import sys

import gaiaflow

gaiaflow.connect()
root = sys.argv[1]
sys.path[:] = [folder for folder in sys.path if folder not in ("", root)]
for name in [name for name in sys.modules if name.partition(".")[0] == "gaiaflow"]:
    del sys.modules[name]

import mlflow  # noqa: E402
import pandas as pd  # noqa: E402

model = mlflow.pyfunc.load_model("models:/landcover@champion")
water, forest = [0.02, 0.03, 0.02, 0.01], [0.02, 0.04, 0.03, 0.45]
spectra = pd.DataFrame([water, forest], columns=["B02", "B03", "B04", "B08"])
print(json.dumps(list(model.predict(spectra))))
