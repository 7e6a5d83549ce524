"""A lab as a whole: bringing it up, taking it down, and disturbing it. One command at a time changes a lab.

Every method may be called on a lab in any condition: half built, killed, or not there at all.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from attrs import field, frozen

from ployz.ids import MachineId
from ployz.lab import cluster, facts, namespaces, needs, state
from ployz.lab.engine import remove_control_groups
from ployz.lab.holder import SWITCH
from ployz.lab.lock import locked
from ployz.lab.machine import PROGRAMS, Machine, control_group
from ployz.lab.namespaces import Namespaces
from ployz.lab.programs import refused, run, side_by_side
from ployz.lab.state import LabName, LabState
from ployz.lab.switch import Switch


@frozen
class Lab:
    name: LabName
    root: Path = state.ROOT
    say: Callable[[str], None] = field(default=lambda _: None)
    """Told what was done, a line at a time."""

    @property
    def folder(self) -> Path:
        return self.root / self.name

    def state(self) -> LabState:
        known = state.load(self.folder)
        if known is None:
            raise refused(f"there is no lab {self.name!r}", "Bring it up with `bin/lab up`.")
        return known

    def machine(self, name: str) -> Machine:
        return Machine(self.folder, self.state().require(name))

    def running(self, name: str) -> Namespaces:
        found = self.machine(name).find()
        if found is None:
            raise refused(f"{name} is without power", f"Start it with `bin/lab boot {name}`.")
        return found

    def command_line(self, name: str, command: Sequence[str]) -> list[str]:
        """What runs `command` in the machine from the host, in the folder of the same name there, if there is one."""
        running = self.running(name)
        here = Path.cwd()
        folder = here if (running.root / here.relative_to("/")).is_dir() else Path("/")
        # Ours last: `test` is the shell's program in a machine, not the one beside ployzctl.
        search_path = f"PATH={os.environ.get('PATH', '')}:/usr/sbin:/sbin:{PROGRAMS}"
        # DOCKER_HOST would lead out of the machine; PYTHONPATH is what bin/lab itself was started with.
        unset = ["--unset=DOCKER_HOST", "--unset=PYTHONPATH"]
        return running.enter(["env", *unset, f"--chdir={folder}", search_path, *command])

    def switch(self) -> Namespaces | None:
        return namespaces.find(self.folder, SWITCH)

    def up(self, count: int, *, pool_size: str, bare: bool, etcd: bool = False) -> None:
        """Starts what is missing of the first `count` machines, and of those that were there before.

        `bare`: without ployzd. `etcd`: the facts are moved there, if they are not there yet.
        """
        if not 1 <= count <= state.MACHINES_MAX:
            raise refused(f"a lab has 1 to {state.MACHINES_MAX} machines, not {count}")
        needs.require()
        with locked(self.folder):
            known = self._known_or_new()
            grown = known.grown_to(count)
            state.save(self.folder, grown)
            self._bring_up(grown, grown.machines, pool_size)
            if not bare:
                machines = self._machines(grown.machines)
                cluster.bring_up(self.name, machines, grown, self.say)
                if etcd:
                    facts.bring_up(machines, grown, self.say)

    def down(self) -> None:
        """Leaves no process, namespace, mount, interface, control group or file."""
        with locked(self.folder):
            self._remove_everything()
            with locked(self.root):
                self.folder.rmdir()
                with contextlib.suppress(OSError):  # another lab lives here
                    self.root.rmdir()

    def crash(self, name: str) -> None:
        """The power cut: everything in the machine is SIGKILLed. Its disk stays."""
        with self._changing():
            self.machine(name).power_off()

    def boot(self, name: str, *, pool_size: str) -> None:
        """The machine comes back with what its disk has."""
        with self._changing():
            machine = self.machine(name)
            self._bring_up(self.state(), [machine.name], pool_size)
            if machine.has_joined():
                cluster.start_node(machine)

    def kill_node(self, name: str) -> None:
        with self._changing():
            self.machine(name).node(self.running(name)).kill()

    def start_node(self, name: str) -> None:
        with self._changing():
            self.running(name)
            cluster.start_node(self.machine(name))

    def cut(self, first: str, second: str, *, one_way: bool) -> None:
        """`one_way`: only what `first` sends to `second` is dropped."""
        self._change(lambda known: known.cut(known.require(first), known.require(second), one_way=one_way))

    def heal(self, first: str, second: str) -> None:
        self._change(lambda known: known.healed(known.require(first), known.require(second)))

    def heal_all(self) -> None:
        self._change(lambda known: known.all_healed())

    def limit(self, name: str, rate: str | None) -> None:
        """What the machine may send and receive, each; `None` lifts it."""
        self._change(lambda known: known.limited(known.require(name), rate))

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """For what only an existing lab can take: the lock alone would make its folder."""
        self.state()
        with locked(self.folder):
            yield

    def _change(self, change: Callable[[LabState], LabState]) -> None:
        with self._changing():
            before = self.state()
            after = change(before)
            switch = self._switch_on(after)
            for name in after.machines:
                running = Machine(self.folder, name).find()
                if running and switch.is_connected(running) and before.limits.get(name) != after.limits.get(name):
                    switch.limit(running, after.limits.get(name))
            state.save(self.folder, after)

    def _known_or_new(self) -> LabState:
        """A lab whose state is lost (someone removed its folder) has nothing worth keeping."""
        known = state.load(self.folder)
        if known is not None:
            return known
        self._remove_everything()
        with locked(self.root):
            new = LabState(state.free_subnet(self.root))
            state.save(self.folder, new)
        return new

    def _bring_up(self, known: LabState, names: Iterable[MachineId], pool_size: str) -> None:
        switch = self._switch_on(known)

        def bring_up(machine: Machine) -> None:
            running = machine.power_on()
            if not switch.is_connected(running):
                switch.connect(running, known.address(machine.name))
                switch.limit(running, known.limits.get(machine.name))
            hosts = "".join(f"{known.address(each)} {each}\n" for each in known.machines)
            (running.root / "etc/hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n{hosts}")
            machine.bring_up_parts(running, pool_size)
            self.say(f"{machine.name}: {known.address(machine.name)}, ZFS and Docker are up")

        side_by_side(bring_up, self._machines(names))

    def _switch_on(self, known: LabState) -> Switch:
        switch = Switch(self.switch() or namespaces.start(self.folder, SWITCH))
        switch.prepare()
        switch.apply_cuts(known.cuts)
        return switch

    def _machines(self, names: Iterable[MachineId]) -> list[Machine]:
        return [Machine(self.folder, name) for name in names]

    def _remove_everything(self) -> None:
        """Goes by what is there, not by what the state says."""
        found = {each.who for each in namespaces.find_all(self.folder)}
        found |= {each.name for each in self.folder.glob("machine-*")}
        side_by_side(Machine.power_off, self._machines(MachineId(each) for each in found - {SWITCH}))
        switch = self.switch()
        if switch:
            switch.kill()
        remove_control_groups(control_group(self.folder))
        unmount_below(self.folder)
        for each in self.folder.iterdir():
            shutil.rmtree(each) if each.is_dir() else each.unlink()


def unmount_below(folder: Path) -> None:
    """What someone mounted there by hand: a machine's own mounts end with it."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((each for each in points if each.startswith(f"{folder}/")), reverse=True):
        run(["umount", "--lazy", point])
