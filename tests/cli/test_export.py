"""`derain models export`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Derain, listed

for package in ("onnx", "onnxruntime", "openvino"):
    pytest.importorskip(package, reason="an extra")


@pytest.mark.parametrize(
    ("form", "names"), [("onnx", ["one.onnx"]), ("openvino", ["one.bin", "one.xml"]), ("torchscript", ["one.ts"])]
)
def test_files_have_the_name_of_the_model(derain: Derain, installed: Path, form: str, names: list[str]) -> None:
    ended = derain("models", "export", "one", "--to", form)
    assert ended.code == 0, ended.err
    assert [name for name in listed() if name.startswith("one.")] == names
    for words in ("SHA-256", "rainy, float32 (n, 3, height, width)", "derained", "differs from derain by at most"):
        assert words in ended.out
    again = derain("models", "export", "one", "--to", form)
    assert again.code == 7 and len(again.errors) == 1 and "--overwrite" in again.errors[0]
    (record,) = derain("models", "export", "one", "--to", form, "--overwrite", "--json").records
    assert sorted(record["sha256"]) == names and record["difference"] < 0.01
    assert record["inputs"] == {"rainy": ["n", 3, "height", "width"]}


def test_the_licence_goes_with_the_file(derain: Derain, installed: Path) -> None:
    import onnx

    assert derain("models", "export", "two", "--to", "onnx", "-o", "x.onnx").code == 0
    assert "licence of the weights: for research only" in onnx.load("x.onnx").doc_string


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("one", "--to", "onnx", "-o", "x.xml"), 2, "ends in .onnx"),
        (("one", "--to", "coreml"), 2, "--to"),
        (("one",), 2, "--to"),
        (("three", "--to", "onnx"), 5, "installed: one, two"),
        (("one", "--to", "onnx", "-o", "none/x.onnx"), 7, "no such folder"),
    ],
)
def test_mistakes(derain: Derain, installed: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    ended = derain("models", "export", *arguments)
    assert ended.code == code
    assert len(ended.errors) == 1 and words in ended.errors[0]


def test_onnx_files_are_measured_by_eval(derain: Derain, installed: Path, pair_folder: Path) -> None:
    assert derain("models", "export", "one", "--to", "onnx").code == 0
    ended = derain("eval", "--dataset", pair_folder, "-m", "one.onnx", "--json")
    assert ended.code == 0, ended.err
