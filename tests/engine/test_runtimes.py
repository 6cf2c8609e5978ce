"""Programs that run graphs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("openvino", reason="an extra")

_SIGNAL = """
import ctypes, gc, signal, threading
from onnx import TensorProto, helper
from derain_cli.engine.runtimes import OpenVino

class Stack(ctypes.Structure):
    _fields_ = [("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]

def signal_stack():
    stack = Stack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack))
    return stack.start, stack.size

before = signal_stack()
ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy"]
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "net", ends[:1], ends[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
engine = OpenVino()
held = [engine, engine.compile(model)]
del engine
assert signal_stack() == before
thread = threading.Thread(target=held.clear)
thread.start()
thread.join()
gc.collect()
assert signal_stack() == before
signal.signal(signal.SIGTERM, lambda *_: print("caught"))
signal.raise_signal(signal.SIGTERM)
"""


def test_openvino_is_loaded_without_its_telemetry():
    code = "import sys; from derain_cli.engine.runtimes import OpenVino; OpenVino(); "
    code += "print([name for name in sys.modules if name.startswith('openvino_telemetry')])"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sigaltstack")
def test_openvino_leaves_the_signal_stack_of_the_main_thread_alone():
    done = subprocess.run([sys.executable, "-X", "faulthandler", "-c", _SIGNAL], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "caught\n"), done.stderr


def test_onnx_runtime_is_loaded_without_its_telemetry(tmp_path: Path):
    pytest.importorskip("onnxruntime", reason="an extra")
    code = "from derain_cli.engine.runtimes import OnnxRuntime; OnnxRuntime()"
    # It sends nothing where it takes itself to be tested.
    usual = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if name in os.environ}
    subprocess.run([sys.executable, "-c", code], check=True, env=usual | {"HOME": str(tmp_path)})
    assert [path for path in tmp_path.rglob("*") if "onnx" in path.name] == []
