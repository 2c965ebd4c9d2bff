"""The certificate of a project's object store."""

from __future__ import annotations

import os
import ssl
import stat
from pathlib import Path

from gaiaflow.services import certificates


def test_it_is_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    certificate, key = certificates.make(tmp_path / "own")
    assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == 0o700
    for file in (certificate, key):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = certificate.read_bytes(), key.read_bytes()
    assert certificates.make(tmp_path / "own") == (certificate, key)
    assert (certificate.read_bytes(), key.read_bytes()) == before


def test_it_is_its_own_authority(tmp_path: Path) -> None:
    certificate, key = certificates.make(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)  # they belong together
    context.load_verify_locations(certificate)
    assert len(context.get_ca_certs()) == 1


def test_what_is_lost_half_or_old_is_made_anew(tmp_path: Path) -> None:
    certificate, key = certificates.make(tmp_path)
    first = certificate.read_bytes()
    key.unlink()
    certificates.make(tmp_path)
    second = certificate.read_bytes()
    assert second != first
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    nine_years_ago = certificate.stat().st_mtime - 9.1 * 365 * 86400
    os.utime(certificate, (nine_years_ago, nine_years_ago))
    certificates.make(tmp_path)
    assert certificate.read_bytes() != second
