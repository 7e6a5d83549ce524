"""Docker in memory, held to the real one by tests/contracts/test_docker.py, with levers for what a machine does to it.

Time passes only in `anyio.sleep`, so that a simulation's clock rules it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio
from anyio.streams.memory import MemoryObjectSendStream
from attrs import define, evolve, field

from ployz.errors import Code, Failed
from ployz.host.fakes.docker_programs import Made, Program, comes_back
from ployz.host.ports import (
    LABEL_PREFIX,
    BridgeNetwork,
    Census,
    Container,
    ContainerEvent,
    ContainerSpec,
    ExecResult,
    Image,
)

__all__ = ["FakeDocker", "Program"]


@define(eq=False)
class FakeDocker:
    """One machine's Docker. Its containers outlive `engine_down`, and its books outlive `power_cut`."""

    program: Callable[[ContainerSpec], Program] = lambda _: Program()
    """What a container runs. Asked at every start, stop and exec: the answer may change."""
    path_exists: Callable[[str], bool] = lambda _: True
    """Whether the source of a bind mount is there."""
    on_start: Callable[[ContainerSpec], None] = lambda _: None
    on_end: Callable[[ContainerSpec], None] = lambda _: None
    """However it ended."""
    wall_ms: Callable[[], int] = lambda: 0
    """What its books have as the time of a start or an end; 0: they do not say."""
    registry: dict[str, Image] = field(factory=dict)
    """What `pull` finds, by reference."""
    images: dict[str, Image] = field(factory=dict)
    """By id."""
    network: BridgeNetwork | None = None
    _containers: dict[str, Made] = field(factory=dict, init=False)
    _orphans: dict[str, ContainerSpec] = field(factory=dict, init=False)
    """By name: containers that are gone, whose networks are held."""
    _keepers: dict[str, tuple[str, str]] = field(factory=dict, init=False)
    """By name, an image's id, and for whom it is kept."""
    _readers: list[MemoryObjectSendStream[ContainerEvent]] = field(factory=list, init=False)
    kept_volumes: list[str] = field(factory=list, init=False)
    """Folders of anonymous volumes whose containers were removed without them."""
    _up: bool = field(default=True, init=False)
    _made: int = field(default=0, init=False)
    _pid: int = field(default=1000, init=False)

    # ------------------------------------------------------------ levers

    def add_image(self, reference: str, *, size_bytes: int = 1_000_000, volumes: tuple[str, ...] = ()) -> Image:
        """An image that is on this machine. Its id is a function of its reference, as if built from it."""
        digest = hashlib.sha256(reference.encode()).hexdigest()
        image = Image(f"sha256:{digest}", size_bytes, (reference,), volumes)
        self.images[image.id] = image
        return image

    def pause(self, name: str, *, paused: bool = True) -> None:
        """By an operator's hand."""
        self._containers[name].paused = paused

    def exit(self, name: str, exit_code: int) -> None:
        """Its program ends by itself; Docker starts it again where its restart policy says so."""
        made = self._containers[name]
        self._end(made, exit_code)
        if made.spec.restart in {"always", "unless-stopped"} or (made.spec.restart == "on-failure" and exit_code):
            self._begin(made)

    def tear(self, name: str) -> None:
        """A removal of it is broken off."""
        made = self._containers[name]
        if made.running:
            self._end(made, 137)
        made.torn, made.prepared = made.spec.restart == "no", False

    def take_away(self, name: str) -> None:
        """Somebody else's `docker rm --force`: what holds its network stays."""
        made = self._containers[name]
        if made.running:
            self._end(made, 137)
        if made.prepared:
            self._orphans[name] = made.spec
        del self._containers[name]
        self._tell("destroy", made, None)

    def leave_network(self, spec: ContainerSpec, name: str) -> None:
        """What holds the network of a container of this name stayed when that was removed."""
        self._orphans[name] = evolve(spec, name=name)

    def cut_off(self, name: str) -> None:
        """Somebody else's `docker rm --force NAME.net`."""
        made = self._containers[name]
        made.torn, made.prepared = True, False

    def prune(self) -> None:
        """`docker system prune --all`: what does not run, and what nothing uses then."""
        for name in self.names():
            if not self._containers[name].running:
                self.take_away(name)
        used = {each.spec.image_id for each in self._containers.values()}
        used |= {image_id for image_id, _ in self._keepers.values()}
        self.images = {key: each for key, each in self.images.items() if key in used}
        if not self._orphans and not any(each.prepared for each in self._containers.values()):
            self.network = None

    @property
    def keepers(self) -> list[str]:
        return sorted(self._keepers)

    def answers(self, address: str) -> bool:
        """Whether a container that runs here answers on this address."""
        return any(
            made.running
            and not made.paused
            and made.prepared
            and address in {made.spec.ipv4, made.spec.ipv6}
            and anyio.current_time() - made.started_at_s >= self.program(made.spec).ready_s
            for made in self._containers.values()
        )

    def id_of(self, name: str) -> str:
        return self._containers[name].id

    def running(self) -> list[ContainerSpec]:
        made = (self._containers[name] for name in self.names())
        return [each.spec for each in made if each.running]

    def names(self) -> list[str]:
        """Of every container that is there, running or not."""
        return sorted(self._containers)

    def engine_down(self) -> None:
        """The engine dies alone: containers run on (live-restore)."""
        self._up = False
        for reader in self._readers:
            reader.close()
        self._readers.clear()

    def power_cut(self) -> None:
        """Everything on the machine ends at once, and nobody is told."""
        self.engine_down()
        self._orphans.clear()
        for made in self._containers.values():
            made.prepared = False
            if made.running:
                made.running, made.exit_code, made.stopped_by_hand = False, 255, False
                made.ended.set()
                self.on_end(made.spec)

    def boot(self) -> None:
        """The engine starts. Like the real one it brings to life what its restart policies name, *stopped or not*."""
        self._up = True
        for made in self._containers.values():
            if made.started and not made.running and comes_back(made):
                self._begin(made)

    # ------------------------------------------------------------ the port

    async def version(self) -> str:
        await self._asked()
        return "fake"

    async def image(self, reference: str) -> Image | None:
        await self._asked()
        by_tag = (each for each in self.images.values() if reference in each.tags)
        return self.images.get(reference) or next(by_tag, None)

    async def pull(self, reference: str) -> Image:
        await self._asked()
        if reference not in self.registry:
            raise Failed(
                Code.IMAGE_MISSING, f"Docker could not pull {reference}: no registry has it", "Load it by hand."
            )
        image = self.registry[reference]
        self.images[image.id] = image
        return image

    def save_argv(self, image_id: str) -> Sequence[str]:
        return ("fake-docker", "save", image_id)

    def load_argv(self) -> Sequence[str]:
        return ("fake-docker", "load")

    async def tag(self, image_id: str, reference: str) -> None:
        await self._asked()
        if image_id not in self.images:
            raise Failed(Code.DOCKER_FAILED, f"Docker could not tag {image_id}: no such image")
        for each in list(self.images.values()):
            others = tuple(tag for tag in each.tags if tag != reference)
            tags = (*others, reference) if each.id == image_id else others
            self.images[each.id] = evolve(each, tags=tags)

    async def ensure_network(self, network: BridgeNetwork) -> None:
        await self._asked()
        if self.network not in {None, network}:
            raise Failed(Code.CONFLICT, f"Docker has a network {network.name} of another shape: {self.network}")
        self.network = network

    async def create(self, spec: ContainerSpec) -> str:
        await self._asked()
        there = self._containers.get(spec.name)
        if there is not None:
            if there.spec.labels.items() >= spec.labels.items():
                there.torn = False
                return there.id
            raise Failed(Code.CONFLICT, f"there is a container {spec.name} already, and it is another")
        self._check(spec)
        self._made += 1
        made = Made(hashlib.sha256(f"{spec.name} {self._made}".encode()).hexdigest(), spec)
        declared = self.images[spec.image_id].volumes if spec.image_id in self.images else ()
        covered = {mount.target for mount in spec.mounts} | set(spec.tmpfs)
        made.volumes = tuple(path for path in declared if path not in covered)
        self._containers[spec.name] = made
        made.prepared = self._orphans.pop(spec.name, None) is not None
        return made.id

    async def prepare(self, name: str) -> None:
        await self._asked()
        made = self._there(name)
        if made.torn:
            return
        if self.network is None:
            raise Failed(Code.DOCKER_FAILED, f"Docker could not start {name}: network ployz not found")
        taken = [each.spec.ipv4 for each in self._containers.values() if each is not made and each.prepared]
        for ipv4 in (*taken, *(each.ipv4 for each in self._orphans.values())):
            if ipv4 == made.spec.ipv4:
                raise Failed(Code.DOCKER_FAILED, f"Docker could not start {name}: Address already in use")
        made.prepared = True

    async def start(self, name: str) -> None:
        await self._asked()
        made = self._there(name)
        if made.running:
            return
        program = self.program(made.spec)
        if program.refuses_to_start:
            raise Failed(Code.DOCKER_FAILED, f"Docker could not start {name}: {program.refuses_to_start}")
        self._check(made.spec)
        if made.torn:
            raise Failed(Code.DOCKER_FAILED, f"Docker could not start {name}: No such container: {name}.net")
        await self.prepare(name)
        await self._pass(program.start_s)
        if self._there(name) is made:  # it may have been removed meanwhile
            self._begin(made)

    async def stop(self, name: str, *, grace_s: float) -> None:
        await self._asked()
        made = self._containers.get(name)
        if made is None:
            return
        if not made.running:
            made.prepared = False
            return
        program = self.program(made.spec)
        await self._pass(min(program.stop_s, grace_s))
        if made.running:
            made.stopped_by_hand = True
            self._end(made, program.exit_code if program.stop_s <= grace_s else 137)
        made.prepared = False

    async def ended(self, name: str) -> None:
        await self._asked()
        made = self._containers.get(name)
        if made is not None and made.running:
            await made.ended.wait()

    async def remove(self, name: str, *, with_volumes: bool = True) -> None:
        await self._asked()
        self._orphans.pop(name, None)
        self._keepers.pop(name, None)
        made = self._containers.get(name)
        if made is None:
            return
        self.tear(name)
        await self._asked()
        if self._containers.get(name) is made:
            del self._containers[name]
            if not with_volumes:
                self.kept_volumes += [each.folder for each in made.seen().volumes]
            self._tell("destroy", made, None)

    async def drop_network(self, name: str) -> None:
        await self._asked()
        made = self._containers.get(name)
        if made is not None:
            made.torn, made.prepared = made.spec.restart == "no", False

    async def inspect(self, name: str) -> Container | None:
        await self._asked()
        made = self._containers.get(name)
        return None if made is None else made.seen()

    async def containers(self, labels: Mapping[str, str]) -> Sequence[Container]:
        await self._asked()
        found = (each for each in self._containers.values() if each.spec.labels.items() >= labels.items())
        return [each.seen() for each in sorted(found, key=lambda each: each.spec.name)]

    async def keep_image(self, image_id: str, name: str, keeps_for: str) -> None:
        await self._asked()
        if image_id not in self.images:
            raise Failed(Code.DOCKER_FAILED, f"Docker could not keep image {image_id}: no such image")
        self._keepers[name] = image_id, keeps_for

    async def census(self) -> Census:
        await self._asked()
        made = self._containers.items()
        return Census(
            network=self.network is not None,
            containers={name: each.running for name, each in made},
            cut_off=frozenset(name for name, each in made if each.running and not each.prepared),
            orphans=tuple(sorted(self._orphans)),
            keepers={name: keeps_for for name, (_, keeps_for) in self._keepers.items()},
        )

    async def plugged(self) -> Mapping[str, int]:
        await self._asked()
        made = [each for each in self._containers.values() if each.prepared]
        return {
            **{each.ipv4: 1 for each in self._orphans.values()},
            **{each.spec.ipv4: each.pid or 1 for each in made},
        }

    async def exec(self, name: str, command: Sequence[str], *, timeout_s: float) -> ExecResult:
        await self._asked()
        made = self._there(name)
        if not made.running:
            raise Failed(Code.DOCKER_FAILED, f"Docker could not run {command[0]} in {name}: it is not running")
        with anyio.move_on_after(timeout_s):
            return await self.program(made.spec).exec(command)
        raise Failed(Code.TIMED_OUT, f"Docker could not run {command[0]} in {name} within {timeout_s:g} s")

    async def logs(self, name: str, *, tail: int) -> str:
        await self._asked()
        return "".join(self._there(name).output.splitlines(keepends=True)[-tail:])

    @asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[ContainerEvent]]:
        await self._asked()
        send, receive = anyio.create_memory_object_stream[ContainerEvent](math.inf)
        self._readers.append(send)
        with send, receive:
            try:
                yield receive
            finally:
                if send in self._readers:
                    self._readers.remove(send)

    # ------------------------------------------------------------ inside

    async def _asked(self) -> None:
        """Every request is a checkpoint, and fails while the engine is down."""
        await self._pass(0)

    async def _pass(self, seconds: float) -> None:
        """Time in which the engine works on a request, and may go down."""
        await anyio.sleep(seconds)
        if not self._up:
            raise Failed(Code.MISSING_PART, "Docker does not answer: the fake engine is down")

    def _there(self, name: str) -> Made:
        if name not in self._containers:
            raise Failed(Code.DOCKER_FAILED, f"Docker has no such container: {name}")
        return self._containers[name]

    def _check(self, spec: ContainerSpec) -> None:
        if spec.image_id not in self.images:
            raise Failed(Code.DOCKER_FAILED, f"Docker could not create container {spec.name}: no image {spec.image_id}")
        for mount in spec.mounts:
            if not self.path_exists(mount.source):
                raise Failed(Code.DOCKER_FAILED, f"bind source path does not exist: {mount.source}")

    def _begin(self, made: Made) -> None:
        self._pid += 1
        program = self.program(made.spec)
        made.started, made.running, made.stopped_by_hand, made.pid = True, True, False, self._pid
        made.started_at_s, made.changed_ms = anyio.current_time(), self.wall_ms()
        made.ended = anyio.Event()
        made.output += program.output
        self.on_start(made.spec)
        self._tell("start", made, None)
        if program.exits is not None:
            self._end(made, program.exits)

    def _end(self, made: Made, exit_code: int) -> None:
        made.running, made.exit_code, made.changed_ms = False, exit_code, self.wall_ms()
        made.ended.set()
        self.on_end(made.spec)
        self._tell("die", made, exit_code)

    def _tell(self, action: str, made: Made, exit_code: int | None) -> None:
        labels = {key: value for key, value in made.spec.labels.items() if key.startswith(LABEL_PREFIX)}
        if labels:
            for reader in self._readers:
                reader.send_nowait(ContainerEvent(action, made.id, labels, exit_code))
