"""Data sets from the Hub, tested against a local server with the few routes that are needed."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import urllib.parse
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from derain_cli.datasets import download
from derain_cli.datasets.catalogue import DATASETS
from derain_cli.datasets.download import MAX_RATIO, download_dataset, unpack
from derain_cli.datasets.opening import open_dataset
from derain_cli.errors import DestinationError, NothingToDoError, ResourceError, UsageError
from tests.standins import make_standin

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """A server with the files of one repository, and the requests it received."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.status = 200
        self.cut: set[str] = set()

    @property
    def fetched(self) -> list[str]:
        return sorted(path for path in self.asked if path in self.files)

    def answer(self, handler: http.server.BaseHTTPRequestHandler, body: bool) -> None:
        path = urllib.parse.unquote(urllib.parse.urlsplit(handler.path).path)
        api, resolve = "/api/datasets/dronefreak/", f"/resolve/{COMMIT}/"
        if self.status != 200:
            self.send(handler, self.status, b"{}", {"X-Error-Code": "RepoNotFound"} if self.status == 404 else {}, body)
        elif path.startswith(api) and "/tree/" in path:
            tree = [
                {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                for name, data in self.files.items()
            ]
            self.send(handler, 200, json.dumps(tree).encode(), {}, body)
        elif path.startswith(api):
            repo = path.removeprefix("/api/datasets/").partition("/revision/")[0]
            facts = {"id": repo, "sha": COMMIT, "private": False, "tags": [], "downloads": 0, "likes": 0}
            self.send(handler, 200, json.dumps(facts).encode(), {}, body)
        elif resolve in path:
            name = path.partition(resolve)[2]
            if body:
                self.asked.append(name)
            data = self.files[name]
            headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": COMMIT}
            self.send(handler, 200, data, headers, body, cut=name in self.cut)
        else:
            self.send(handler, 404, b"{}", {}, body)

    @staticmethod
    def send(handler, status: int, data: bytes, headers: dict[str, str], body: bool, cut: bool = False) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(data)), "Content-Type": "application/json", **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        if body:
            handler.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            handler.close_connection = True


@pytest.fixture
def hub(monkeypatch, tmp_path) -> Iterator[Hub]:
    """The server, with HF_ENDPOINT pointing to it and a separate HF_HOME."""
    state = Hub()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            state.answer(self, body=True)

        def do_HEAD(self) -> None:
            state.answer(self, body=False)

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield state
    server.shutdown()
    server.server_close()


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def rain13k(hub, tmp_path) -> Hub:
    """Two test sets of Rain13K and some training pairs, as plain pictures."""
    made = tmp_path / "made"
    for name in ("Test100", "Rain100L"):
        make_standin(DATASETS[name], made, "test", place=2 + (name == "Rain100L"), count=2)
    make_standin(DATASETS["Rain13K"], made, "train", count=2)
    hub.files = files_of(made / "Rain13K") | {"README.md": b"# Rain13K", "train.py": b"raise SystemExit"}
    return hub


