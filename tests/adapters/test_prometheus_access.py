"""Credentials for a Prometheus: sent, renewed, and never seen anywhere else."""

import asyncio
import base64
import http.server
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ombak.adapters.prometheus import PrometheusSource
from ombak.adapters.prometheus_access import PrometheusAccess
from ombak.adapters.prometheus_config import ConfigError, open_sources
from ombak.runtime.metrics_port import QueryError, QueryErrorKind

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN, PASSWORD, HEADER = "t0k3n-of-the-test", "p4ssw0rd-of-the-test", "h34d3r-of-the-test"
SECRETS = (TOKEN, PASSWORD, HEADER)


class Server(http.server.ThreadingHTTPServer):
    """Remembers the headers of every request, and says `answer`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.headers: list[Any] = []
        self.status = 200
        self.answer: Any = {"status": "success", "data": {"resultType": "vector", "result": []}}


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.headers.append(self.headers)
        raw = json.dumps(self.server.answer).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Says nothing."""


def _serve(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    """Plain HTTP on a free port."""
    yield from _serve(Server())


def _url(server: Server, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{server.server_address[1]}"


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


async def _ask(source: PrometheusSource) -> None:
    await source.query("up", NOW)


async def test_a_token_is_sent_and_renewed(server: Server, tmp_path: Path) -> None:
    """As kubelet replaces a projected token: another file under the same name."""
    token = _write(tmp_path / "token", f"{TOKEN}\n")
    source = PrometheusSource(PrometheusAccess(_url(server), bearer_token_file=token))
    await _ask(source)
    _write(tmp_path / "next", "another-token").rename(token)
    await _ask(source)
    source.close()
    assert [h["Authorization"] for h in server.headers] == [f"Bearer {TOKEN}", "Bearer another-token"]


async def test_user_and_password_are_sent_with_headers(server: Server, tmp_path: Path) -> None:
    """The tenant of a Mimir beside them."""
    access = PrometheusAccess(
        _url(server),
        {"X-Scope-OrgID": "team-a"},
        username_file=_write(tmp_path / "user", "me"),
        password_file=_write(tmp_path / "password", PASSWORD),
    )
    source = PrometheusSource(access)
    await _ask(source)
    source.close()
    sent = server.headers[0]
    assert base64.b64decode(sent["Authorization"].removeprefix("Basic ")).decode() == f"me:{PASSWORD}"
    assert sent["X-Scope-OrgID"] == "team-a"


async def test_netrc_does_not_replace_our_header(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies in the home of whoever runs us is not what was configured."""
    monkeypatch.setenv("NETRC", str(_write(tmp_path / "netrc", "machine 127.0.0.1 login other password other\n")))
    source = PrometheusSource(_url(server), {"Authorization": HEADER})
    await _ask(source)
    source.close()
    assert server.headers[0]["Authorization"] == HEADER


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(None, "cannot be read", id="missing"),
        pytest.param("", "holds no credentials", id="empty"),
        pytest.param(f"{TOKEN}\nanother line", "holds no credentials", id="two lines"),
    ],
)
async def test_a_file_that_is_no_use_is_refused(server: Server, tmp_path: Path, content: str | None, says: str) -> None:
    """Nothing is asked without credentials, and it goes on when they are there."""
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    source = PrometheusSource(PrometheusAccess(_url(server), bearer_token_file=path))
    for _ in range(2):
        with pytest.raises(QueryError, match=says) as caught:
            await _ask(source)
        assert caught.value.kind is QueryErrorKind.REFUSED
        assert TOKEN not in str(caught.value)
    assert server.headers == []
    path.write_text(TOKEN)
    await _ask(source)
    source.close()


async def test_what_a_server_echoes_is_hidden(server: Server, tmp_path: Path) -> None:
    """Errors get into status and logs; a proxy that quotes the request must not bring secrets there."""
    token = _write(tmp_path / "token", TOKEN)
    source = PrometheusSource(PrometheusAccess(_url(server), {"X-Key": HEADER}, bearer_token_file=token))
    server.status, server.answer = 400, {"error": f"bad: Bearer {TOKEN}, X-Key {HEADER}"}
    with pytest.raises(QueryError, match=r"bad: Bearer \*\*\*, X-Key \*\*\*"):
        await _ask(source)
    server.status, server.answer = 200, {"status": "success", "data": {"result": []}, "warnings": [f"for {TOKEN}"]}
    with pytest.raises(QueryError, match=r"for \*\*\*"):
        await _ask(source)
    source.close()


# As a proxy may quote it: in a sentence, percent-encoded once or twice, as JSON, HTML or Go write it.
_HARD = "pa\"ss/w&rd= '+%"
_QUOTED = (
    "said pa%22ss%2Fw%26rd%3D%20%27%2B%25 to us",
    "said pa%22ss%2fw%26rd%3d+%27%2b%25 to us",
    "said pa%2522ss%252Fw%2526rd%253D%2520%2527%252B%2525 to us",
    "said pa&quot;ss/w&amp;rd= &#x27;+% to us",
    "said pa&#34;ss/w&amp;rd= &#39;+% to us",
    "said pa\\u0022ss/w\\u0026rd= '+% to us",
    f"said {json.dumps(_HARD)[1:-1]} to us",
    f"said {_HARD} to us",
)


async def _echoed(source: PrometheusSource, server: Server, text: str) -> str:
    """What people are told when the server says this."""
    server.status, server.answer = 401, {"error": text}
    with pytest.raises(QueryError) as caught:
        await _ask(source)
    return caught.value.message.removeprefix("HTTP 401, ")


@pytest.mark.parametrize(
    ("headers", "said", "shown"),
    [
        pytest.param({"Authorization": "Bearer abc1"}, "bad token abc1", "bad token ***", id="word of a header"),
        pytest.param({"Authorization": "Bearer abc1"}, "no Bearer: 'Bearer abc1'", "no Bearer: '***'", id="scheme"),
        pytest.param({"X-Key": "s3cr3t!"}, "s3cr3t! S3CR3T!", "*** ***", id="short, in any case"),
        pytest.param({"X-Key": "pw"}, "pw=pw, pwd %3Dpw apw", "***=***, pwd %3D*** apw", id="two letters, alone"),
        pytest.param({"X-Key": "e"}, "never e.", "never ***.", id="one letter, alone"),
        pytest.param({"Authorization": "Basic bWU6b3Blbg=="}, "user me:open", "user ***", id="decoded"),
        pytest.param({"Authorization": "Basic bWU6b3Blbg=="}, "the password open", "the password ***", id="password"),
        pytest.param({"Authorization": "Basic bWU6b3Blbg=="}, "got bWU6b3Blbg", "got ***", id="unpadded"),
        pytest.param({"Cookie": "session=abcd; b=efgh"}, "no session abcd, efgh", "no *** ***, ***", id="cookie"),
        pytest.param({"X-Scope-OrgID": "team-a"}, "no tenant team-a", "no tenant team-a", id="tenant is no secret"),
    ],
)
async def test_every_word_of_a_header_is_hidden(server: Server, headers: dict[str, str], said: str, shown: str) -> None:
    """However short; what is shorter than four characters where it stands alone, else no sentence could be read."""
    source = PrometheusSource(_url(server), headers)
    assert await _echoed(source, server, said) == shown
    source.close()


@pytest.mark.parametrize("said", _QUOTED, ids=range(len(_QUOTED)))
async def test_a_password_is_hidden_in_every_encoding(server: Server, tmp_path: Path, said: str) -> None:
    """And so is its base64 form, with the user and by itself."""
    access = PrometheusAccess(
        _url(server),
        username_file=_write(tmp_path / "user", "me"),
        password_file=_write(tmp_path / "password", _HARD),
    )
    source = PrometheusSource(access)
    assert await _echoed(source, server, said) == "said *** to us"
    for whole in (f"me:{_HARD}", _HARD):
        assert await _echoed(source, server, base64.b64encode(whole.encode()).decode().rstrip("=")) == "***"
    source.close()


async def test_the_token_before_a_renewal_is_still_hidden(server: Server, tmp_path: Path) -> None:
    """An answer to a request that was signed with it may come after the renewal."""
    token = _write(tmp_path / "token", TOKEN)
    source = PrometheusSource(PrometheusAccess(_url(server), bearer_token_file=token))
    await _ask(source)
    _write(tmp_path / "next", "another-token").rename(token)
    assert await _echoed(source, server, f"bad {TOKEN}, another-token") == "bad ***, ***"
    source.close()


async def test_a_tenant_header_of_another_name_is_no_secret_either(server: Server) -> None:
    """But never the one that carries credentials."""
    for name, shown in (("THANOS-TENANT", "no team-a"), ("Authorization", "no ***")):
        source = PrometheusSource(PrometheusAccess(_url(server), {name: "team-a"}, tenant_header=name))
        assert await _echoed(source, server, "no team-a") == shown
        source.close()


def _certificate(folder: Path, name: str, *more: str) -> tuple[Path, Path]:
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    made += ["-keyout", str(key), "-out", str(cert), "-subj", f"/CN={name}", "-days", "2", *more]
    subprocess.run(made, check=True, capture_output=True)
    return cert, key


async def test_certificates_are_used_and_renewed(tmp_path: Path) -> None:
    """Ours is demanded, theirs is checked; a CA that is replaced counts from the next request on."""
    theirs, their_key = _certificate(tmp_path, "server", "-addext", "subjectAltName=IP:127.0.0.1")
    ours, our_key = _certificate(tmp_path, "client")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(theirs, their_key)
    context.load_verify_locations(ours)
    context.verify_mode = ssl.CERT_REQUIRED
    server = Server()
    server.socket = context.wrap_socket(server.socket, server_side=True)
    ca = _write(tmp_path / "ca.pem", ours.read_text())
    serving = _serve(server)
    next(serving)
    access = PrometheusAccess(_url(server, "https"), ca_file=ca, cert_file=ours, key_file=our_key)
    source = PrometheusSource(access, read_timeout=timedelta(seconds=5))
    with pytest.raises(QueryError, match="cannot be reached"):
        await _ask(source)
    _write(tmp_path / "next.pem", theirs.read_text()).rename(ca)
    await _ask(source)
    ca.write_text("no certificate")
    with pytest.raises(QueryError, match="cannot be reached"):
        await _ask(source)
    source.close()
    next(serving, None)
    assert len(server.headers) == 1


CONFIG = """
default: main
endpoints:
  main: {url: 'http://127.0.0.1:1/main', bearerTokenFile: token}
  other: {url: 'http://127.0.0.1:1', tenant: a, headers: {X-Key: %s, X-Other: %s}, timeout: 3s}
"""


def test_a_file_names_every_prometheus(tmp_path: Path) -> None:
    """The region's own is also found under its own name; a URL on the command line takes its place."""
    config = _write(tmp_path / "prometheus.yaml", CONFIG % (PASSWORD, HEADER))
    found = open_sources(None, config)
    assert found.by_name.keys() == {"", "main", "other"}
    assert found.region is found.by_name["main"]
    assert found.places == {"region": "127.0.0.1", "main": "127.0.0.1", "other": "127.0.0.1"}
    assert [found.by_name[name].limit.total_seconds() for name in ("main", "other")] == [12, 5]
    found.close()
    given = open_sources("http://127.0.0.1:2", config)
    assert given.region is not given.by_name["main"]
    given.close()


def test_nothing_that_is_printed_by_accident_holds_a_secret(tmp_path: Path) -> None:
    """`repr` of what there is, and what `ombak run` tells when it starts."""
    config = _write(tmp_path / "prometheus.yaml", CONFIG % (PASSWORD, HEADER))
    found = open_sources(None, config)
    access = PrometheusAccess(f"http://user:{PASSWORD}@127.0.0.1", {"X-Key": HEADER})
    shown = f"{found!r} {found.places} {access!r} {[access]}"
    found.close()
    assert not [secret for secret in SECRETS if secret in shown]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("a: [", "line 1 is not YAML", id="no YAML"),
        pytest.param("endpoints: {}", "endpoints: ", id="none"),
        pytest.param("endpoints: {a: {url: ftp://x}}", "must begin with http", id="scheme"),
        pytest.param(f"endpoints: {{a: {{url: 'http://u:{TOKEN}@x'}}}}", "basicAuth: {usernameFile", id="user in it"),
        pytest.param(f"endpoints: {{a: {{url: 'http://[{TOKEN}'}}}}", "is not one", id="no URL"),
        pytest.param("default: b\nendpoints: {a: {url: 'http://x'}}", "names none of", id="no such default"),
        pytest.param("endpoints: {a: {url: 'http://x'}, b: {url: 'http://y'}}", "as `default`", id="no default"),
        pytest.param(f"endpoints: {{a: {{url: 'http://x', bearerToken: {TOKEN}}}}}", "bearerToken", id="inline"),
        pytest.param(f"endpoints: {{a: {{url: 'http://x', headers: {TOKEN}}}}}", "headers", id="no mapping"),
        pytest.param(
            "endpoints: {a: {url: 'http://x', bearerTokenFile: t, basicAuth: {usernameFile: u, passwordFile: p}}}",
            "one of bearerTokenFile and basicAuth",
            id="both",
        ),
        pytest.param("endpoints: {a: {url: 'http://x', keyFile: k}}", "belongs to a certFile", id="key only"),
        pytest.param("endpoints: {a: {url: 'http://x', timeout: 2m}}", "from 1s to 1m", id="waits too long"),
        pytest.param("endpoints: {a: {url: 'http://x', timeout: 0s}}", "from 1s to 1m", id="waits not at all"),
    ],
)
def test_a_bad_file_is_refused_without_its_secrets(tmp_path: Path, text: str, says: str) -> None:
    """The place and what to write, no value."""
    with pytest.raises(ConfigError, match=says) as caught:
        open_sources(None, _write(tmp_path / "prometheus.yaml", text))
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        pytest.param(f"http://user:{TOKEN}@prometheus:9090", "basicAuth: {usernameFile", id="user and password"),
        pytest.param(f"http://user:{TOKEN}/x@prometheus:9090", "basicAuth: {usernameFile", id="a slash in it"),
        pytest.param(f"ftp://{TOKEN}", "must begin with http", id="scheme"),
    ],
)
def test_a_bad_url_is_refused_with_where_credentials_belong(url: str, says: str) -> None:
    """It would be asked without credentials, and every query be refused without a hint; the URL is not shown."""
    with pytest.raises(ConfigError, match=says) as caught:
        open_sources(url, None)
    assert TOKEN not in str(caught.value)


@pytest.mark.breadth
def test_threads_share_renewed_credentials(server: Server, tmp_path: Path) -> None:
    """Sixteen at once while the file changes again and again: each request carries one whole token."""
    token = _write(tmp_path / "token", "token-0")
    source = PrometheusSource(PrometheusAccess(_url(server), bearer_token_file=token))

    async def main() -> None:
        for turn in range(1, 11):
            _write(tmp_path / "next", f"token-{turn}").rename(token)
            await asyncio.gather(*(_ask(source) for _ in range(16)))

    asyncio.run(main())
    source.close()
    sent = [h["Authorization"] for h in server.headers]
    assert len(sent) == 160
    assert set(sent) == {f"Bearer token-{turn}" for turn in range(1, 11)}
