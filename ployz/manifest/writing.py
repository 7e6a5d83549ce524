"""A manifest as text, and as hashes. Equal manifests give equal bytes: keys that equal their default are left out.

That also keeps hashes as they are when the schema grows: a new key changes the hash of those who use it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from ployz.ids import SecretName
from ployz.manifest.model import Manifest, Service
from ployz.manifest.schema import MANIFEST, TEMPLATE
from ployz.manifest.shapes import Raw
from ployz.manifest.toml_text import toml_text

_NOT_IN_THE_CONTAINER = ("image", "pull_policy", "stop_grace_period", "disposable")
"""The image counts by its id, whatever it is called. The others are about getting, stopping and removing the
container.
"""


def to_canonical_json(manifest: Manifest) -> str:
    """One line, keys sorted, no space: what is committed and hashed."""
    return _canonical(MANIFEST.write(manifest))


def to_toml(manifest: Manifest) -> str:
    """For people. `parse` reads back an equal manifest."""
    return toml_text(MANIFEST.write(manifest))


def manifest_hash(manifest: Manifest) -> str:
    """SHA-256 of the canonical JSON, in hex. The intent counts: `without_intent` first where it must not."""
    return _sha256(to_canonical_json(manifest))


def template_hash(service: Service, image_id: str, secrets: Mapping[SecretName, int] | None = None) -> str:
    """SHA-256, in hex, of all that a container of this service is made from. A changed hash: it must be replaced.

    `secrets`: the versions of its secrets, so that one that was set anew replaces it with the next deploy.

    Not in it: what differs from slot to slot (addresses), and what changes in place (routes, readiness, quotas).
    """
    template = {key: raw for key, raw in TEMPLATE.write(service.template).items() if key not in _NOT_IN_THE_CONTAINER}
    ports = [(publish, service.port(publish.service_port)) for publish in service.publish]
    published = sorted(
        # An address is absent where there is none: hashes of before one could be named hold.
        (each.host_port, port.container_port, port.protocol, *([each.host_ip] if each.host_ip else ()))
        for each, port in ports
        if port is not None
    )
    parts: dict[str, Raw] = {
        "image_id": image_id,
        "published": published,
        "restart": service.restart,
        "template": template,
    }
    if secrets:  # absent where there are none: hashes of before there were secrets hold
        parts["secrets"] = {str(name): version for name, version in secrets.items()}
    return _sha256(_canonical(parts))


def _canonical(tree: Raw) -> str:
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
