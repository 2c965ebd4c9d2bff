"""The inference pipeline: raw data in, answers out. It is what gets registered and served.

Functions and classes of your own that a model needs while it predicts belong into this folder,
and must not import from other folders of the package: this folder travels with the model.
"""
