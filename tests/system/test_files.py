"""Properties of `derain_cli.system.files`: a file is complete or absent, and earlier content survives a failure."""

from __future__ import annotations

import errno
import os
import re
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from derain_cli.errors import DestinationError, InputError, ResourceError
from derain_cli.system.files import atomic_bytes, atomic_file, atomic_text, changed_of, files_of, size_of, sweep_stale

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX file kinds and limits")


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def temporary_name(folder: Path, pid: int, *, host: str | None = None) -> Path:
    """A name of the program's own pattern, derived from a real one so that the test need not know the pattern."""
    with atomic_file(folder / "probe", overwrite=True) as temporary:
        real = temporary.name
    (folder / "probe").unlink()
    parts = real.split("-")
    parts[2] = str(pid)
    parts[1] = host or parts[1]
    return folder / "-".join(parts)


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_clean_exit_leaves_exactly_the_new_file(tmp_path: Path, overwrite: bool) -> None:
    with atomic_file(tmp_path / "a.bin", overwrite=overwrite) as temporary:
        assert temporary.parent == tmp_path and temporary.name.startswith(".")
        assert not (tmp_path / "a.bin").exists()
        temporary.write_bytes(b"new")
    assert names(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"new"


def test_overwrite_replaces_and_the_default_of_the_conveniences_is_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    atomic_text(path, "ä\r\n")
    atomic_text(path, "ö\n")
    assert path.read_bytes() == "ö\n".encode()
    with pytest.raises(DestinationError):
        atomic_bytes(path, b"x", overwrite=False)
    assert path.read_bytes() == "ö\n".encode()
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyboardInterrupt(), SystemExit(3), InputError("bad")])
def test_any_exception_keeps_the_old_file_and_leaves_no_temporary(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(type(error)) as caught, atomic_file(path, overwrite=True) as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert caught.value is error
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG])
@pytest.mark.fault(41)
def test_a_full_or_failing_disk_in_the_block_is_a_resource_error(tmp_path: Path, number: int) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(ResourceError) as caught, atomic_file(path, overwrite=True) as temporary:
        temporary.write_bytes(b"half")
        raise OSError(number, os.strerror(number))
    assert caught.value.path == path and caught.value.hint
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.fault(41)
def test_a_disk_that_fails_only_when_flushed_is_a_resource_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def failing(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(ResourceError), atomic_file(path, overwrite=True) as temporary:
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@posix
@pytest.mark.fault(39)
def test_a_real_write_limit_is_a_resource_error_and_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from pathlib import Path; from derain_cli.system.files import atomic_bytes\n"
        "from derain_cli.errors import ResourceError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: atomic_bytes(Path(sys.argv[1]), bytes(5000))\n"
        "except ResourceError: sys.exit(6)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], cwd=root, timeout=60)
    assert done.returncode == 6
    assert names(tmp_path) == []


@posix
@pytest.mark.fault(48)
def test_a_process_killed_while_writing_leaves_no_final_name_and_is_swept(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from derain_cli.system.files import atomic_file\n"
        "with atomic_file(Path(sys.argv[1]), overwrite=False) as t:\n"
        "    t.write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], cwd=root, timeout=60)
    assert len(names(tmp_path)) == 1 and not (tmp_path / "a").exists()
    assert sweep_stale(tmp_path) == 1
    assert names(tmp_path) == []


def test_a_file_that_came_meanwhile_wins_without_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with pytest.raises(DestinationError, match="meanwhile"), atomic_file(path, overwrite=False) as temporary:
        temporary.write_bytes(b"mine")
        path.write_bytes(b"theirs")
    assert path.read_bytes() == b"theirs"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.fault(49)
def test_of_many_writers_without_overwrite_one_wins_whole(tmp_path: Path) -> None:
    path, refused = tmp_path / "a.bin", []

    def write(letter: bytes) -> None:
        try:
            atomic_bytes(path, letter * 100_000, overwrite=False)
        except DestinationError:
            refused.append(letter)

    threads = [threading.Thread(target=write, args=(bytes([65 + n]),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = path.read_bytes()
    assert len(refused) == 7 and len(content) == 100_000 and len(set(content)) == 1
    assert names(tmp_path) == ["a.bin"]


def test_no_overwrite_holds_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", no_links)
    atomic_bytes(tmp_path / "a", b"1", overwrite=False)
    assert (tmp_path / "a").read_bytes() == b"1"
    with pytest.raises(DestinationError), atomic_file(tmp_path / "b", overwrite=False) as temporary:
        temporary.write_bytes(b"mine")
        (tmp_path / "b").write_bytes(b"theirs")
    assert (tmp_path / "b").read_bytes() == b"theirs"
    assert names(tmp_path) == ["a", "b"]


@posix
def test_mode_follows_the_umask_even_if_a_library_made_its_own_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        atomic_bytes(tmp_path / "plain", b"1")
        with atomic_file(tmp_path / "replaced", overwrite=False) as temporary:
            other = tmp_path / "other"
            other.write_bytes(b"2")
            other.chmod(0o600)
            other.replace(temporary)
    finally:
        os.umask(before)
    for name in ("plain", "replaced"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o640
    assert (tmp_path / "replaced").read_bytes() == b"2"


@posix
def test_folders_and_fifos_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name in ("folder", "fifo"):
        with pytest.raises(DestinationError), atomic_file(tmp_path / name, overwrite=True):
            pytest.fail("the block must not run")
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)
    assert names(tmp_path) == ["fifo", "folder"]


@posix
def test_a_symbolic_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_bytes(b"old")
    (tmp_path / "link").symlink_to(Path("real") / "a")
    (tmp_path / "dangling").symlink_to(Path("real") / "b")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(DestinationError):
        atomic_bytes(tmp_path / "link", b"new", overwrite=False)
    with pytest.raises(DestinationError):
        atomic_bytes(tmp_path / "dangling", b"new", overwrite=False)
    with pytest.raises(DestinationError):
        atomic_bytes(tmp_path / "loop", b"new")
    atomic_bytes(tmp_path / "link", b"new")
    atomic_bytes(tmp_path / "dangling", b"made")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "dangling").is_symlink()
    assert (tmp_path / "real" / "a").read_bytes() == b"new"
    assert names(tmp_path / "real") == ["a", "b"]


def test_a_missing_folder_or_too_long_a_name_is_a_destination_error(tmp_path: Path) -> None:
    with pytest.raises(DestinationError, match="folder does not exist"):
        atomic_bytes(tmp_path / "none" / "a", b"")
    with pytest.raises(DestinationError):
        atomic_bytes(tmp_path / ("x" * 300), b"")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DestinationError):
        atomic_bytes(tmp_path / "file" / "a", b"")
    assert names(tmp_path) == ["file"]


@posix
@pytest.mark.parametrize("name", [b"x" * 255, b"\xff\xfe.png", b"-rf.png", "😀 ".encode(), b"line\nbreak\x1b[31m"])
@pytest.mark.fault(26)
def test_any_file_name_the_system_allows_works(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    try:
        path.touch()
        path.unlink()
    except OSError:
        pytest.skip("this file system does not allow the name")
    atomic_bytes(path, b"1", overwrite=False)
    assert [os.fsencode(p.name) for p in tmp_path.iterdir()] == [name]


def test_undecodable_names_survive_in_text(tmp_path: Path) -> None:
    atomic_text(tmp_path / "list.txt", os.fsdecode(b"caf\xe9.png") if os.name == "posix" else "café.png")
    assert b"caf" in (tmp_path / "list.txt").read_bytes()


@posix
@pytest.mark.fault(50)
def test_sweep_takes_the_dead_and_leaves_the_living_and_the_foreign(tmp_path: Path) -> None:
    dead, mine = temporary_name(tmp_path, dead_pid()), temporary_name(tmp_path, os.getpid())
    far_old = temporary_name(tmp_path, os.getpid(), host="00000000")
    far_new = temporary_name(tmp_path, dead_pid(), host="00000000")
    foreign = tmp_path / ".derain-notes.tmp"
    for path in (dead, mine, far_old, far_new, foreign, tmp_path / "photo.png"):
        path.write_bytes(b"1")
    folder = temporary_name(tmp_path, dead_pid())
    folder.mkdir()
    two_days_ago = time.time() - 2 * 86400
    for path in (mine, far_old, foreign):
        os.utime(path, (two_days_ago, two_days_ago))
    assert sweep_stale(tmp_path) == 2
    assert names(tmp_path) == sorted(p.name for p in (mine, far_new, foreign, folder, tmp_path / "photo.png"))
    assert sweep_stale(tmp_path / "missing") == 0


def test_the_temporary_name_carries_the_process_and_is_short(tmp_path: Path) -> None:
    with atomic_file(tmp_path / ("y" * 200), overwrite=False) as temporary:
        assert re.search(rf"-{os.getpid()}-", temporary.name)
        assert len(temporary.name) < 60


def test_a_folder_that_is_one_input_is_the_files_in_it_that_are_not_hidden(tmp_path: Path) -> None:
    for name, content in (("b.png", b"22"), ("a.png", b"1"), (".derain.jsonl", b"hidden")):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder").mkdir()
    os.utime(tmp_path / "a.png", ns=(5, 10**18 + 7))
    os.utime(tmp_path / "b.png", ns=(5, 10**18))
    os.utime(tmp_path / ".derain.jsonl", ns=(5, 2 * 10**18))
    assert [each.name for each in files_of(tmp_path)] == ["a.png", "b.png"]
    assert (size_of(tmp_path), changed_of(tmp_path)) == (3, 10**18 + 7)
    assert (size_of(tmp_path / "b.png"), changed_of(tmp_path / "b.png")) == (2, 10**18)
    with pytest.raises(FileNotFoundError):
        size_of(tmp_path / "none.png")
