"""The inference pipeline: raw data in, answers out. This is what gets registered and served.

Put your own functions and classes that a model needs for prediction in this folder. They must not
import from other folders of the package: only this folder travels with the model.
"""
