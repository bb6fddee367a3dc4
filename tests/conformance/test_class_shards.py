"""Every head trains with its classes split over devices as it does on one."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import pytest

SCRIPT = Path(__file__).parent.parent / "class_shards.py"


@pytest.mark.slow
@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="it runs once, beside the tests on TensorFlow"
)
def test_classes_that_eight_devices_share_train_as_on_one():
    pytest.importorskip("jax")
    command = [sys.executable, SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) >= 13
    for name, head in found.items():
        assert head["difference"] < 1e-6, name
        assert head["share"] <= 1 / 7, name
