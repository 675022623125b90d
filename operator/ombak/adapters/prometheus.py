"""A Prometheus over HTTP; the only file that imports prometheus_api_client.

The client is synchronous, so each Prometheus has threads of its own, off the event loop. What the client lacks is
done by the session it is given: bodies instead of URLs for long queries, timeouts, no retries behind our back, and
every answer looked at before the client cuts it down to its series (it drops the warnings of incomplete answers).
"""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import prometheus_api_client
import requests
import requests.adapters

from ombak.runtime.metrics_port import QueryError, QueryErrorKind, QueryResult, Series

_THREADS = 16
_LONGEST_MESSAGE = 300
_KIND_BY_STATUS = {
    400: QueryErrorKind.BAD_QUERY,
    401: QueryErrorKind.REFUSED,
    403: QueryErrorKind.REFUSED,
    422: QueryErrorKind.BAD_QUERY,
    429: QueryErrorKind.OVERLOADED,
    503: QueryErrorKind.OVERLOADED,
}


class PrometheusSource:
    """Implements `ombak.runtime.metrics_port.MetricsSource` for one base URL."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        connect_timeout: timedelta = timedelta(seconds=3),
        read_timeout: timedelta = timedelta(seconds=10),
    ) -> None:
        """`url` is what comes before `/api/v1`; `headers` go with every request and are never shown."""
        base = url.rstrip("/")
        self._place = urlsplit(base).hostname or "Prometheus"
        self._session = _Session((connect_timeout.total_seconds(), read_timeout.total_seconds()))
        self._client = prometheus_api_client.PrometheusConnect(
            url=base, headers=dict(headers or {}), session=self._session, method="POST"
        )
        # The client's constructor mounts an adapter that retries; ours has to come after it.
        pool = requests.adapters.HTTPAdapter(pool_maxsize=_THREADS, pool_block=True, max_retries=0)
        self._session.mount(base, pool)
        self._threads = concurrent.futures.ThreadPoolExecutor(_THREADS, thread_name_prefix="prometheus")
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
        return await self._run(
            lambda: self._client.custom_query_range(query, start, end, step_text, params=exact | self._limit)
        )

    async def query(self, query: str, at: datetime) -> QueryResult:
        """Evaluate at one moment; raises QueryError only."""
        params = {"time": _seconds(at), **self._limit}
        return await self._run(lambda: self._client.custom_query(query, params=params))

    async def _run(self, call: Callable[[], Any]) -> QueryResult:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._ask, call)

    def _ask(self, call: Callable[[], Any]) -> QueryResult:
        """Runs in a thread: the answer, or one QueryError for the many ways in which there can be none."""
        try:
            return QueryResult(_read_series(call()), self._session.server_time())
        except requests.exceptions.ConnectTimeout:
            raise QueryError(QueryErrorKind.UNREACHABLE, f"{self._place} cannot be reached") from None
        except requests.exceptions.Timeout:
            raise QueryError(QueryErrorKind.TIMEOUT, f"{self._place} did not answer in time") from None
        except requests.exceptions.InvalidJSONError as error:
            raise self._malformed(error) from None
        except (requests.exceptions.RequestException, prometheus_api_client.PrometheusApiClientException) as error:
            # Their texts hold the URL, which may hold credentials.
            message = f"{self._place} cannot be reached ({type(error).__name__})"
            raise QueryError(QueryErrorKind.UNREACHABLE, message) from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._malformed(error) from None

    def _malformed(self, error: Exception) -> QueryError:
        """The answer may hold anything, so it is not shown."""
        message = f"the answer of {self._place} is not that of a Prometheus ({type(error).__name__})"
        return QueryError(QueryErrorKind.MALFORMED, message)


class _Session(requests.Session):
    """Sends parameters of a POST as its body, and refuses every answer that is not complete."""

    def __init__(self, timeout: tuple[float, float]) -> None:
        super().__init__()
        self._timeout = timeout
        self._seen = threading.local()
        self.hooks["response"].append(self._check)

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        if method == "POST":
            kwargs["data"] = kwargs.pop("params", None)
        kwargs["timeout"] = self._timeout
        return super().request(method, url, *args, **kwargs)

    def server_time(self) -> datetime | None:
        """The clock of the server at its last answer to this thread."""
        found: datetime | None = self._seen.time
        return found

    def _check(self, response: requests.Response, *_args: Any, **_kwargs: Any) -> None:
        self._seen.time = _http_date(response.headers.get("Date"))
        if response.status_code != requests.codes.ok:
            raise _refusal(response)
        if b'"warnings"' in response.content:
            warnings = response.json().get("warnings")
            if warnings:
                raise QueryError(QueryErrorKind.PARTIAL, _short("; ".join(map(str, warnings))))


def _refusal(response: requests.Response) -> QueryError:
    kind = _KIND_BY_STATUS.get(response.status_code, QueryErrorKind.FAILED)
    try:
        body = response.json()
        message, error_type = str(body["error"]), body.get("errorType")
    except (KeyError, TypeError, ValueError):
        message, error_type = response.reason or "no reason given", None
    if error_type == "timeout":
        kind = QueryErrorKind.TIMEOUT
    return QueryError(kind, f"HTTP {response.status_code}, {_short(message)}")


def _read_series(result: Any) -> tuple[Series, ...]:
    """The series of a matrix, a vector or a scalar; raises KeyError, TypeError or ValueError for anything else."""
    if result and not isinstance(result[0], dict):
        return (Series({}, (_point(result),)),)
    return tuple(
        Series(dict(one["metric"]), tuple(map(_point, one["values"] if "values" in one else (one["value"],))))
        for one in result
    )


def _point(pair: Any) -> tuple[float, float]:
    moment, value = pair
    return float(moment), float(value)


def _seconds(moment: datetime) -> str:
    return f"{moment.timestamp():.3f}"


def _http_date(text: str | None) -> datetime | None:
    try:
        return None if text is None else parsedate_to_datetime(text)
    except ValueError:
        return None


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + "..."
