"""Programs that run graphs."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("openvino", reason="an extra")


def test_openvino_is_loaded_without_its_telemetry():
    code = "import sys; from derain_cli.engine.runtimes import OpenVino; OpenVino(); "
    code += "print([name for name in sys.modules if name.startswith('openvino_telemetry')])"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"
