"""A certificate authority for tests, made by the openssl command: none of our code, and nothing that is kept."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

ADDRESS = "192.0.2.1"
"""Not loopback, for tests of those who trust whoever is there: an address for documentation (RFC 5737)."""


def make_authority(folder: Path) -> Path:
    """Make ``ca.pem``, and ``server`` and ``client`` (``.pem`` and ``.key``) that it signed, in *folder*.

    The server's is for 127.0.0.1 and for `ADDRESS`. Skips where there is no openssl command.
    """
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command to make certificates with")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(
        "req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority", "-days", "2",
        "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    )  # fmt: skip
    # Python 3.13 verifies strictly (RFC 5280): a certificate must say whose key signed it.
    (folder / "san").write_text(
        f"subjectAltName=IP:127.0.0.1,IP:{ADDRESS}\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    )
    for name in ("server", "client"):
        openssl("req", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-out", f"{name}.pem", "-days", "2", "-extfile", "san")  # fmt: skip
    return folder


def client_context(authority: Path, certificate: bool = False) -> ssl.SSLContext:
    """A client that trusts the authority alone, and has a *certificate* of it, or none."""
    context = ssl.create_default_context(cafile=authority / "ca.pem")
    if certificate:
        context.load_cert_chain(authority / "client.pem", authority / "client.key")
    return context
