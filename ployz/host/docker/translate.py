"""Between the port's values and the Engine API's JSON, both ways. Pure: nothing here talks to anything.

Field names and shapes are those of the Engine API 1.41 (Docker 20.10), which later versions kept.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from ipaddress import ip_interface, ip_network
from typing import Any

from ployz.host.docker import pause
from ployz.host.ports import (
    LABEL_PREFIX,
    AnonymousVolume,
    BridgeNetwork,
    Census,
    Container,
    ContainerEvent,
    ContainerSpec,
    Image,
    hardware_address,
)

Json = dict[str, Any]

LOG_FILE_SIZE = "10m"
LOG_FILES = "3"
"""A container's log is bounded: a chatty one must not fill the disk that its machine's other volumes are on."""

_NETWORK_SYSCTL = "net."
_OF_THE_NETWORK = {"Dns", "DnsSearch", "DnsOptions"}
"""How names are looked up belongs to whoever holds the network: Docker refuses it in a container that joins one."""
_ENDPOINT_MAC_API = (1, 44)
"""From there on a container's hardware address belongs to the network that it is on."""
_DIRECT_ROUTING_API = (1, 48)
"""Docker 28 drops packets that are routed to a container's address, unless its network says that they may pass."""

# ---------------------------------------------------------------- containers


def container_body(spec: ContainerSpec, network: Json) -> Json:
    """What POST /containers/create is given. `network`: `network_of` it, or `joined`."""
    body: Json = {
        **network,
        "Image": spec.image_id,
        "Labels": dict(spec.labels),
        "Env": [f"{key}={value}" for key, value in spec.env.items()],
        "User": spec.user,
        "HostConfig": {
            **{key: value for key, value in _host_config(spec).items() if key not in _OF_THE_NETWORK},
            **network["HostConfig"],
        },
    }
    # An empty list would take the image's own away.
    if spec.command:
        body["Cmd"] = list(spec.command)
    if spec.entrypoint:
        body["Entrypoint"] = list(spec.entrypoint)
    if spec.stop_signal:
        body["StopSignal"] = spec.stop_signal
    return body


def network_of(spec: ContainerSpec, network: str, api: tuple[int, int]) -> Json:
    """What its network is made from, whichever container holds it."""
    bindings: dict[str, list[Json]] = {}
    for port in spec.ports:
        there = {"HostIp": port.host_ip} if port.host_ip else {}
        binding = {**there, "HostPort": str(port.host_port)}
        bindings.setdefault(f"{port.container_port}/{port.protocol}", []).append(binding)
    names = {key: value for key, value in _host_config(spec).items() if key in _OF_THE_NETWORK}
    endpoint: Json = {"IPAMConfig": {"IPv4Address": spec.ipv4, "IPv6Address": spec.ipv6}}
    body: Json = {
        "Hostname": spec.hostname,
        "ExposedPorts": {port: {} for port in bindings},
        "HostConfig": {
            **names,
            "NetworkMode": network,
            "PortBindings": bindings,
            "Sysctls": {key: value for key, value in spec.sysctls.items() if key.startswith(_NETWORK_SYSCTL)},
        },
        "NetworkingConfig": {"EndpointsConfig": {network: endpoint}},
    }
    (endpoint if api >= _ENDPOINT_MAC_API else body)["MacAddress"] = hardware_address(spec.ipv4)
    return body


def joined(holder: str) -> Json:
    """The network of another container, which also gives the host name."""
    return {"HostConfig": {"NetworkMode": f"container:{holder}"}}


def _host_config(spec: ContainerSpec) -> Json:
    return {
        "Mounts": _mounts(spec),
        "RestartPolicy": {"Name": spec.restart},
        "Dns": list(spec.nameservers),
        "DnsSearch": list(spec.search_domains),
        "DnsOptions": [f"ndots:{spec.ndots}"] if spec.ndots else [],
        "NanoCpus": spec.cpu_millicores * 1_000_000,
        "Memory": spec.memory_bytes,
        "CapAdd": list(spec.cap_add),
        "CapDrop": list(spec.cap_drop),
        "Sysctls": {key: value for key, value in spec.sysctls.items() if not key.startswith(_NETWORK_SYSCTL)},
        "LogConfig": {"Type": "json-file", "Config": {"max-size": LOG_FILE_SIZE, "max-file": LOG_FILES}},
    }


