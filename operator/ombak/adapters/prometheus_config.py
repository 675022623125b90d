"""The Prometheuses of a region, from a file: the region's own, and those that Alarms name as their `source`.

```yaml
default: main                       # may be left out where there is only one
endpoints:
  main:
    url: https://prometheus.example:9090
    bearerTokenFile: /var/run/secrets/token
    caFile: /etc/ombak/ca.pem
  mimir:
    url: https://mimir.example/prometheus
    tenant: team-a                  # the header X-Scope-OrgID, or what tenantHeader says
    basicAuth: {usernameFile: user, passwordFile: password}     # relative to this file
```
"""

import dataclasses
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

import pydantic
import yaml

from ombak.adapters.prometheus import PrometheusSource
from ombak.adapters.prometheus_access import TENANT_HEADER, PrometheusAccess
from ombak.api.common import Model
from ombak.api.duration import Duration

_SHORTEST, _LONGEST = timedelta(seconds=1), timedelta(minutes=1)
REGION = ""
"""The name under which the region's own Prometheus is kept."""


class ConfigError(Exception):
    """The file cannot be used; the message names file and field, and no value of it."""


class _BasicAuth(Model):
    username_file: Path
    password_file: Path


class _Endpoint(Model):
    url: str
    headers: dict[str, str] = pydantic.Field(default_factory=dict)
    tenant: str | None = None
    tenant_header: str = TENANT_HEADER
    bearer_token_file: Path | None = None
    basic_auth: _BasicAuth | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    timeout: Duration = timedelta(seconds=10)

    @pydantic.model_validator(mode="after")
    def _fits_together(self) -> Self:
        if problem := _problem_of_url(self.url):
            raise ValueError(f"url {problem}")
        if self.bearer_token_file is not None and self.basic_auth is not None:
            raise ValueError("write one of bearerTokenFile and basicAuth, not both")
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("keyFile belongs to a certFile; write that too")
        if not _SHORTEST <= self.timeout <= _LONGEST:
            raise ValueError("timeout must be from 1s to 1m: what is answered later says nothing of now")
        return self

    def access(self, folder: Path) -> PrometheusAccess:
        """With files relative to the folder of the configuration."""

        def place(path: Path | None) -> Path | None:
            return None if path is None else folder / path

        tenant = {} if self.tenant is None else {self.tenant_header: self.tenant}
        return PrometheusAccess(
            url=self.url,
            headers={**self.headers, **tenant},
            tenant_header=self.tenant_header,
            bearer_token_file=place(self.bearer_token_file),
            username_file=place(self.basic_auth.username_file if self.basic_auth else None),
            password_file=place(self.basic_auth.password_file if self.basic_auth else None),
            ca_file=place(self.ca_file),
            cert_file=place(self.cert_file),
            key_file=place(self.key_file),
        )


_Name = Annotated[str, pydantic.Field(min_length=1, max_length=63)]


class _Config(Model):
    default: str | None = None
    endpoints: Annotated[dict[_Name, _Endpoint], pydantic.Field(min_length=1)]

    @pydantic.model_validator(mode="after")
    def _default_exists(self) -> Self:
        if self.default is not None and self.default not in self.endpoints:
            raise ValueError("default names none of the endpoints")
        return self


def _problem_of_url(url: str) -> str:
    """Why a URL cannot be used, without the URL; empty if it can."""
    if "@" in url:
        return (
            "must hold no user and no password: write them into files, and name these as "
            "basicAuth: {usernameFile: ..., passwordFile: ...} in the file that --prometheus-config names"
        )
    try:
        scheme = urlsplit(url).scheme
    except ValueError:  # its text may hold the URL
        return "is not one; write for example http://prometheus.example:9090"
    return "" if scheme in ("http", "https") else "must begin with http:// or https://"


@dataclasses.dataclass(frozen=True, slots=True)
class PrometheusSources:
    """Every Prometheus by name, the region's own also under the empty name."""

    by_name: Mapping[str, PrometheusSource]

    @property
    def region(self) -> PrometheusSource:
        """The region's own."""
        return self.by_name[REGION]

    @property
    def places(self) -> dict[str, str]:
        """Name to host, which is all that is fit to be shown."""
        return {name or "region": source.place for name, source in self.by_name.items()}

    def close(self) -> None:
        """Close them all."""
        for source in set(self.by_name.values()):
            source.close()


def open_sources(url: str | None, config: Path | None, name: str | None = None) -> PrometheusSources:
    """The Prometheuses of a region: its own from `url`, the file's `name` or its default, the others from the file.

    Raises ConfigError for a file that cannot be used, and where it is not said which one is the region's own.
    """
    found, default = _configured(config) if config is not None else ({}, None)
    if url is not None:
        if problem := _problem_of_url(url):
            raise ConfigError(f"the URL of the region's own Prometheus {problem}")
        return PrometheusSources({REGION: PrometheusSource(url), **found})
    if name is not None and name not in found:
        raise ConfigError(f"there is no endpoint {name!r}; write it into the file that --prometheus-config names")
    default = name or default
    if config is None:
        raise ConfigError("no Prometheus is named; give --prometheus URL or --prometheus-config FILE")
    if default is None:
        raise ConfigError(f"{config} has several endpoints; write which one is the region's own as `default`")
    return PrometheusSources({REGION: found[default], **found})


def _configured(path: Path) -> tuple[dict[str, PrometheusSource], str | None]:
    """The sources of a file, and the name of the region's own if the file says it."""
    loaded = _load(path)
    found = {
        name: PrometheusSource(endpoint.access(path.parent), read_timeout=endpoint.timeout)
        for name, endpoint in loaded.endpoints.items()
    }
    return found, loaded.default or (next(iter(found)) if len(found) == 1 else None)


def _load(path: Path) -> _Config:
    try:
        raw: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({type(error).__name__})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark is not None else ""
        raise ConfigError(f"{path}{place} is not YAML") from None
    try:
        return _Config.model_validate(raw)
    except pydantic.ValidationError as error:
        # The text of the error itself shows the values, which may be secrets.
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(f"{path}: {place}: {first['msg'].removeprefix('Value error, ')}") from None
