"""Who may talk to the sandbox's API server: tokens, kubeconfigs, and the key that signs service accounts."""

import base64
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ADMIN = "sandbox-admin"
MASTERS = "system:masters"
AUDITED = "sandbox:audited"
"""Group of the users whose requests the audit log records."""


@dataclass(frozen=True, slots=True)
class User:
    """A name, its groups, and the bearer token that proves it."""

    name: str
    groups: tuple[str, ...]
    token: str


def make_users(components: Iterable[str], clients: Iterable[str]) -> dict[str, User]:
    """The admin, one all-powerful user per component, and one audited user without any right per client."""
    users = [User(name, (MASTERS,), secrets.token_hex(16)) for name in (ADMIN, *components)]
    users += [User(name, (AUDITED,), secrets.token_hex(16)) for name in clients]
    return {user.name: user for user in users}


def write_tokens(path: Path, users: Iterable[User]) -> None:
    """The CSV that the API server reads once at its start."""
    lines = [f'{user.token},{user.name},{user.name},"{",".join(user.groups)}"' for user in users]
    _write_private(path, "\n".join(lines) + "\n")


def write_kubeconfig(path: Path, user: User, port: int, ca_file: Path, name: str) -> None:
    """A kubeconfig (JSON is YAML) for one user; the CA is referred to by path and may appear later.

    Its context is called as the plane, and so are its cluster and, as a part, its user: those of several planes can be
    used together (`KUBECONFIG=a:b`).
    """
    login = f"{user.name}@{name}"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": name,
                "cluster": {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(ca_file)},
            }
        ],
        "users": [{"name": login, "user": {"token": user.token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": login, "namespace": "default"}}],
        "current-context": name,
    }
    _write_private(path, json.dumps(content, indent=1))


def write_signing_key(path: Path) -> None:
    """A fresh P-256 private key, as SEC 1 without the public half, which the API server works out itself."""
    # Any number below the order of the curve will do; a cleared top bit makes it one.
    scalar = bytes([secrets.randbelow(0x80)]) + secrets.token_bytes(31)
    prime256v1 = bytes.fromhex("a00a06082a8648ce3d030107")
    der = bytes.fromhex("303102010104 20".replace(" ", "")) + scalar + prime256v1
    body = base64.encodebytes(der).decode()
    _write_private(path, f"-----BEGIN EC PRIVATE KEY-----\n{body}-----END EC PRIVATE KEY-----\n")


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