def _mounts(spec: ContainerSpec) -> list[Json]:
    """As `Mounts`, never as `Binds`: those make an empty folder where the source is missing."""
    binds = [
        {
            "Type": "bind",
            "Source": mount.source,
            "Target": mount.target,
            "ReadOnly": mount.readonly,
            "BindOptions": {"Propagation": "rslave" if mount.follows else "rprivate"},
        }
        for mount in spec.mounts
    ]
    return [*binds, *({"Type": "tmpfs", "Target": target} for target in spec.tmpfs)]


def container(value: Json) -> Container:
    """From GET /containers/NAME/json."""
    state = value["State"]
    # Between two tries of Docker's own restarting, `Running` stays true although there is no process.
    running = bool(state["Running"]) and not state["Restarting"]
    return Container(
        id=value["Id"],
        name=value["Name"].removeprefix("/"),
        image_id=value["Image"],
        labels=value["Config"]["Labels"] or {},
        running=running,
        exit_code=None if running or state["Status"] == "created" else state["ExitCode"],
        pid=state["Pid"] if running else 0,
        paused=state["Status"] == "paused",
        changed_ms=wall_ms(state["StartedAt" if running else "FinishedAt"]),
        created_ms=wall_ms(value.get("Created") or ""),
        volumes=tuple(
            AnonymousVolume(each["Destination"], each["Source"])
            for each in value.get("Mounts") or ()
            if each["Type"] == "volume"
        ),
    )


def wall_ms(text: str) -> int:
    """Of `2026-11-28T08:00:00.123456789Z`. 0 for Docker's "never", which is the year 1, and for what is no time."""
    try:
        at = datetime.fromisoformat(f"{text[:19]}+00:00")
    except ValueError:
        return 0
    fraction = text[19:].partition(".")[2].rstrip("Z")[:3].ljust(3, "0")
    return max(0, round(at.timestamp()) * 1000 + (int(fraction) if fraction.isdecimal() else 0))


def census(network: str, networks: list[Json], listed: list[Json], *, are_held: bool) -> Census:
    """From GET /networks and GET /containers/json. `are_held`: each container's network is, by one of its own."""
    reached: dict[str, bool] = {}
    ours: dict[str, bool] = {}
    keepers: dict[str, str] = {}
    for each in listed:
        labels = each.get("Labels") or {}
        running, name = each["State"] == "running", each["Names"][0].removeprefix("/")
        if pause.LABEL in labels:
            endpoint = ((each.get("NetworkSettings") or {}).get("Networks") or {}).get(network) or {}
            reached[labels[pause.LABEL]] = running and bool(endpoint.get("IPAddress"))
        elif pause.KEEPER_LABEL in labels:
            keepers[name] = labels[pause.KEEPER_LABEL]
        elif any(key.startswith(LABEL_PREFIX) for key in labels):
            ours[name] = running
    running_ones = (name for name, running in ours.items() if running)
    return Census(
        network=any(each["Name"] == network for each in networks),
        containers=ours,
        cut_off=frozenset(name for name in running_ones if are_held and not reached.get(name)),
        orphans=tuple(sorted(reached.keys() - ours.keys())),
        keepers=keepers,
    )


def endpoints(network: str, listed: list[Json]) -> list[tuple[str, str, str]]:
    """From GET /containers/json: of each container on the network its id, its endpoint's, and its IPv4 address."""
    found = [
        (str(each["Id"]), ((each.get("NetworkSettings") or {}).get("Networks") or {}).get(network) or {})
        for each in listed
    ]
    return [
        (container_id, str(endpoint.get("EndpointID", "")), str(endpoint["IPAddress"]))
        for container_id, endpoint in found
        if endpoint.get("IPAddress")
    ]


