"""Writes of a plan to the hub's own cluster: Artifacts, verdicts on them, people's commands."""

from datetime import datetime

from ombak.core import naming
from ombak.core.conditions import stamp
from ombak.core.conveyor import plan
from ombak.core.conveyor.snapshot import PipelineView
from ombak.runtime import kinds
from ombak.runtime.hub.observe import HubStores
from ombak.runtime.kube_port import AlreadyExists, Conflict, KubeClient, NotFound, Object, mapping, metadata


class HubWriter:
    """Carries out what a plan says of the hub; every answer is news to the stores too."""

    def __init__(self, client: KubeClient, stores: HubStores) -> None:
        self._client, self._stores = client, stores

    async def do(self, pipeline: PipelineView, action: plan.Action, now: datetime) -> None:
        """Do one thing; it may be done already. Raises `ApiError`."""
        match action:
            case plan.EnsureArtifact(manifest=manifest) | plan.RetryArtifact(manifest=manifest):
                await self._ensure(pipeline.namespace, manifest)
            case plan.RecordRejected():
                rejected = {
                    "at": stamp(now),
                    "reason": action.reason,
                    "message": action.message,
                    "stage": action.stage,
                    "region": action.region,
                    "scope": action.scope,
                }
                await self._judge(pipeline.namespace, action.name, {"rejected": rejected})
            case plan.RecordRetry():
                told = {"rejected": None, "retried": action.command, "retriedAt": action.at}
                await self._judge(pipeline.namespace, action.name, told)
            case plan.ClearCommand(annotation=annotation):
                await self._clear(pipeline, annotation)
            case plan.DeleteArtifact():
                await self._delete(pipeline.namespace, action)
            case _:
                raise AssertionError(f"no write of the hub's own cluster: {action}")

    async def _ensure(self, namespace: str, manifest: Object) -> None:
        """Create it; one that is there and lost the label by which we find it gets that again."""
        name, labels = manifest["metadata"]["name"], manifest["metadata"]["labels"]
        try:
            made = await self._client.create(kinds.ARTIFACTS, namespace, manifest)
        except AlreadyExists:
            made = await self._client.get(kinds.ARTIFACTS, namespace, name)
            is_ours = mapping(made.get("spec")).get("pipeline") == manifest["spec"]["pipeline"]
            if is_ours and not labels.items() <= mapping(metadata(made).get("labels")).items():
                made = await self._client.patch(kinds.ARTIFACTS, namespace, name, {"metadata": {"labels": labels}})
        self._stores.artifacts.upsert(made)

    async def _judge(self, namespace: str, name: str, status: Object) -> None:
        made = await self._client.patch(kinds.ARTIFACTS, namespace, name, {"status": status}, subresource="status")
        self._stores.artifacts.upsert(made)

    async def _clear(self, pipeline: PipelineView, annotation: str) -> None:
        """Take a command off, unless somebody said another word since: that is heard by the next decision."""
        key = (pipeline.namespace, pipeline.name)
        stored = self._stores.pipelines.get(key)
        if stored is None or _command(stored.value.view, annotation) != _command(pipeline, annotation):
            return
        seen = {"uid": pipeline.uid, "resourceVersion": stored.value.meta.resource_version}
        patch = {"metadata": {"annotations": {annotation: None}, **seen}}
        try:
            made = await self._client.patch(kinds.PIPELINES, *key, patch)
        except Conflict:
            self._stores.pipelines.upsert(await self._client.get(kinds.PIPELINES, *key))
            raise
        self._stores.pipelines.upsert(made)

    async def _delete(self, namespace: str, action: plan.DeleteArtifact) -> None:
        version = action.resource_version
        try:
            await self._client.delete(kinds.ARTIFACTS, namespace, action.name, resource_version=version)
        except (Conflict, NotFound):
            return  # somebody uses it again, or it is gone: the watch tells


def _command(pipeline: PipelineView, annotation: str) -> str:
    return {naming.ABORT: pipeline.abort, naming.RETRY: pipeline.retry}[annotation]
