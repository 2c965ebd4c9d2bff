"""The package: plain Python functions that know nothing of Airflow.

A DAG names them as "package.module:function"; a task calls one in a process of its own, with
JSON arguments, and passes its JSON result on. So they run just as well from a test, a notebook
or a script. Keep the `__init__` files empty of imports: a task then loads what it needs only.
"""
