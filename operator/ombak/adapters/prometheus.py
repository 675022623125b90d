"""A Prometheus over HTTP; the only file that imports prometheus_api_client.

The client is synchronous, so each Prometheus has threads of its own, off the event loop. What the client lacks is
done by the session it is given: bodies instead of URLs for long queries, timeouts, no retries behind our back,
credentials that are renewed, and every answer looked at before the client cuts it down to its series (it drops the
warnings of incomplete answers).
"""

import asyncio
import collections
import concurrent.futures
import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

import prometheus_api_client
import requests
import requests.adapters

from ombak.adapters.prometheus_access import AccessFileError, Credentials, PrometheusAccess
from ombak.adapters.prometheus_answers import (
    read_alert_rules,
    read_http_date,
    read_scrape_interval,
    read_series,
    read_start_time,
)
from ombak.adapters.prometheus_store import StoreWatch
from ombak.runtime.metrics_port import QueryError, QueryErrorKind, QueryResult, RulesResult, Series

_THREADS = 16
_GRACE = timedelta(seconds=2)
"""What a call may take beyond the wait for the answer: for the connection, and for a thread."""
_LONGEST_MESSAGE = 300
_MOST_SERIES = 10_000
"""Each is judged in turn, and everybody else's alarms wait so long: these take some tenths of a second."""
_MOST_BYTES = 64 << 20
"""Of one answer; read, it takes some ten times as much memory."""
_PIECE = 4096
_SUM_UP = "sum up what belongs together, as with `sum by (pod) (...)`"
_KIND_BY_STATUS = {
    400: QueryErrorKind.BAD_QUERY,
    401: QueryErrorKind.REFUSED,
    403: QueryErrorKind.REFUSED,
    422: QueryErrorKind.BAD_QUERY,
    429: QueryErrorKind.OVERLOADED,
    503: QueryErrorKind.OVERLOADED,
}
_QUERIES = ("/query", "/query_range")
_NOT_THERE = (400, 401, 403, 404, 405, 501)
"""How what is no Prometheus, or a proxy that shows only a part of one, answers to a path that it does not have."""
_T = TypeVar("_T")


