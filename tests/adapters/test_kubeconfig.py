"""A kubeconfig from a Secret can say where and who, and nothing else."""

from __future__ import annotations

import base64
import copy
import json
from pathlib import Path
from typing import Any

import pytest

from ombak.adapters.kubeconfig import KubeconfigRefusedError, read_login
from support.regions import kubeconfig

SECRET = "s3cr3t-t0ken-of-the-hub"
PEM = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").decode()


def changed(path: str, value: object) -> str:
    """A good kubeconfig in which one field of `cluster`, `user` or the whole is this."""
    whole: dict[str, Any] = copy.deepcopy(kubeconfig("https://eu.example:6443", SECRET))
    part, _, field = path.partition(".")
    place = {"cluster": whole["clusters"][0]["cluster"], "user": whole["users"][0]["user"], "it": whole}[part]
    place[field] = value
    return json.dumps(whole)


def test_an_ordinary_one_is_read() -> None:
    """Server, token; what secrets there are is not shown."""
    login = read_login(json.dumps(kubeconfig("https://eu.example:6443/clusters/1/", SECRET)))

    assert (login.server, login.headers()) == (
        "https://eu.example:6443/clusters/1",
        {"Authorization": f"Bearer {SECRET}"},
    )
    assert SECRET not in repr(login)


def test_a_context_can_be_chosen() -> None:
    """By its name, else the current one."""
    whole = kubeconfig("https://eu.example", SECRET)
    whole["contexts"].append({"name": "us", "context": {"cluster": "us", "user": "it"}})
    whole["clusters"].append({"name": "us", "cluster": {"server": "https://us.example"}})

    assert [read_login(json.dumps(whole), name).server for name in (None, "us")] == [
        "https://eu.example",
        "https://us.example",
    ]


@pytest.mark.parametrize(
    ("path", "value", "part"),
    [
        pytest.param("user.exec", {"command": "sh"}, "exec would run a program", id="exec"),
        pytest.param("user.auth-provider", {"name": "gcp"}, "auth-provider would run a program", id="auth-provider"),
        pytest.param("user.tokenFile", "/var/run/secrets/token", "its content as token", id="token-file"),
        pytest.param("user.client-certificate", "/etc/a.pem", "as client-certificate-data", id="certificate-file"),
        pytest.param("user.client-key", "/etc/a.key", "as client-key-data", id="key-file"),
        pytest.param("cluster.certificate-authority", "/etc/ca", "as certificate-authority-data", id="ca-file"),
        pytest.param("cluster.insecure-skip-tls-verify", True, "tell the token to anybody", id="insecure"),
        pytest.param("user.username", "admin", "username of a user is not used", id="basic-auth"),
        pytest.param("user.as", "admin", "as of a user is not used", id="impersonation"),
        pytest.param("cluster.server", "http://eu.example", "http, which would show the token", id="http"),
        pytest.param("cluster.server", "https://a:b@eu.example", "a user or a password", id="password-in-url"),
        pytest.param("cluster.server", "file:///etc/passwd", "no address of an API server", id="file-url"),
        pytest.param("cluster.server", "", "no address of an API server", id="no-server"),
        pytest.param("cluster.proxy-url", "socks5://a", "no address of a proxy", id="proxy"),
        pytest.param("cluster.certificate-authority-data", "///", "not base64 of a PEM", id="ca-no-base64"),
        pytest.param("cluster.certificate-authority-data", "AAAA", "not base64 of a PEM", id="ca-no-pem"),
        pytest.param("user.client-certificate-data", PEM, "belong together", id="certificate-without-key"),
        pytest.param("user.token", "", "neither token nor client-certificate-data", id="nobody"),
        pytest.param("user.token", 12345, "token is no text", id="number"),
        pytest.param("user.token", "a\r\nHost: b", "no token", id="header-injection"),
        pytest.param("it.current-context", "", "no current-context", id="no-context"),
        pytest.param("it.current-context", "other", "no context 'other'", id="unknown-context"),
        pytest.param("it.users", [], "no user 'it'", id="unknown-user"),
    ],
)
def test_everything_else_is_refused(path: str, value: object, part: str) -> None:
    """With a sentence that says what to write, and never shows the token."""
    with pytest.raises(KubeconfigRefusedError, match=part) as refused:
        read_login(changed(path, value))

    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        pytest.param("{", "not YAML", id="broken"),
        pytest.param("just words", "no kubeconfig", id="words"),
        pytest.param("!!python/object/apply:os.system ['id']", "not YAML", id="python"),
        pytest.param("a" * 300_000, "longer than 256 KiB", id="huge"),
        pytest.param("[" * 600, "not YAML", id="deep"),
    ],
)
def test_what_is_none_is_refused(text: str, part: str) -> None:
    """Nothing of it is executed."""
    with pytest.raises(KubeconfigRefusedError, match=part):
        read_login(text)


@pytest.mark.parametrize("field", ["ca", "client"])
def test_certificates_that_are_none_are_refused_without_a_trace(
    field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that Python needs for a moment is gone afterwards."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    whole = kubeconfig("https://eu.example", SECRET)
    if field == "ca":
        whole["clusters"][0]["cluster"]["certificate-authority-data"] = PEM
    else:
        whole["users"][0]["user"] |= {"client-certificate-data": PEM, "client-key-data": PEM}

    with pytest.raises(KubeconfigRefusedError, match="its certificates cannot be used"):
        read_login(json.dumps(whole)).tls()
    assert list(tmp_path.iterdir()) == []
