"""A few lines of HTTPS for the harness itself, so that it depends on no Kubernetes client."""

import http.client
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

Json = dict[str, Any]


class ApiStatusError(Exception):
    """The API server refused: its HTTP `status` and its own words."""

    def __init__(self, status: int, message: str) -> None:
        """Keeps the status for callers that expect some of them (409, 410)."""
        super().__init__(f"{status}: {message}")
        self.status = status


@dataclass(frozen=True, slots=True)
class ApiClient:
    """Talks to one API server as one user. Every call opens a connection; OSError when nobody is there."""

    port: int
    ca_file: Path
    token: str
    timeout_s: float = 10.0

    @classmethod
    def from_kubeconfig(cls, path: Path) -> Self:
        """For a kubeconfig that `credentials.write_kubeconfig` wrote."""
        content = json.loads(path.read_text())
        cluster = content["clusters"][0]["cluster"]
        port = int(cluster["server"].rpartition(":")[2])
        return cls(port, Path(cluster["certificate-authority"]), content["users"][0]["user"]["token"])

    def call(self, method: str, path: str, body: Json | None = None, **query: str) -> Json:
        """The answer to one request, `{}` if it is not JSON. Raises ApiStatusError, OSError."""
        connection = self._connect()
        try:
            connection.request(
                method, _with_query(path, query), json.dumps(body) if body else None, self._headers(method)
            )
            response = connection.getresponse()
            text = response.read().decode()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()
        if response.status >= 300:
            raise ApiStatusError(response.status, text[:500])
        return dict(json.loads(text)) if text.startswith("{") else {}

    def watch(self, path: str, **query: str) -> Iterator[Json]:
        """Watch events until the server ends it (five minutes at most). Raises ApiStatusError, OSError."""
        connection = self._connect(timeout_s=330.0)
        try:
            query |= {"watch": "true", "timeoutSeconds": "300"}
            connection.request("GET", _with_query(path, query), headers=self._headers("GET"))
            response = connection.getresponse()
            if response.status >= 300:
                raise ApiStatusError(response.status, response.read().decode()[:500])
            while line := response.readline():
                yield json.loads(line)
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    def _connect(self, timeout_s: float | None = None) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.ca_file))
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout_s or self.timeout_s, context=context)

    def _headers(self, method: str) -> dict[str, str]:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        return {"Authorization": f"Bearer {self.token}", "Content-Type": kind}


def _with_query(path: str, query: dict[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path
