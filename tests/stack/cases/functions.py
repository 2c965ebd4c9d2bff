"""What the tasks of cases/dags.py call, in every mode. Standard library only."""

import hashlib
import logging
import os
import signal
import sys
import time
import urllib.request


def echo(**arguments):
    return arguments


def environment(names):
    return {name: os.environ.get(name) for name in names}


def nothing():
    print("nothing is returned")


def leave(code):
    sys.exit(code)


def search(count):
    return {"scenes": [{"id": f"S2-{i}", "cloud": i / 10} for i in range(count)], "count": count}


def numbers(count):
    return list(range(count))


def predict(scene, model):
    print("predicting", scene["id"])
    return {"scene": scene["id"], "area": scene["cloud"] * model["scale"]}


def square(number):
    return number * number


def total(values):
    return {"sum": round(sum(values), 6), "of": len(values)}


def collect(results):
    return [result["scene"] for result in results]


def fails():
    print("before the failure")
    logging.warning("about to fail")
    raise ValueError("no scene of this month")


def flaky(attempt):
    if attempt == "1":
        raise RuntimeError("only at the first try")
    return {"attempt": attempt}


def no_json():
    return {"model": object()}


def large():
    return {"rows": "x" * 200_000}


def digest_of_secret(name):
    print("the secret is not shown")
    return hashlib.sha256(os.environ[name].encode()).hexdigest()


def deaf(seconds):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as code of a library can be to a hint
    print("sleeping", flush=True)
    time.sleep(seconds)


def take(megabytes):
    return len(bytearray(megabytes << 20))


def ask(variable, path):
    address = os.environ[variable] + path
    with urllib.request.urlopen(address, timeout=20) as answer:
        return answer.status
