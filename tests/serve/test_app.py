"""The page's interface: what comes out is what the command line makes, and nothing stays or leads elsewhere."""

from __future__ import annotations

import io
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from derain_cli.cli import main
from derain_cli.media.clip.reader import open_clip
from derain_cli.media.photo import Metadata, Photo, write_photo, write_rgb
from derain_cli.serve import app as app_module
from derain_cli.serve.registry import Registry
from tests.conftest import make_picture
from tests.sample_clips import write_clip
from tests.serve.conftest import Serve, Served


def jpeg(path: Path, height: int = 48, width: int = 64, seed: int = 0) -> Path:
    """A JPEG that is turned by its EXIF, with a colour profile and a comment."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Image.fromarray(make_picture(height, width, seed))
    picture.save(path, exif=exif, icc_profile=profile, comment=b"by the sea", quality=92)
    return path


def deep_png(path: Path) -> Path:
    pixels = make_picture(40, 56).astype(np.uint16) * 257 + 77
    write_photo(Photo(pixels, alpha=np.full((40, 56), 50_000, np.uint16)), path)
    return path


def grey_tiff(path: Path) -> Path:
    grey = np.repeat(make_picture(40, 56)[..., :1], 3, axis=2).astype(np.uint16) * 200
    write_photo(Photo(grey, grey=True, format="TIFF", metadata=Metadata(dpi=(300.0, 300.0))), path)
    return path


def by_the_command_line(source: Path, folder: Path, *flags: str) -> bytes:
    target = folder / f"out{source.suffix}"
    assert main([str(source), "-o", str(target), "-m", "one", "-d", "cpu", "--precision", "fp32", "-q", *flags]) == 0
    return target.read_bytes()


# --- what comes out -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [jpeg, deep_png, grey_tiff], ids=["jpeg", "png", "tiff"])
@pytest.mark.parametrize("strength", [1.0, 0.35])
def test_the_download_is_the_file_that_the_command_line_writes(
    served: Served, tmp_path: Path, make: Any, strength: float
) -> None:
    source = make(tmp_path / f"in{ {'jpeg': '.jpg', 'deep_png': '.png', 'grey_tiff': '.tif'}[make.__name__] }")
    path = served.added(source, source.name, strength=strength)
    view = served.ended(path)
    assert view["status"] == "done", view
    answer = served.client.get(f"{path}/result")
    assert answer.content == by_the_command_line(source, tmp_path, "--strength", str(strength))
    assert answer.headers["content-disposition"] == f'attachment; filename="in_derained{source.suffix}"'


def test_another_strength_or_model_needs_no_second_upload(served: Served, tmp_path: Path) -> None:
    source = jpeg(tmp_path / "in.jpg")
    path = served.added(source)
    served.ended(path)
    whole = served.client.get(f"{path}/result").content
    for settings in ({"strength": 0.5}, {"model": "two"}):
        assert served.client.post(f"{path}/settings", params=settings).status_code == 202
        view = served.ended(path)
        assert view["status"] == "done"
        assert view["result"]["name"] == "a_derained.jpg"
        assert served.client.get(f"{path}/result").content != whole
    assert view["result"] | {"model": "two", "strength": 1.0} == view["result"]
    assert [name for name in served.left() if name.startswith("upload")] == ["upload.jpg"] * 2  # and its output


def test_stills_are_what_browsers_show_and_the_one_after_is_at_full_strength(served: Served, tmp_path: Path) -> None:
    path = served.added(grey_tiff(tmp_path / "in.tif"), "in.tif", strength=0.2)
    view = served.ended(path)
    assert view["after"]["strength"] == 1.0
    assert view["settings"]["strength"] == 0.2
    for side in ("before", "after"):
        answer = served.client.get(f"{path}/{side}/0")
        assert answer.headers["content-type"] == "image/jpeg"
        assert Image.open(io.BytesIO(answer.content)).size == (56, 40)
        assert served.client.get(f"{path}/{side}/1").status_code == 404
    assert (
        served.client.get(f"{served.added(deep_png(tmp_path / 'b.png'), 'b.png')}/before/0").headers["content-type"]
        == "image/png"
    )


def test_stills_of_large_photos_are_small_enough_for_a_screen(served: Served, tmp_path: Path) -> None:
    write_rgb(tmp_path / "wide.png", np.zeros((20, 4100, 3), np.uint8))
    path = served.added(tmp_path / "wide.png", "wide.png")
    still = Image.open(io.BytesIO(served.client.get(f"{path}/before/0").content))
    assert still.size == (2048, 10)


def test_a_clip_comes_out_whole_with_stills_of_the_same_moments(served: Served, tmp_path: Path) -> None:
    path = served.added(write_clip(tmp_path / "c.mp4", frames=10, audio=["aac"]), "walk.mp4", model="three")
    view = served.ended(path)
    assert (view["kind"], view["status"], view["frames"]) == ("clip", "done", 10)
    assert len(view["moments"]) == 5
    assert all(served.client.get(f"{path}/{side}/4").status_code == 200 for side in ("before", "after"))
    (tmp_path / "out.mp4").write_bytes(served.client.get(f"{path}/result").content)
    with open_clip(tmp_path / "out.mp4") as reader:
        assert len(list(reader)) == 10
    part = served.client.get(f"{path}/result", headers={"Range": "bytes=0-9"})
    assert (part.status_code, len(part.content)) == (206, 10)  # players ask for parts


def test_a_clip_without_a_length_of_its_own_has_one_still(served: Served, tmp_path: Path) -> None:
    first, *others = (Image.fromarray(make_picture(32, 48, seed)) for seed in range(4))
    for name in ("a.gif", "b.png"):
        first.save(tmp_path / name, save_all=True, append_images=others)
        path = served.added(tmp_path / name, name)
        view = served.ended(path)
        assert (view["kind"], view["status"]) == ("clip", "done"), view
        assert view["moments"]
        for side in ("before", "after"):
            assert served.client.get(f"{path}/{side}/{len(view['moments']) - 1}").status_code == 200


def test_all_results_in_one_file_whatever_they_are_called(served: Served, tmp_path: Path) -> None:
    paths = [served.added(jpeg(tmp_path / f"{n}.jpg", seed=n), "same.jpg") for n in range(2)]
    assert served.client.get(f"{served.session}/results.zip").status_code in (200, 404)
    alone = [served.client.get(f"{path}/result").content for path in paths if served.ended(path)]
    archive = zipfile.ZipFile(io.BytesIO(served.client.get(f"{served.session}/results.zip").content))
    assert archive.testzip() is None
    assert {name: archive.read(name) for name in archive.namelist()} == {
        "same_derained.jpg": alone[0],
        "same_derained (2).jpg": alone[1],
    }


def test_what_cannot_be_restored_is_told_and_the_next_goes_on(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = jpeg(tmp_path / "a.jpg")
    for content, name, reason in (
        (b"no picture at all", "a.jpg", "not a photo or video clip"),
        (good.read_bytes()[:500], "a.jpg", "truncated"),
        (b"%PDF-1.7 ...............", "a.jpg", "PDF"),
        (b"G" * 400, "a.ts", "video"),
    ):
        answer = served.upload(content, name)
        assert answer.status_code == 422
        assert reason in answer.json()["reason"]
        assert str(served.place) not in answer.text
    assert served.left() == []
    assert served.upload(good, model="three").json()["hint"] == "choose another model"
    assert served.upload(good, model="none").status_code == 400
    assert served.upload(good, strength="2").json()["reason"] == "strength must be 0 to 1, not 2.0"
    assert served.upload(good, strength="nan").status_code == 400
    assert served.ended(served.added(good))["status"] == "done"


def test_a_photo_that_fails_in_the_work_can_be_tried_again(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Any, expected: float | None) -> None:
        raise ZeroDivisionError("nobody thought of that")

    with monkeypatch.context() as broken:
        broken.setattr("derain_cli.serve.restoring.Round.run", fails)
        path = served.added(jpeg(tmp_path / "a.jpg"))
        view = served.ended(path)
        assert view["problem"]["reason"] == "internal error: ZeroDivisionError"
        assert [type(error) for error in served.errors] == [ZeroDivisionError]
    assert served.client.post(f"{path}/settings").status_code == 202
    assert served.ended(path)["problem"] is None


# --- what stays -----------------------------------------------------------------------------------------------------


def test_nothing_stays_of_what_is_removed_or_of_a_page_that_is_closed(served: Served, tmp_path: Path) -> None:
    first, second = (served.added(jpeg(tmp_path / "a.jpg")) for _ in range(2))
    served.ended(second)
    assert served.client.delete(first).status_code == 204
    assert served.client.get(f"{first}/result").status_code == 404
    assert len([name for name in served.left() if name == "upload.jpg"]) == 2  # the other one and its output
    assert served.client.delete(served.session).status_code == 204
    assert served.client.delete(served.session).status_code == 204
    assert served.left() == []
    assert served.upload(jpeg(tmp_path / "a.jpg")).status_code == 404
    assert served.left() == []


def test_work_on_what_is_removed_is_stopped_and_the_next_begins(served: Served, tmp_path: Path) -> None:
    long = served.added(write_clip(tmp_path / "c.mp4", frames=3000), "c.mp4")
    served.ended(long, "restoring")
    short = served.added(jpeg(tmp_path / "a.jpg"))
    assert served.view(short)["ahead"] == 0
    served.client.delete(long)
    assert served.ended(short)["status"] == "done"
    assert not [name for name in served.left() if name.endswith((".mp4", ".mkv", ".json"))]


def test_a_page_that_went_silent_is_closed(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "_TIDY_EVERY", 0.05)
    served = serve(keep=0.6)
    served.added(jpeg(tmp_path / "a.jpg"))
    for _ in range(10):  # one that is heard of stays
        time.sleep(0.1)
        assert served.client.get(served.session).status_code == 200
    deadline = time.monotonic() + 30
    while served.left():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "inactive" in served.client.get(served.session).json()["reason"]


# --- what leads nowhere ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "../../../x.jpg",
        "/etc/passwd",
        "..\\..\\x.jpg",
        "a\0b.jpg",
        "\r\nSet-Cookie: a=b.jpg",
        "..",
        "",
        "x" * 5000 + ".jpg",
    ],
)
def test_names_are_never_paths(served: Served, tmp_path: Path, name: str) -> None:
    source = jpeg(tmp_path / "a.jpg")
    before = sorted(tmp_path.rglob("*"))
    path = served.added(source, name)
    view = served.ended(path)
    assert view["status"] == "done"
    assert not set(view["name"]) & set("/\\\0\r\n")
    assert 0 < len(view["name"]) <= 120
    answer = served.client.get(f"{path}/result")
    assert "set-cookie" not in answer.headers
    names = {each.name for each in served.place.rglob("*") if each.is_file()}
    assert {each.split(".")[0] for each in names} <= {"lock", "upload", "before", "after"}
    served.client.delete(path)
    assert sorted(each for each in tmp_path.rglob("*") if served.place not in (each, *each.parents)) == [
        each for each in before if served.place not in (each, *each.parents)
    ]


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static/%2fetc%2fpasswd",
        "/static/..%5capp.py",
        "/static/",
        "/app.py",
        "/api/sessions/..%2f..%2f",
        "/api/sessions/x/files/..%2f1/result",
        "/api/sessions/x/files/-1/result",
    ],
)
def test_no_address_leads_to_the_disk(served: Served, path: str) -> None:
    answer = served.client.get(path)
    assert answer.status_code in (404, 405)
    assert "import" not in answer.text


def test_sessions_see_only_their_own(served: Served, tmp_path: Path) -> None:
    path = served.added(jpeg(tmp_path / "a.jpg"))
    other = served.opened()
    assert served.client.get(other).json() == {"files": []}
    number = path.rpartition("/")[2]
    for tail in ("result", "before/0", "after/0"):
        assert served.client.get(f"{other}/files/{number}/{tail}").status_code == 404
    assert served.client.post(f"{other}/files/{number}/settings").status_code == 404
    assert served.client.delete(f"{other}/files/{number}").status_code == 204
    assert served.view(path)["name"] == "a.jpg"
    names = {served.opened() for _ in range(20)}
    assert len(names) == 20
    assert min(len(name.rpartition("/")[2]) for name in names) >= 32


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 200), ("GET", "/static/app.js", 200), ("GET", "/nothing", 404), ("GET", "/api/about", 200)],
)
def test_browsers_are_told_to_load_nothing_from_elsewhere(served: Served, method: str, path: str, status: int) -> None:
    answer = served.client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-security-policy"].startswith("default-src 'self';")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "set-cookie" not in answer.headers
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_bug_is_told_without_its_details(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Registry) -> None:
        raise KeyError("secret place")

    monkeypatch.setattr(Registry, "open", fails)
    answer = served.client.post("/api/sessions")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["content-security-policy"]
    assert [type(error) for error in served.errors] == [KeyError]


def test_files_of_the_page_name_no_other_place() -> None:
    place = Path(app_module.__file__).with_name("static")
    names = {file.name for file in place.iterdir()}
    assert {"index.html", "style.css", "app.js"} <= names
    for file in place.iterdir():
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text, file.name
        assert "<script>" not in text, file.name
        assert "style=" not in text, file.name


def test_what_is_offered(served: Served) -> None:
    about = served.client.get("/api/about").json()
    assert about["model"] == "one"
    assert [(each["name"], each["photos"]) for each in about["models"]] == [
        ("one", True),
        ("three", False),
        ("two", True),
    ]
    assert about["models"][0]["licence"] == "any"
