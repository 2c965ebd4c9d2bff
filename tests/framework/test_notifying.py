"""Messages to people: to a real HTTP server, with Airflow's own objects, and never in the way."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.listeners.types import AssetEvent
from airflow.models.dagrun import DagRun
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Asset, AssetAlias
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.context import OutletEventAccessors
from airflow.serialization.definitions.assets import SerializedAsset

from gaiaflow import create_task
from gaiaflow.notifying import listener, outbox, questions
from gaiaflow.notifying.messages import Message
from gaiaflow.notifying.outbox import Outbox, deliver
from gaiaflow.notifying.sending import send
from gaiaflow.operators.process import ProcessOperator
from gaiaflow.project import envfile
from gaiaflow.project.project import prepare

from tests.receiver import REFUSED, TOKEN, Receiver, receiving

from .commands import manage
from .conftest import TEMPLATE

PAGE = "http://127.0.0.1:8080/dags/landcover/runs/manual__2026-11-27T01%3A00%3A00%2B00%3A00"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A server whose URL is in NOTIFY_URLS, as Airflow's services get it."""
    with receiving() as receiver:
        monkeypatch.setenv("NOTIFY_URLS", receiver.url)
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "forest_watch")
        monkeypatch.setenv("PYTHONPATH", str(TEMPLATE))
        yield receiver


@pytest.fixture
def deaf() -> Iterator[str]:
    """The URL of a server that takes a message and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"json://127.0.0.1:{server.getsockname()[1]}/{TOKEN}?rto=60"


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    """What the listener has posted, which isn't sent."""
    messages: list[Message] = []
    monkeypatch.setattr(listener, "OUTBOX", SimpleNamespace(post=messages.append))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://127.0.0.1:8080")
    return messages


def test_everybody_is_told_and_who_was_not_is_named_without_secrets(receiver: Receiver) -> None:
    urls = [receiver.url, f"{receiver.url}{REFUSED}", f"nonsense://{TOKEN}", f"json:///{TOKEN}"]
    problems = send(urls, "landcover failed", "Failed: validate", failure=True)
    first = receiver.next()
    assert (first["title"], first["message"]) == ("landcover failed", "Failed: validate")
    assert first["type"] == "failure"
    assert list(problems) == ["2. json", "3. nonsense", "4. json"]
    assert "403" in problems["2. json"]
    assert TOKEN not in json.dumps(problems)
    assert "127.0.0.1" not in json.dumps(problems)


def test_messages_are_sent_in_order(receiver: Receiver) -> None:
    box = Outbox()
    for number in (1, 2):
        box.post(Message(f"{number} failed", "", failure=True))
    titles = [receiver.next()["title"] for _ in range(2)]
    assert titles == ["forest_watch: 1 failed", "forest_watch: 2 failed"]


def test_a_server_that_never_answers_holds_up_nobody(
    receiver: Receiver, deaf: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbox, "_LIMIT", 5)
    monkeypatch.setattr(outbox, "_MOST", 2)
    monkeypatch.setenv("NOTIFY_URLS", deaf)
    begin = time.monotonic()
    box = Outbox()
    for number in range(5):
        box.post(Message(f"{number} failed", ""))
    assert time.monotonic() - begin < 5
    assert "Not sent, since 2 messages wait: 4 failed" in caplog.text
    deadline = time.monotonic() + 30
    while "Not sent: 0 failed\nnot sent to all within 5 s" not in caplog.text:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert TOKEN not in caplog.text


