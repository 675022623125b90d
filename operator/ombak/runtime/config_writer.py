"""Writes the copies of ConfigMaps that versions carry: made with the version, put back, owned by what uses them."""

from collections.abc import Mapping
from typing import Any

from ombak.core import config, manifests
from ombak.core.snapshot import ConfigCopy, CopyState, Snapshot
from ombak.runtime import kinds
from ombak.runtime.kube_port import AlreadyExists, Conflict, KubeClient, NotFound, Object
from ombak.runtime.observe import Stores

Content = Mapping[str, Any]
"""`data` and `binaryData` of a ConfigMap."""
_THERE = (CopyState.KEPT, CopyState.UNCHECKED)


class ConfigWriter:
    """Carries out what one plan says about configuration; answers go into the stores at once."""

    def __init__(self, client: KubeClient, stores: Stores, s: Snapshot) -> None:
        self._client = client
        self._stores = stores
        self._s = s
        self._key = (s.rollout.namespace, s.rollout.name)

    async def contents(self) -> dict[str, Content]:
        """Read what the wanted version carries, by name; raises `Conflict` where that changed since the decision."""
        found = {}
        for name, digest in self._s.rollout.config.items():
            content = await self._live(name, digest)
            if content is None:
                raise Conflict(409, "Conflict", f"ConfigMap {name} changed just now, so another version is wanted")
            found[name] = content
        return found

    async def create_all(self, artifact: Object, contents: Mapping[str, Content]) -> None:
        """Make the copies of a version that was just recorded; raises `ApiError`."""
        found, rollout = artifact["spec"]["id"], self._s.rollout
        names = config.copy_names(rollout.name, found, contents)
        for name, content in contents.items():
            copy = ConfigCopy(name, rollout.config[name], names[name])
            await self._create(found, copy, content, [manifests.artifact_owner(artifact)])

    async def put_back(self, artifact: str, name: str) -> None:
        """Make a copy again; raises `Conflict` where its content cannot be had after all."""
        copy = self._find(artifact, name)
        content = await self._content(copy)
        if content is None:
            raise Conflict(
                409, "Conflict", f"the content of ConfigMap {copy.snapshot} was not found where it should be"
            )
        await self._create(artifact, copy, content, manifests.config_owners(self._s, artifact))

    async def own(self, artifact: str, name: str) -> None:
        """Write the owners of a copy; one that is not as it was seen is looked at again, and nothing waits for it."""
        copy = self._find(artifact, name)
        if copy.state is not CopyState.KEPT:
            return
        owners = manifests.config_owners(self._s, artifact)
        patch: Object = {"metadata": {"resourceVersion": copy.resource_version, "ownerReferences": owners}}
        try:
            answer = await self._client.patch(kinds.CONFIG_MAPS, self._key[0], copy.snapshot, patch)
        except NotFound:
            self._stores.copies.miss(self._key, copy.snapshot)
        except Conflict:
            self._stores.copies.learn(await self._client.get(kinds.CONFIG_MAPS, self._key[0], copy.snapshot))
        else:
            self._stores.copies.learn(answer)

    def _find(self, artifact: str, name: str) -> ConfigCopy:
        view = self._s.artifact(artifact)
        assert view is not None
        return next(c for c in view.copies if c.name == name)

    async def _create(self, artifact: str, copy: ConfigCopy, content: Content, owners: list[Object]) -> None:
        """Create a copy; one that is there with that content is as good, another one is to be decided upon anew."""
        body = manifests.config_copy(self._s.rollout, artifact, copy, content, owners)
        try:
            answer = await self._client.create(kinds.CONFIG_MAPS, self._key[0], body)
        except AlreadyExists:
            answer = await self._client.get(kinds.CONFIG_MAPS, self._key[0], copy.snapshot)
        if self._stores.copies.learn(answer) != copy.digest:
            raise Conflict(409, "Conflict", f"ConfigMap {copy.snapshot} is there with another content")

    async def _content(self, copy: ConfigCopy) -> Content | None:
        """Find what a copy held: in what its deletion told, in the copy of another version, in the user's ConfigMap."""
        words = self._stores.copies.last_words(self._key, copy.snapshot)
        if words is not None and config.content_digest(words) == copy.digest:
            return words
        for view in self._s.artifacts:
            for other in view.copies:
                if (other.name, other.digest) == (copy.name, copy.digest) and other.state in _THERE:
                    content = await self._copied(other)
                    if content is not None:
                        return content
        return await self._live(copy.name, copy.digest)

    async def _copied(self, copy: ConfigCopy) -> Content | None:
        try:
            found = await self._client.get(kinds.CONFIG_MAPS, self._key[0], copy.snapshot)
        except NotFound:
            self._stores.copies.miss(self._key, copy.snapshot)
            return None
        return found if self._stores.copies.learn(found) == copy.digest else None

    async def _live(self, name: str, digest: str) -> Content | None:
        try:
            found = await self._client.get(kinds.CONFIG_MAPS, self._key[0], name)
        except NotFound:
            self._stores.config_maps.forget((self._key[0], name))
            return None
        return found if self._stores.config_maps.learn(found) == digest else None