class PrometheusSource:
    """Implements `ombak.runtime.metrics_port.MetricsSource` for one Prometheus."""

    def __init__(
        self,
        access: PrometheusAccess | str,
        headers: Mapping[str, str] | None = None,
        connect_timeout: timedelta = timedelta(seconds=3),
        read_timeout: timedelta = timedelta(seconds=10),
    ) -> None:
        """`access` may be the base URL alone; then `headers` go with every request. Neither is ever shown."""
        if isinstance(access, str):
            access = PrometheusAccess(access, dict(headers or {}))
        self._base = access.url.rstrip("/")
        self.place = urlsplit(self._base).hostname or "Prometheus"
        """The host, which is what people are told of it."""
        self._session = _Session(self._base, access, (connect_timeout.total_seconds(), read_timeout.total_seconds()))
        self._client = prometheus_api_client.PrometheusConnect(url=self._base, session=self._session, method="POST")
        # The client's constructor mounts an adapter that retries; ours has to come after it.
        self._session.connect_anew()
        self._threads = concurrent.futures.ThreadPoolExecutor(_THREADS, thread_name_prefix="prometheus")
        self._store = StoreWatch(self._call_if_there, self._run)
        self.limit = read_timeout + _GRACE
        """After this time a call has ended by itself, and its thread is free."""
        self._limit = {"timeout": f"{read_timeout.total_seconds():.3f}"}

    def close(self) -> None:
        """Give up what is under way; a thread that waits for an answer ends with its timeout."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._session.close()

    async def query_range(self, query: str, start: datetime, end: datetime, step: timedelta) -> QueryResult:
        """Evaluate at start, start + step, ... up to end; raises QueryError only."""
        # The client rounds to whole seconds, so the exact times go as extra parameters, which win.
        exact = {"start": _seconds(start), "end": _seconds(end)}
        step_text = f"{step.total_seconds():.3f}"

        def ask() -> QueryResult:
            found = self._client.custom_query_range(query, start, end, step_text, params=exact | self._limit)
            return QueryResult(_series(found), self._session.server_time())

        answer = await self._run(ask)
        # Not before the answer: it may come from a process that has taken the place of another since.
        return dataclasses.replace(answer, store=await self._store.known())

    async def query(self, query: str, at: datetime) -> QueryResult:
        """Evaluate at one moment; raises QueryError only."""
        params = {"time": _seconds(at), **self._limit}

        def ask() -> QueryResult:
            found = self._client.custom_query(query, params=params)
            return QueryResult(_series(found), self._session.server_time())

        return await self._run(ask)

    async def alert_rules(self) -> RulesResult:
        """All alerting rules with their health and their alerts; raises QueryError only."""

        def ask() -> RulesResult:
            started = self._started_at()
            body = self._call("GET", "rules", {"type": "alert"})
            return RulesResult(read_alert_rules(body), self._session.server_time(), started)

        return await self._run(ask)

    async def has_series(self, selector: str, start: datetime, end: datetime) -> bool:
        """Whether any series matched the selector in that time; raises QueryError only."""
        params = {"match[]": selector, "start": _seconds(start), "end": _seconds(end), "limit": "1"}
        try:
            return await self._run(lambda: bool(self._call("POST", "series", params)["data"]))
        except QueryError as error:
            # More than the one that was asked for: Prometheus warns that it left some out.
            if error.kind is QueryErrorKind.PARTIAL and "limit" in error.message:
                return True
            raise

    async def scrape_interval(self) -> timedelta | None:
        """The interval at which all targets are scraped, None if they differ; raises QueryError only."""
        return await self._run(lambda: read_scrape_interval(self._call("GET", "targets", {"state": "active"})))

    def _started_at(self) -> datetime | None:
        """Since when it runs; None where it does not tell, as what is not a Prometheus itself."""
        body = self._call_if_there("status/runtimeinfo", {})
        return None if body is None else read_start_time(body)

    def _call_if_there(self, what: str, params: Mapping[str, str]) -> Any:
        """The answer, None where there is no such path for us; raises QueryError for every other failure."""
        try:
            return self._call("GET", what, params)
        except QueryError as error:
            if error.status in _NOT_THERE:
                return None
            raise

    def _call(self, method: str, what: str, params: Mapping[str, str]) -> Any:
        return self._session.request(method, f"{self._base}/api/v1/{what}", params=params).json()

    async def _run(self, ask: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._guarded, ask)

    def _guarded(self, ask: Callable[[], _T]) -> _T:
        """Runs in a thread: the answer, or one QueryError for the many ways in which there can be none."""
        try:
            return ask()
        except AccessFileError as error:
            raise QueryError(QueryErrorKind.REFUSED, str(error)) from None
        except requests.exceptions.ConnectTimeout:
            raise QueryError(QueryErrorKind.UNREACHABLE, f"{self.place} cannot be reached") from None
        except requests.exceptions.Timeout:
            raise QueryError(QueryErrorKind.TIMEOUT, f"{self.place} did not answer in time") from None
        except requests.exceptions.InvalidJSONError as error:
            raise self._malformed(error) from None
        except (OSError, prometheus_api_client.PrometheusApiClientException) as error:
            # Their texts hold the URL, which may hold credentials; those of `requests` are OSErrors too.
            message = f"{self.place} cannot be reached ({type(error).__name__})"
            raise QueryError(QueryErrorKind.UNREACHABLE, message) from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._malformed(error) from None

    def _malformed(self, error: Exception) -> QueryError:
        """The answer may hold anything, so it is not shown."""
        message = f"the answer of {self.place} is not that of a Prometheus ({type(error).__name__})"
        return QueryError(QueryErrorKind.MALFORMED, message)


class _Session(requests.Session):
    """Sends parameters of a POST as its body, signs, and refuses every answer that is not complete."""

    def __init__(self, base: str, access: PrometheusAccess, timeout: tuple[float, float]) -> None:
        super().__init__()
        self._base, self._access, self._timeout = base, access, timeout
        self._credentials = Credentials(access)
        self._seen = threading.local()
        self.headers.update(access.headers)
        self.hooks["response"].append(self._check)

    def connect_anew(self) -> None:
        """Forget all connections, which rest on certificates; those under way end by themselves."""
        pool = requests.adapters.HTTPAdapter(pool_maxsize=_THREADS, pool_block=True, max_retries=0)
        # In one step and first in line: other threads may be looking for their adapter just now.
        others = [(prefix, adapter) for prefix, adapter in self.adapters.items() if prefix != self._base]
        self.adapters = collections.OrderedDict([(self._base, pool), *others])

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        if method == "POST":
            kwargs["data"] = kwargs.pop("params", None)
        if self._credentials.renew():
            self.connect_anew()
        # Always something, for `requests` would else look into ~/.netrc and replace what our headers say.
        kwargs["auth"] = self._auth
        # What the client passes for `verify` is its own default.
        kwargs |= {"timeout": self._timeout, "verify": self._access.verify, "cert": self._access.cert}
        return super().request(method, url, *args, **kwargs)

    def _auth(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return self._credentials.sign(request) if self._credentials.can_sign else request

    def server_time(self) -> datetime | None:
        """The clock of the server at its last answer to this thread."""
        found: datetime | None = self._seen.time
        return found

    def _check(self, response: requests.Response, *_args: Any, **_kwargs: Any) -> None:
        self._seen.time = read_http_date(response.headers.get("Date"))
        _read(response, timedelta(seconds=self._timeout[1]) + _GRACE - response.elapsed)
        if response.status_code != requests.codes.ok:
            raise self._refusal(response)
        if b'"warnings"' in response.content:
            warnings = response.json().get("warnings")
            if warnings:
                raise QueryError(QueryErrorKind.PARTIAL, self._short("; ".join(map(str, warnings))))

    def _refusal(self, response: requests.Response) -> QueryError:
        kind = _KIND_BY_STATUS.get(response.status_code, QueryErrorKind.FAILED)
        try:
            body = response.json()
            message, error_type = str(body["error"]), body.get("errorType")
        except (KeyError, TypeError, ValueError):
            message, error_type = response.reason or "no reason given", None
        if error_type == "timeout":
            kind = QueryErrorKind.TIMEOUT
        said = f"HTTP {response.status_code}, {self._short(message)}"
        return QueryError(kind, said, response.status_code)

    def _short(self, text: str) -> str:
        """The beginning of what the server says, without anything that we told it in confidence."""
        text = self._credentials.hide(text)
        return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + "..."


def _read(response: requests.Response, limit: timedelta) -> None:
    """Read an answer, but of a query no more than anybody can look at, and none for longer than this.

    `requests` counts its time limit anew with every byte that comes: an answer that trickles would keep a thread.
    """
    body, end = bytearray(), time.monotonic() + limit.total_seconds()
    for piece in response.iter_content(_PIECE):
        body += piece
        if time.monotonic() > end:
            response.close()
            raise requests.exceptions.ReadTimeout
        if len(body) > _MOST_BYTES and response.url.endswith(_QUERIES):
            response.close()
            problem = f"the answer has more than {_MOST_BYTES >> 20} MB, so it is not read; {_SUM_UP}"
            raise QueryError(QueryErrorKind.BAD_QUERY, problem)
    response._content = bytes(body)  # where `requests` keeps what it has read


def _series(found: Any) -> tuple[Series, ...]:
    if len(found) > _MOST_SERIES:
        problem = f"the answer has {len(found)} series, of which at most {_MOST_SERIES} are judged; {_SUM_UP}"
        raise QueryError(QueryErrorKind.BAD_QUERY, problem)
    return read_series(found)


def _seconds(moment: datetime) -> str:
    return f"{moment.timestamp():.3f}"
