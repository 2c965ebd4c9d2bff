"""The .env file: what is written is read again, and what cannot be read is explained."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaiaflow.project import envfile
from gaiaflow.project.errors import GaiaflowError, explain

names = st.from_regex(r"[A-Z_][A-Z0-9_]{0,9}", fullmatch=True)
# What Gaiaflow itself writes: ports, tokens, keys.
values = st.from_regex(r"[A-Za-z0-9_=/+.:-]{0,20}", fullmatch=True)
# What people write beside it: any text of one line.
remarks = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\t\f\x85"))
comments = remarks.map("# {}".format)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def put(file: Path, text: str) -> None:
    file.write_bytes(text.encode())


@given(st.dictionaries(names, values), comments)
def test_what_is_written_is_read_again(
    tmp_path: Path, settings: dict[str, str], comment: str
) -> None:
    file = tmp_path / ".env"
    lines = [f"{comment}\n{name}={value}\n" for name, value in settings.items()]
    envfile.write(file, "\n".join(lines))
    assert envfile.read(file) == settings


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("NAME=a b", "a b"),
        ("  NAME = a  ", "a"),
        ("export NAME=a", "a"),
        ("NAME='a # b'", "a # b"),
        ('NAME="a=b"   # why', "a=b"),
        ("NAME=a#b # why", "a#b"),
        ("NAME=", ""),
        ("NAME= # why", ""),
        ("NAME=ü ☃", "ü ☃"),
        ("NAME=a\r", "a"),
        ("NAME='a\nOTHER=b\n'  # why", "a\nOTHER=b\n"),
        ('NAME="\na"', "\na"),
    ],
)
def test_what_a_person_may_write(file: Path, line: str, value: str) -> None:
    put(file, f"# about\n\n{line}\n")
    assert envfile.read(file) == {"NAME": value}


@given(
    before=st.dictionaries(names, values, min_size=1),
    after=values,
    between=st.lists(st.one_of(comments, st.just(""))),
    newline=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
    data=st.data(),
)
def test_an_update_changes_values_and_no_other_byte(
    tmp_path: Path,
    before: dict[str, str],
    after: str,
    between: list[str],
    newline: str,
    last: bool,
    data: st.DataObject,
) -> None:
    file = tmp_path / ".env"
    changed = data.draw(st.sampled_from(sorted(before)))

    def text(settings: dict[str, str]) -> str:
        pairs = [f"{name}={value}" for name, value in settings.items()]
        return newline.join([*between, *pairs, *between]) + newline * last

    put(file, text(before))
    envfile.update(file, {changed: after})
    assert file.read_bytes().decode() == text({**before, changed: after})


@pytest.mark.parametrize(
    ("line", "updated"),
    [
        ("PORT=8080  # ours", "PORT=9090  # ours"),
        ('PORT="8080" # ours', "PORT=9090 # ours"),
        ("  export PORT = 8080", "  export PORT = 9090"),
        ("# PORT=8080", "# PORT=8080"),
        ("SPORT=8080", "SPORT=8080"),
        ("KEY='a\nPORT=8080\n'\nPORT=8080", "KEY='a\nPORT=8080\n'\nPORT=9090"),
        ("PORT='80\n80' # ours\nA=1", "PORT=9090 # ours\nA=1"),
    ],
)
def test_an_update_keeps_what_stands_beside_the_value(file: Path, line: str, updated: str) -> None:
    put(file, line)
    envfile.update(file, {"PORT": "9090"})
    assert file.read_text(encoding="utf-8") == updated


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("A=1\nsecret", 2, "expected NAME=value"),
        ("A=1\n\n# b\nA B=secret\n", 4, "expected NAME=value"),
        ("A=1\n=secret\n", 2, "expected NAME=value"),
        ("A=1\n2B=secret", 2, "expected NAME=value"),
        ("A=1\nB='secret\nC=1", 2, "quote in the value of B is not closed"),
        ('A="secret', 1, "quote in the value of A is not closed"),
        ("A=secret\nB=1\nA=secret", 3, "A is already set in line 1"),
        ("A=1\x0c\x85\nsecret", 2, "expected NAME=value"),
        ("A='1\n2'\n\nsecret", 4, "expected NAME=value"),
    ],
)
def test_a_bad_line_is_named_and_its_value_is_not(
    file: Path, text: str, line: int, why: str
) -> None:
    put(file, text)
    with pytest.raises(GaiaflowError) as caught:
        envfile.read(file)
    message = str(caught.value)
    assert message.startswith(f".env, line {line}: ")
    assert why in message
    assert "secret" not in message
    assert "mlops_manager.py start" in message  # what to do next


def test_a_line_that_is_no_text_is_named(file: Path) -> None:
    file.write_bytes(b"A=1\nB=\xff\xfe secret\n")
    with pytest.raises(GaiaflowError, match="line 2: not UTF-8 text") as caught:
        envfile.read(file)
    assert "secret" not in str(caught.value)
    with pytest.raises(GaiaflowError, match="line 2"):
        envfile.update(file, {"A": "2"})


def test_secrets_are_the_owners_alone(file: Path) -> None:
    before = os.umask(0)
    try:
        envfile.write(file, "A=1\n")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    finally:
        os.umask(before)


@pytest.mark.parametrize("mode", [0o640, 0o400, 0o664])
def test_the_mode_that_a_person_chose_stays(file: Path, mode: int) -> None:
    """As where a group shares a project; `doctor` says what is too open."""
    put(file, "A=1\n")
    file.chmod(mode)
    envfile.update(file, {"A": "2"})
    assert envfile.read(file) == {"A": "2"}
    assert stat.S_IMODE(file.stat().st_mode) == mode


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_a_link(file: Path, there: bool) -> None:
    place = file.parent / "secrets"
    place.mkdir()
    file.symlink_to("secrets/settings")
    if there:
        put(place / "settings", "A=1\n")
        envfile.update(file, {"A": "2"})
    else:
        envfile.write(file, "A=2\n")
    assert file.is_symlink() and not (place / "settings").is_symlink()
    assert (place / "settings").read_text(encoding="utf-8") == "A=2\n"
    assert list(place.iterdir()) == [place / "settings"]


@pytest.mark.parametrize("call", ["fsync", "fdopen"])
def test_a_full_disk_leaves_the_old_file(
    file: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    envfile.write(file, "A=1\n")

    def full(descriptor: int, *_: object, **__: object) -> None:
        os.close(descriptor) if call == "fdopen" else None
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError) as caught:
        envfile.update(file, {"A": "2"})
    assert "disk is full" in explain(caught.value)
    assert file.read_text(encoding="utf-8") == "A=1\n"
    assert list(file.parent.iterdir()) == [file]  # nothing half written beside it
