"""A training that is killed and resumed ends where the uninterrupted one ends, to the bit."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

METHODS = ["dropmax", "class_sampling", "vadd", "temporal_ensembling"]
EPOCHS, BATCHES = 6, 4
# The batches, counted over all methods, in the middle of which the training is killed.
KILLS = [2, 6, 13, 26, 32, 45, 53, 62, 78, 92]


def train(folder, kill_at):
    """Train by each method in turn, as far as it is not trained yet; end by a kill at a batch."""
    import keras
    from cut_models import P, indexed, make_cut_model
    from keras.callbacks import BackupAndRestore, Callback
    from problems import CLASSES, make_model, make_problem

    import keras_softmaxes as ks

    class Kill(Callback):
        def __init__(self, before):
            super().__init__()
            self.before = before

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

        def on_train_batch_end(self, batch, logs=None):
            if self.before + self.epoch * BATCHES + batch == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    makers = [
        lambda: make_model(ks.layers.DropMax(CLASSES)),
        lambda: make_model(ks.layers.ClassSampling(CLASSES, 0.5)),
        lambda: make_cut_model([P.VirtualAdversarialDropout(), P.VirtualAdversarialTraining(0.5)]),
        lambda: make_cut_model([P.TemporalEnsembling(examples=256), P.PiModel()]),
    ]
    x, y = make_problem()
    for number, (method, make) in enumerate(zip(METHODS, makers, strict=True)):
        path = folder / f"{method}.npz"
        if path.exists():
            continue
        keras.utils.set_random_seed(number)
        model = make()
        kill = Kill(number * EPOCHS * BATCHES)
        model.fit(
            indexed(x) if "temporal" in method else x,
            y,
            batch_size=len(x) // BATCHES,
            epochs=EPOCHS,
            shuffle=False,
            verbose=0,
            callbacks=[BackupAndRestore(folder / method), kill],
        )
        np.savez(path, *model.get_weights())


def end_of(folder, kill_at):
    """Return the exit status of a training in a process of its own, on one thread."""
    one_thread = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    path = os.pathsep.join(sys.path)
    environment = {**os.environ, **one_thread, "PYTHONPATH": path}
    command = [sys.executable, __file__, str(folder), str(kill_at)]
    return subprocess.run(command, env=environment, check=False).returncode


@pytest.mark.tensorflow
@pytest.mark.slow
def test_ten_kills_in_the_middle_of_epochs_change_nothing(tmp_path):
    for name in ("killed", "whole"):
        (tmp_path / name).mkdir()
    for kill_at in KILLS:
        assert kill_at % BATCHES != BATCHES - 1
        assert end_of(tmp_path / "killed", kill_at) == -signal.SIGKILL
    assert end_of(tmp_path / "killed", -1) == end_of(tmp_path / "whole", -1) == 0
    for method in METHODS:
        killed, whole = (np.load(tmp_path / name / f"{method}.npz") for name in ("killed", "whole"))
        assert killed.files == whole.files
        for each in whole.files:
            np.testing.assert_array_equal(killed[each], whole[each], err_msg=method)


if __name__ == "__main__":
    train(Path(sys.argv[1]), int(sys.argv[2]))
