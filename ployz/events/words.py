"""Words of events that others say too. Apart from `types`, to be had without the whole vocabulary."""

from __future__ import annotations

from enum import StrEnum


class Lifecycle(StrEnum):
    STANDBY = "standby"
    ACTIVE = "active"
    DRAINING = "draining"


class OperationKind(StrEnum):
    DEPLOY = "deploy"
    MIGRATE = "migrate"
    TAKEOVER = "takeover"
