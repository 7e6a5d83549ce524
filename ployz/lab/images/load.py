"""Building images by name, and loading them into the machines of a lab."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from ployz.lab.images import archive, perl, postgres, redis
from ployz.lab.images.archive import Image
from ployz.lab.lab import Lab
from ployz.lab.machine import Machine
from ployz.lab.programs import refused, side_by_side

LOAD_S = 120

BUILDERS: Mapping[str, Callable[[], Image]] = {
    "postgres": postgres.build,
    "redis": redis.build,
    "web": perl.build_web,
    "writer": perl.build_writer,
}


def load(lab: Lab, names: Sequence[str], machines: Sequence[str]) -> None:
    """Nothing is kept beside Docker: to know that a built archive is still right takes as long as to build it."""
    unknown = [name for name in names if name not in BUILDERS]
    if unknown:
        raise refused(f"there is no image {unknown[0]!r}", f"There are: {', '.join(BUILDERS)}.")
    targets = {lab.machine(name).name: lab.running(name) for name in machines}
    with TemporaryDirectory(prefix="ployz-lab-image-", dir=lab.folder) as folder:
        for name in names:
            image, file = BUILDERS[name](), Path(folder) / f"{name}.tar"
            archive.write(image, file)

            def load_into(machine: Machine, file: Path = file) -> None:
                targets[machine.name].run(["docker", "load", "--quiet"], stdin=file, deadline_s=LOAD_S)

            side_by_side(load_into, [lab.machine(each) for each in targets])
            size_mb = file.stat().st_size / 1e6
            lab.say(f"{', '.join(image.tags)}: {size_mb:.0f} MB, loaded into {', '.join(targets)}")
            file.unlink()
