import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest

from ployz.errors import Refused
from ployz.lab.images import archive
from ployz.lab.images.archive import Image
from ployz.lab.images.root import File, Folder, Link, Root


def image(root: Root) -> Image:
    return Image(
        tags=("tiny:latest",),
        root=root,
        command=("sh",),
        environment={"MOOD": "good"},
        stop_signal="SIGINT",
        ports=(80,),
    )


def root(**content: bytes) -> Root:
    made = Root()
    for name, text in content.items():
        made.add(f"opt/deep/{name}", File(text))
    return made


def built(folder: Path, of: Image) -> Path:
    path = folder / "image.tar"
    archive.write(of, path)
    return path


def layer_names(path: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(path) as outer:
        manifest = json.loads(outer.extractfile("manifest.json").read())  # type: ignore[union-attr] # it is a file
        with tarfile.open(fileobj=outer.extractfile(manifest[0]["Layers"][0])) as layer:
            return {each.name: each for each in layer}


def test_the_same_root_gives_the_same_bytes_whatever_its_order(tmp_path: Path) -> None:
    first = built(tmp_path, image(root(a=b"1", b=b"2"))).read_bytes()
    second = built(tmp_path, image(root(b=b"2", a=b"1"))).read_bytes()
    assert hashlib.sha256(first).digest() == hashlib.sha256(second).digest()


def test_a_file_of_the_host_counts_with_its_content_and_not_with_its_times(tmp_path: Path) -> None:
    source = tmp_path / "source"
    made = Root()
    made.add("opt/source", File(source))
    archives = []
    for mtime_s in (1, 2):
        source.write_text("same")
        os.utime(source, (mtime_s, mtime_s))
        archives.append(built(tmp_path, image(made)).read_bytes())
    assert archives[0] == archives[1]


def test_the_manifest_the_configuration_and_the_layer_name_each_other_by_digest(tmp_path: Path) -> None:
    with tarfile.open(built(tmp_path, image(root(a=b"1")))) as outer:
        content = {each.name: outer.extractfile(each).read() for each in outer}  # type: ignore[union-attr] # all are files
    (manifest,) = json.loads(content["manifest.json"])
    config_bytes, layer = content[manifest["Config"]], content[manifest["Layers"][0]]
    assert manifest["RepoTags"] == ["tiny:latest"]
    assert manifest["Config"] == f"{hashlib.sha256(config_bytes).hexdigest()}.json"
    config = json.loads(config_bytes)
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert config["config"]["Cmd"] == ["sh"]
    assert "MOOD=good" in config["config"]["Env"]
    assert config["config"]["StopSignal"] == "SIGINT"
    assert config["config"]["ExposedPorts"] == {"80/tcp": {}}


def test_folders_come_before_what_is_in_them_also_when_nobody_named_them(tmp_path: Path) -> None:
    names = list(layer_names(built(tmp_path, image(root(a=b"1")))))
    assert names == ["opt", "opt/deep", "opt/deep/a"]


def test_modes_owners_and_links_arrive(tmp_path: Path) -> None:
    made = Root()
    made.add("data", Folder(mode=0o700, owner=999))
    made.add("bin", Link("usr/bin"))
    made.add("run.sh", File(b"", mode=0o755))
    layer = layer_names(built(tmp_path, image(made)))
    assert (layer["data"].mode, layer["data"].uid, layer["data"].isdir()) == (0o700, 999, True)
    assert (layer["bin"].linkname, layer["bin"].issym()) == ("usr/bin", True)
    assert (layer["run.sh"].mode, layer["run.sh"].uid) == (0o755, 0)


def test_a_program_brings_its_loader_and_its_libraries() -> None:
    made = Root()
    made.add_program("perl")
    names = {str(each) for each in made.entries}
    assert "usr/bin/perl" in names
    assert any(Path(each).name.startswith("libc.so") for each in names)
    assert any(Path(each).name.startswith("ld-linux") for each in names)
    assert all(each.startswith("usr/") for each in names)


def test_a_program_that_is_not_installed_is_refused_with_what_installs_it() -> None:
    with pytest.raises(Refused, match="no-such-program is not installed") as refusal:
        Root().add_program("no-such-program")
    assert refusal.value.problem.advice == "Run bin/setup."


def test_a_tree_leaves_out_what_it_was_told_to(tmp_path: Path) -> None:
    for name in ("kept/a", "dropped/b"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    made = Root()
    made.add_tree(tmp_path, frozenset({"dropped"}))
    assert [each.name for each in made.entries] == ["kept", "a"]
