"""Serve the champion of a registered model over HTTP, in MLflow's scoring protocol.

`supervisor` holds the port and starts workers; a worker serves one version. When the model has a
new champion, a second worker loads it beside the first, and takes over once it is ready. Each
version has a process of its own because models bring their code along: two versions of a module
don't fit into one interpreter.
"""