def packed(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def test_a_set_is_fetched_and_found(rain13k, tmp_path):
    said: list[str] = []
    place = download_dataset("rain13k", tmp_path / "root", tell=said.append, progress=False)
    assert place == tmp_path / "root" / "Rain13K"
    assert len(open_dataset("Rain13K", "train", tmp_path / "root").pairs) == 2
    view = open_dataset("Rain13K", "test", tmp_path / "root")
    assert [group.name for group in view.groups] == ["Test100", "Rain100L"]
    assert len(said) == 2
    assert "12 files" in said[0] and "dronefreak/Rain13K" in said[0]
    assert DATASETS["Rain13K"].licence.words in said[1]
    fetched = {p.name for p in place.rglob("*") if p.is_file() and ".cache" not in p.parts}
    assert not {"README.md", "train.py"} & fetched, "pictures, and nothing else"


def test_only_what_was_asked_for_is_fetched(rain13k, tmp_path):
    download_dataset("Test100", tmp_path, progress=False)
    assert {path.split("/")[1] for path in rain13k.fetched} == {"Test100"}
    assert len(open_dataset("Test100", "test", tmp_path).pairs) == 2
    rain13k.asked.clear()
    download_dataset("Rain100L", tmp_path, progress=False)
    assert {path.split("/")[1] for path in rain13k.fetched} == {"Rain100L"}


def test_what_is_there_is_not_fetched_again(rain13k, tmp_path):
    download_dataset("Test100", tmp_path, progress=False)
    assert len(rain13k.fetched) == 4
    rain13k.asked.clear()
    rain13k.status = 500  # not even requested
    download_dataset("Test100", tmp_path, progress=False)
    assert rain13k.asked == []


def test_a_download_that_broke_off_goes_on(rain13k, tmp_path):
    (victim,) = (path for path in rain13k.files if path.endswith("Test100/target/2.png"))
    rain13k.cut.add(victim)
    with pytest.raises(NothingToDoError, match="run it again to resume the download"):
        download_dataset("Test100", tmp_path, progress=False)
    assert not (tmp_path / "Rain13K" / victim).exists(), "no half file under a final name"
    rain13k.cut.clear()
    done = {path for path in rain13k.files if (tmp_path / "Rain13K" / path).exists()}
    rain13k.asked.clear()
    download_dataset("Test100", tmp_path, progress=False)
    assert not done & set(rain13k.fetched)
    assert len(open_dataset("Test100", "test", tmp_path).pairs) == 2


@pytest.mark.parametrize(("status", "words"), [(404, "is not on the Hub"), (401, "Hub"), (403, "403"), (503, "503")])
def test_refusals_are_one_line_with_the_way_by_hand(rain13k, tmp_path, status, words):
    rain13k.status = status
    with pytest.raises(NothingToDoError) as caught:
        download_dataset("Test100", tmp_path, progress=False)
    text = str(caught.value)
    assert words in text
    assert DATASETS["Test100"].page in text
    assert str(tmp_path / "Rain13K") in text
    assert "\n" not in text


@pytest.mark.fault(59)
def test_no_network(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # no server is listening
    with pytest.raises(NothingToDoError, match="cannot get dronefreak/Rain13K from the Hub") as caught:
        download_dataset("Test100", tmp_path, progress=False)
    assert DATASETS["Test100"].page in str(caught.value)


def test_offline_mode_is_heeded(rain13k, tmp_path):
    """In a separate process, since the client reads the variable at import."""
    code = (
        "import sys; from pathlib import Path; from derain_cli.errors import DerainError\n"
        "from derain_cli.datasets.download import download_dataset\n"
        "try: download_dataset('Test100', Path(sys.argv[1]))\n"
        "except DerainError as error: print(error.exit_code, error)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stdout.startswith("4 cannot get dronefreak/Rain13K")
    assert "offline" in ran.stdout
    assert rain13k.asked == []


def test_a_full_disk_is_known_beforehand(rain13k, tmp_path, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 100})())
    with pytest.raises(ResourceError, match="GB needed"):
        download_dataset("Test100", tmp_path, progress=False)
    assert rain13k.fetched == []


@pytest.mark.fault(59)
def test_a_disk_that_fills_up(rain13k, tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.snapshot_download", full)
    with pytest.raises(ResourceError, match="no space left"):
        download_dataset("Test100", tmp_path, progress=False)


def test_a_root_that_cannot_be_written_to(rain13k, tmp_path):
    (tmp_path / "Rain13K").write_text("a file")
    with pytest.raises(DestinationError, match="cannot write here"):
        download_dataset("Test100", tmp_path, progress=False)


def test_sets_that_are_not_on_the_hub(tmp_path):
    with pytest.raises(NothingToDoError, match="Rain800 is not on the Hub") as caught:
        download_dataset("Rain800", tmp_path)
    assert DATASETS["Rain800"].page in str(caught.value)
    with pytest.raises(UsageError, match="no data set"):
        download_dataset("Rain8000000", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_repository_without_pictures(hub, tmp_path):
    hub.files = {"README.md": b"", "data/train-00000.parquet": b"PAR1"}
    with pytest.raises(NothingToDoError, match="no pictures of Rain1400"):
        download_dataset("DDN", tmp_path, progress=False)


def test_archives_are_unpacked_and_found(hub, tmp_path):
    made = tmp_path / "made"
    make_standin(DATASETS["Rain1400"], made, "test", place=3)
    make_standin(DATASETS["Rain1400"], made, "train", place=3)
    files = files_of(made / "DDN-Data")
    for split in ("train", "test"):
        inside = {n.partition("/")[2]: data for n, data in files.items() if n.startswith(split)}
        hub.files[f"{split}.zip"] = packed(inside)
    root = tmp_path / "root"
    download_dataset("Rain1400", root, progress=False)
    for split in ("train", "test"):
        assert len(open_dataset("Rain1400", split, root).pairs) == 6


# --- archives ---------------------------------------------------------------------------------------------------------

PNG = b"\x89PNG, as far as this goes"


def test_an_archive_with_one_folder_gives_that_folder_any_other_its_own_name(tmp_path):
    one, many = tmp_path / "one.zip", tmp_path / "many.zip"
    one.write_bytes(packed({"Rain800/test/1.png": PNG, "Rain800/readme.txt": b"x"}))
    many.write_bytes(packed({"input/1.png": PNG, "target/1.png": PNG, "__MACOSX/input/._1.png": PNG}))
    assert unpack(one) == tmp_path / "Rain800"
    assert unpack(many) == tmp_path / "many"
    assert sorted(files_of(tmp_path / "Rain800")) == ["test/1.png"]
    assert sorted(files_of(tmp_path / "many")) == ["input/1.png", "target/1.png"]
    assert not list(tmp_path.glob(".*partial"))


def test_it_is_unpacked_once_and_again_when_it_changed(tmp_path):
    archive = tmp_path / "set.zip"
    archive.write_bytes(packed({"a/1.png": PNG, "b/1.png": PNG}))
    unpack(archive)
    (tmp_path / "set" / "a" / "1.png").unlink()
    unpack(archive)
    assert not (tmp_path / "set" / "a" / "1.png").exists()
    archive.write_bytes(packed({"a/2.png": PNG, "b/2.png": PNG, "c/2.png": PNG}))
    unpack(archive)
    assert sorted(files_of(tmp_path / "set")) == ["a/2.png", "b/2.png", "c/2.png"]


def test_somebody_elses_folder_is_left_alone(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").write_text("mine")
    (tmp_path / "set.zip").write_bytes(packed({"a/1.png": PNG, "b/1.png": PNG}))
    with pytest.raises(DestinationError, match="already"):
        unpack(tmp_path / "set.zip")
    assert files_of(tmp_path / "set") == {"mine.txt": b"mine"}


@pytest.mark.parametrize("name", ["../out.png", "a/../../out.png", "/tmp/out.png", "..\\out.png", "C:\\out.png"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.fault(36)
def test_names_that_lead_out_are_refused(tmp_path, kind, name):
    archive = tmp_path / "in" / f"set.{kind}"
    archive.parent.mkdir()
    if kind == "zip":
        archive.write_bytes(packed({"a/1.png": PNG, name: PNG}))
    else:
        with tarfile.open(archive, "w") as made:
            for each in ("a/1.png", name):
                info = tarfile.TarInfo(each)
                info.size = len(PNG)
                made.addfile(info, io.BytesIO(PNG))
    with pytest.raises(NothingToDoError, match="paths outside its folder"):
        unpack(archive)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["in", f"set.{kind}"]


def test_links_and_devices_in_a_tar_are_not_made(tmp_path):
    archive = tmp_path / "set.tar.gz"
    with tarfile.open(archive, "w:gz") as made:
        link = tarfile.TarInfo("x/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(link)
        hard = tarfile.TarInfo("x/hard.png")
        hard.type, hard.linkname = tarfile.LNKTYPE, "../../secret"
        made.addfile(hard)
        pipe = tarfile.TarInfo("x/pipe.png")
        pipe.type = tarfile.FIFOTYPE
        made.addfile(pipe)
        info = tarfile.TarInfo("x/1.png")
        info.size = len(PNG)
        made.addfile(info, io.BytesIO(PNG))
    assert unpack(archive) == tmp_path / "x"
    assert files_of(tmp_path / "x") == {"1.png": PNG}
    assert not (tmp_path / "x" / "link.png").is_symlink()


def test_bombs_are_refused_before_they_go_off(tmp_path):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/1.png", bytes(5_000_000))
    (tmp_path / "set.zip").write_bytes(data.getvalue())
    assert MAX_RATIO * len(data.getvalue()) < 5_000_000
    with pytest.raises(NothingToDoError, match="implausible size"):
        unpack(tmp_path / "set.zip")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set.zip"]


@pytest.mark.parametrize("name", ["set.zip", "set.tar", "set.tar.gz"])
@pytest.mark.parametrize("damage", ["noise", "cut", "empty", "nothing in it"])
def test_damaged_archives_are_one_line_and_leave_nothing(tmp_path, name, damage):
    archive = tmp_path / name
    if name.endswith("zip"):
        whole = packed({"a/1.png": os.urandom(20_000), "b/1.png": PNG})
    else:
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w:gz" if name.endswith("gz") else "w") as made:
            info = tarfile.TarInfo("a/1.png")
            info.size = 20_000
            made.addfile(info, io.BytesIO(os.urandom(20_000)))
        whole = data.getvalue()
    damaged = {"noise": os.urandom(3000), "cut": whole[:7000], "empty": b"", "nothing in it": packed({"a.txt": b"x"})}
    archive.write_bytes(damaged[damage])
    with pytest.raises(NothingToDoError) as caught:
        unpack(archive)
    assert str(archive) in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_nothing_stays_where_nothing_came(hub, tmp_path):
    hub.status = 503
    with pytest.raises(NothingToDoError):
        download_dataset("Test100", tmp_path / "root")
    assert not (tmp_path / "root").exists()
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "mine.txt").touch()
    with pytest.raises(NothingToDoError):
        download_dataset("Test100", tmp_path / "kept")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["mine.txt"]
