"""The manifests that the facts hold, parsed: what each namespace was last committed to be."""

from __future__ import annotations

from functools import lru_cache

from ployz.ids import Namespace, ServiceRef, VolumeRef
from ployz.manifest import Manifest, parse
from ployz.manifest.model import Service, Volume
from ployz.projections.view import ClusterView


@lru_cache(maxsize=512)
def from_fact(text: str) -> Manifest:
    """A manifest as a DeployCommitted fact has it. Parsed once: it never changes."""
    return parse(text)


def of_namespace(view: ClusterView, namespace: Namespace) -> Manifest | None:
    state = view.placement.namespace(namespace)
    return from_fact(state.manifest) if state else None


def service(view: ClusterView, ref: ServiceRef) -> Service | None:
    manifest = of_namespace(view, ref.namespace)
    return manifest.service(ref.service) if manifest else None


def volume(view: ClusterView, ref: VolumeRef) -> Volume | None:
    manifest = of_namespace(view, ref.namespace)
    return manifest.volume(ref.volume) if manifest else None
