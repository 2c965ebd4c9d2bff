"""The certificate with which the object store's servers identify each other.

SeaweedFS's servers talk to each other over gRPC without keys. With mutual TLS, they answer only
programs that can read this certificate.
"""

from __future__ import annotations

import datetime
from pathlib import Path

from gaiaflow.project import envfile

_VALID = datetime.timedelta(days=3650)
_RENEWED = datetime.timedelta(days=365)  # at a start this long before it expires
_NAME = "gaiaflow"


def make(folder: Path) -> tuple[Path, Path]:
    """Create the certificate and its key, readable only by their owner; renew them in time.

    The certificate is self-signed, so it is also the authority that the servers trust.
    """
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    if not _lasts(certificate, key):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key_text, text = _make()
        envfile.write(key, key_text)
        envfile.write(certificate, text)
    return certificate, key


def _lasts(certificate: Path, key: Path) -> bool:
    """Whether both exist and are recent enough."""
    try:
        made = certificate.stat().st_mtime
        there = key.stat().st_size > 0 and certificate.stat().st_size > 0
    except OSError:
        return False
    age = datetime.datetime.now().timestamp() - made
    return there and age < (_VALID - _RENEWED).total_seconds()


def _make() -> tuple[str, str]:
    from cryptography import x509  # here because it takes 60 ms, and is needed once in nine years
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # in case a clock is wrong
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    key_text = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return key_text.decode(), certificate.public_bytes(pem).decode()