def test_what_was_not_sent_is_in_the_log(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_URLS", receiver.url + REFUSED)
    deliver(Message("landcover failed", ""))
    assert "Not sent: landcover failed\n1. json: " in caplog.text
    assert TOKEN not in caplog.text
    caplog.clear()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    deliver(Message("landcover failed", ""))
    assert "Not sent: landcover failed\n[Errno 2]" in caplog.text


def test_a_failed_run(posted: list[Message]) -> None:
    run = DagRun(dag_id="landcover", run_id="manual__2026-11-27T01:00:00+00:00")
    listener.on_dag_run_failed(run, "task_failure")
    listener.on_dag_run_failed(run, "timed_out")
    assert posted == [
        Message("landcover failed", PAGE, failure=True),
        Message(
            "landcover failed", f"It took longer than its dagrun_timeout.\n{PAGE}", failure=True
        ),
    ]


def event(asset: dict[str, Any], extra: dict[str, Any]) -> AssetEvent:
    return AssetEvent(
        asset=SerializedAsset("champion", "champion", "asset", asset, []),
        extra=extra,
        source_dag_id="landcover",
        source_task_id="register",
        source_run_id="manual__2026-11-27T01:00:00+00:00",
        source_map_index=-1,
        source_aliases=[],
        partition_key=None,
    )


def test_an_updated_asset_is_told_if_it_has_a_text(posted: list[Message]) -> None:
    listener.on_asset_event_emitted(event({}, {"version": 3}))
    assert posted == []
    listener.on_asset_event_emitted(event({"notify": "New"}, {}))
    extra = {"notify": "Newer", "version": 3, "metrics": {"accuracy": 0.9}}
    listener.on_asset_event_emitted(event({"notify": "New"}, extra))
    assert posted == [Message("New", PAGE), Message("Newer", f"version: 3\n{PAGE}")]


def test_every_question_is_told_and_never_fails_the_task(
    posted: list[Message], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with DAG("landcover", schedule=None):
        plain: Any = ApprovalOperator(task_id="approve", subject="Version 3?", body="It is better.")
        mapped: Any = ApprovalOperator.partial(task_id="each").expand(subject=["a", "b"])
        other: Any = create_task("other", "package.module:function")
    for task in (plain, mapped, other):
        questions.task_policy(task)
    assert isinstance(mapped, MappedOperator)
    [_] = mapped.partial_kwargs["notifiers"]
    assert not hasattr(other, "notifiers")
    [notifier] = plain.notifiers
    monkeypatch.setattr(questions, "deliver", posted.append)
    ti = SimpleNamespace(dag_id="landcover", run_id="run", task_id="approve", map_index=-1)
    notifier({"task": plain, "ti": ti, "task_instance": ti})
    [message] = posted
    assert message.title == "landcover waits for an answer: Version 3?"
    page = (
        "http://127.0.0.1:8080/dags/landcover/runs/run/tasks/approve/required_actions?map_index=-1"
    )
    assert message.body == f"It is better.\n{page}"
    notifier({"task": other, "ti": ti})
    assert "Nobody was told that this task waits." in caplog.text


FOUND = """
from airflow import settings
from airflow.listeners.listener import get_listener_manager
print(*(listener.__name__ for listener in get_listener_manager().pm.get_plugins()))
policies = settings.get_policy_plugin_manager().hook.task_policy.get_hookimpls()
print(*(policy.plugin_name for policy in policies))
"""
MINE = """
import sys
from airflow.plugins_manager import AirflowPlugin

class Mine(AirflowPlugin):
    name = "mine"
    listeners = [sys.modules[__name__]]
"""


def test_airflow_loads_it_beside_the_users_plugins(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "mine.py").write_text(MINE, encoding="utf-8")
    path = f"{TEMPLATE}:{TEMPLATE}/gaiaflow/notifying/entry_points"
    done = subprocess.run(
        [sys.executable, "-c", FOUND],
        env={**os.environ, "PYTHONPATH": path, "AIRFLOW_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    listeners, policies = (line.split() for line in done.stdout.splitlines()[-2:])
    assert {"mine", "gaiaflow.notifying.listener"} <= set(listeners)
    assert "gaiaflow-notifying" in policies


@pytest.mark.parametrize("urls", ["", f"json://127.0.0.1:1/{TOKEN}"])
def test_only_airflow_gets_the_urls(project_root: Path, urls: str) -> None:
    from gaiaflow.services import SERVICES

    prepare(project_root)
    envfile.update(project_root / ".env", {"NOTIFY_URLS": urls})
    project = prepare(project_root)
    for service in SERVICES:
        env = service.env(project)
        if service.name.startswith("airflow"):
            assert env["NOTIFY_URLS"] == urls
            assert env["PYTHONPATH"].endswith("entry_points") == bool(urls)
        else:
            assert TOKEN not in json.dumps(dict(env))
    assert "NOTIFY_URLS" not in project.own_variables()


def test_the_command(bare_project: Path, receiver: Receiver) -> None:
    nobody = manage(bare_project, "notify", "hello")
    assert nobody.returncode == 1
    assert "NOTIFY_URLS is not set" in nobody.stderr
    envfile.update(bare_project / ".env", {"NOTIFY_URLS": f"{receiver.url} nonsense://{TOKEN}"})
    done = manage(bare_project, "notify", "hello")
    assert (done.returncode, done.stdout) == (1, "Sent to 1 of 2.\n")
    assert "2. nonsense: " in done.stderr
    assert TOKEN not in done.stderr
    message = receiver.next()
    assert (message["title"], message["message"]) == ("forest_watch", "hello")


# --- Assets that a result updates ----------------------------------------------------------------


def updated(task: Any, result: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The events of a task whose function returns a result."""
    monkeypatch.setattr(ProcessOperator, "call", lambda *_: result)
    context: Any = {"outlet_events": OutletEventAccessors()}
    assert task.execute(context) == result
    return [
        alias_event
        for accessor in context["outlet_events"]._dict.values()
        for alias_event in accessor.asset_alias_events
    ]


def test_a_result_updates_an_asset(monkeypatch: pytest.MonkeyPatch) -> None:
    champion, drift = Asset("champion", extra={"notify": "New"}), Asset("drift")
    with DAG("landcover", schedule=None):
        task = create_task(
            "register", "a.b:c", updates={"is_champion": champion, "drift": drift}, outlets=[drift]
        )
        mapped = create_task("each", "a.b:c", updates={"drift": drift}).expand(x=[1, 2])
    assert task.outlets == [drift, AssetAlias("champion"), AssetAlias("drift")]
    assert mapped.outlets == [AssetAlias("drift")]
    result = {"is_champion": True, "drift": False, "version": 3, "metrics": {}}
    [one] = updated(task, result, monkeypatch)
    assert (one.source_alias_name, one.dest_asset_key.name) == ("champion", "champion")
    assert one.extra == {"notify": "New", "is_champion": True, "drift": False, "version": 3}
    assert updated(task, {"is_champion": False, "drift": False}, monkeypatch) == []


@pytest.mark.parametrize("result", [None, [], {}, {"drift": "no"}, {"drift": 1}])
def test_a_result_that_does_not_say_whether_is_refused(
    result: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = create_task("decide", "a.b:c", updates={"drift": Asset("drift")})
    says = "'drift' in the result of a.b:c says whether to update the asset 'drift', so it must be"
    with pytest.raises(AirflowFailException, match=re.escape(says)):
        updated(task, result, monkeypatch)


def test_what_is_not_an_asset_is_named() -> None:
    wrong: Any = {"drift": "landcover_drift"}
    with pytest.raises(ValueError, match="Task 'decide': updates must be"):
        create_task("decide", "a.b:c", updates=wrong)
