"""The package: plain Python functions that know nothing about Airflow.

A DAG names them as "package.module:function". Each task calls one in its own process, with JSON
arguments, and passes its JSON result on. Tests, notebooks and scripts can call them just as well.
Don't import anything in `__init__` files: a task then loads only what it needs.
"""
