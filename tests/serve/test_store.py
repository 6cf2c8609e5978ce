"""The private folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from derain_cli.errors import ResourceError
from derain_cli.serve.store import Store


def test_it_is_for_this_user_alone_and_goes_at_the_end(tmp_path: Path) -> None:
    with Store(tmp_path / "root") as store:
        assert store.place.stat().st_mode & 0o077 == 0
        one, two = store.new_folder(), store.new_folder()
        assert one != two
        (one / "upload.jpg").write_bytes(b"private")
        assert store.free() > 0
    assert list((tmp_path / "root").rglob("*")) == [tmp_path / "root" / "lock"]


def test_what_a_killed_server_left_is_deleted_by_the_next_and_what_a_running_one_has_is_not(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from derain_cli.serve.store import Store\n"
        "store = Store(Path(sys.argv[1])).__enter__()\n"
        "(store.new_folder() / 'upload.jpg').write_bytes(b'private')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert [each.read_bytes() for each in tmp_path.rglob("upload.jpg")] == [b"private"]
    with Store(tmp_path) as one:
        assert not list(tmp_path.rglob("upload.jpg"))
        kept = one.new_folder()
        with Store(tmp_path) as two:
            assert kept.is_dir()
            assert one.place != two.place
        assert kept.is_dir()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="one user")
def test_a_name_that_somebody_else_has_taken_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    with Store() as usual:
        assert usual.place.parent == tmp_path / f"derain-serve-{os.getuid()}"
    elsewhere = tmp_path / "theirs"
    elsewhere.mkdir()
    (tmp_path / f"derain-serve-{os.getuid()}" / "lock").unlink()
    (tmp_path / f"derain-serve-{os.getuid()}").rmdir()
    (tmp_path / f"derain-serve-{os.getuid()}").symlink_to(elsewhere)
    with Store() as other:
        assert elsewhere not in other.place.resolve().parents
        assert not list(elsewhere.iterdir())


def test_no_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match="cannot create"), Store(tmp_path / "file"):
        pass