def differing_labels(wanted: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Words for every wanted label that is not there. Labels beside them may come from the image."""
    return [
        f"{key} is {found[key]!r}, not {value!r}" if key in found else f"{key} is missing"
        for key, value in wanted.items()
        if found.get(key) != value
    ]


def is_without_network(message: str) -> bool:
    """Docker's words when the container whose network it joins does not run."""
    return "cannot join network of a non running container" in message


def is_port_taken(message: str) -> bool:
    """Of a start that failed: by another container's port, or by a program's. Docker has no code for it."""
    return "port is already allocated" in message or "bind: address already in use" in message


def label_filter(labels: Mapping[str, str]) -> str:
    return json.dumps({"label": [f"{key}={value}" for key, value in sorted(labels.items())]})


def grace_seconds(grace_s: float) -> int:
    """Docker takes whole seconds: rounded up, since a grace cut short kills a database in mid-checkpoint."""
    return max(0, math.ceil(grace_s))


# ---------------------------------------------------------------- events

NETWORK_FILTER = json.dumps({"driver": ["bridge"]})
EVENT_FILTER = json.dumps({"type": ["container"], "event": ["start", "die", "oom", "destroy"]})


def container_event(value: Json) -> ContainerEvent | None:
    """None: it is about somebody else's container."""
    attributes = value["Actor"]["Attributes"]
    labels = {key: text for key, text in attributes.items() if key.startswith(LABEL_PREFIX)}
    if not labels:
        return None
    exit_code = attributes.get("exitCode") if value["Action"] == "die" else None
    return ContainerEvent(value["Action"], value["Actor"]["ID"], labels, None if exit_code is None else int(exit_code))


# ---------------------------------------------------------------- images


def image(value: Json) -> Image:
    """From GET /images/NAME/json."""
    declared = (value.get("Config") or {}).get("Volumes") or {}
    return Image(value["Id"], value["Size"], tuple(value.get("RepoTags") or ()), tuple(sorted(declared)))


def tagged(reference: str) -> str:
    """With `:latest` where neither tag nor digest is named: Docker would pull every tag there is."""
    if "@" in reference or ":" in reference.rpartition("/")[2]:
        return reference
    return f"{reference}:latest"


def repository_and_tag(reference: str) -> tuple[str, str]:
    """`registry:5000/db:17` is `registry:5000/db` and `17`."""
    repository, _, tag = tagged(reference).rpartition(":")
    return repository, tag


def pull_error(progress: bytes) -> str | None:
    """Why a pull failed, from its progress, one JSON object a line; None: it did not.

    Docker answers 200 before it knows. What went wrong then stands in the stream, and nowhere else.
    """
    for line in progress.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue  # the first line that was kept can be half a one
        if isinstance(value, dict) and "error" in value:
            return str(value["error"])
    return None


# ---------------------------------------------------------------- networks


def network_body(network: BridgeNetwork, api: tuple[int, int]) -> Json:
    """What POST /networks/create is given."""
    options = {
        "com.docker.network.bridge.name": network.bridge,
        # An address must mean the same on every machine: nothing may be rewritten on the way.
        "com.docker.network.bridge.enable_ip_masquerade": "false",
        "com.docker.network.driver.mtu": str(network.mtu),
    }
    if api >= _DIRECT_ROUTING_API:
        options["com.docker.network.bridge.gateway_mode_ipv4"] = "nat-unprotected"
        options["com.docker.network.bridge.gateway_mode_ipv6"] = "nat-unprotected"
    return {
        "Name": network.name,
        "CheckDuplicate": True,  # before 1.44 two networks may have one name otherwise
        "Driver": "bridge",
        "EnableIPv6": True,
        "IPAM": {
            "Driver": "default",
            "Config": [
                {"Subnet": network.ipv4_subnet, "Gateway": network.ipv4_gateway},
                {"Subnet": network.ipv6_subnet, "Gateway": network.ipv6_gateway},
            ],
        },
        "Options": options,
    }


def network_differences(wanted: Json, found: Json) -> list[str]:
    """Words for everything in which a network that is there (GET /networks/NAME) is not the one that is wanted."""
    pairs: list[tuple[str, object, object]] = [
        ("driver", wanted["Driver"], found["Driver"]),
        ("IPv6", wanted["EnableIPv6"], found["EnableIPv6"]),
        ("subnets", _subnets(wanted), _subnets(found)),
    ]
    there = found.get("Options") or {}
    pairs += [(key.rpartition(".")[2], value, there.get(key)) for key, value in wanted["Options"].items()]
    return [f"{what} is {is_there!r}, not {wished!r}" for what, wished, is_there in pairs if wished != is_there]


def _subnets(network: Json) -> list[str]:
    """Each with its gateway, in one spelling and order: Docker gives them back in an order of its own."""
    return sorted(
        f"{ip_network(pool['Subnet'], strict=False)} via {_address(pool.get('Gateway'))}"
        for pool in network["IPAM"]["Config"] or ()
    )


def _address(text: str | None) -> str:
    """Some engines write a gateway with its prefix length."""
    return str(ip_interface(text).ip) if text else "no gateway"


# ---------------------------------------------------------------- versions


def api_version(text: str) -> tuple[int, int]:
    """`1.41` as numbers that compare: 1.9 is older than 1.41."""
    major, _, minor = text.partition(".")
    return int(major), int(minor)
