"""An authority that nobody knows, and what it has signed. In: a name, hosts. Out: files that go with their block.

Never: signs for a host that is not on this machine.
"""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from measuring.servers import RunFailed

DAYS = "2"
HOSTS = ("DNS:localhost", "IP:127.0.0.1")


@dataclass(frozen=True)
class Authority:
    """Files of one authority, and of the certificate that it has signed."""

    # The authority's own certificate, which a client has to trust.
    ca: Path
    certificate: Path
    key: Path

    @property
    def settings(self) -> str:
        """The table `[tls]` of a config."""
        pair = f'certificate_file = "{self.certificate}", key_file = "{self.key}"'
        return f"[tls]\ncertificates = [{{ {pair} }}]\n"

    @property
    def flags(self) -> str:
        """The same, for the command line of `fanfare echo`."""
        certificate, key = shlex.quote(str(self.certificate)), shlex.quote(str(self.key))
        return f"--tls-certificate {certificate} --tls-key {key}"


def openssl(*arguments: str | Path) -> None:
    """Runs openssl, which says nothing unless it fails."""
    command = ["openssl", *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise RunFailed(f"openssl: {error}; scripts/setup bench") from error
    if done.returncode:
        raise RunFailed(f"{shlex.join(command)}\n{done.stderr[-1000:]}")


def subject(name: str, extensions: Mapping[str, str]) -> list[str]:
    """Whom a certificate is for, and what it is good for, as flags."""
    added = [part for n, v in extensions.items() for part in ("-addext", f"{n}={v}")]
    return ["-subj", f"/CN={name}", *added]


@contextmanager
def authority(name: str = "fanfare's tests", hosts: Sequence[str] = HOSTS) -> Iterator[Authority]:
    """Elliptic curves, as most certificates of today have: P-256 for both keys."""
    with tempfile.TemporaryDirectory(prefix="fanfare-authority-") as folder:
        place = Path(folder)
        ca, ca_key = place / "ca.crt", place / "ca.key"
        signed = Authority(ca, place / "server.crt", place / "server.key")
        new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        new += ["-nodes", "-days", DAYS]
        own = {"basicConstraints": "critical,CA:TRUE", "keyUsage": "critical,keyCertSign"}
        openssl(*new, *subject(name, own), "-keyout", ca_key, "-out", ca)
        of_server = {
            "basicConstraints": "critical,CA:FALSE",
            "extendedKeyUsage": "serverAuth",
            "subjectAltName": ",".join(hosts),
        }
        by = ["-CA", ca, "-CAkey", ca_key]
        files = ["-keyout", signed.key, "-out", signed.certificate]
        openssl(*new, *subject("localhost", of_server), *by, *files)
        yield signed
