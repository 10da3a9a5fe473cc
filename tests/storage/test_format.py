"""Files: what is saved is loaded, writing is whole or not at all, damage never loads wrongly."""

from __future__ import annotations

import math
import os
import random
import stat

import numpy as np
import pytest
import safetensors.numpy
from storage_fake import Fake, same, same_estimator

from frozenfit.storage import StorageError, check_writable, files, load, save


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Where a file may be; the stand-in is one of ours for as long as the test runs."""
    monkeypatch.setitem(files._CLASSES, "Fake", "storage_fake:Fake")
    return tmp_path / "model.frozenfit"


@pytest.mark.parametrize("kind", [str, os.fspath, os.fsencode, lambda path: path])
def test_what_is_saved_is_loaded(path, kind):
    saved = Fake(trainable=(0.1, [2]), random_state=3).fit()
    save(saved, kind(path))
    assert same_estimator(load(kind(path)), saved)


def test_meta_and_base_reach_the_estimator(path):
    save(Fake().fit(), path, include_frozen=True)
    loaded = load(path, base="a base")
    assert loaded.base_ == "a base"
    assert loaded.meta_["whole"] is True
    assert loaded.meta_["history"][0] == 0.5 and math.isnan(loaded.meta_["history"][1])


def test_the_file_is_a_safetensors_file(path):
    estimator = Fake().fit()
    save(estimator, path)
    found = safetensors.numpy.load_file(path)
    assert same(dict(sorted(found.items())), dict(sorted(estimator.arrays_.items())))


def test_the_same_estimator_gives_the_same_bytes(path, tmp_path):
    save(Fake().fit(), path)
    save(Fake().fit(), tmp_path / "other")
    assert path.read_bytes() == (tmp_path / "other").read_bytes()


def test_arrays_of_any_order_keep_their_values(path):
    estimator = Fake().fit()
    kernel = estimator.arrays_["dense/kernel"]
    estimator.arrays_["turned"] = kernel.T
    estimator.arrays_["swapped"] = kernel.astype(">f8")
    save(estimator, path)
    loaded = load(path).arrays_
    np.testing.assert_array_equal(loaded["turned"], kernel.T)
    np.testing.assert_array_equal(loaded["swapped"], kernel)


def test_loaded_arrays_can_be_written_to(path):
    save(Fake().fit(), path)
    assert all(array.flags.writeable for array in load(path).arrays_.values())


def test_bfloat16_is_kept(path):
    import ml_dtypes

    estimator = Fake().fit()
    estimator.arrays_["half"] = np.arange(3).astype(ml_dtypes.bfloat16)
    save(estimator, path)
    assert load(path).arrays_["half"].dtype == ml_dtypes.bfloat16
    assert load(path).arrays_["half"].tolist() == [0, 1, 2]


def test_a_value_that_contains_itself_is_refused(path):
    value = []
    value.append(value)
    with pytest.raises(ValueError, match="contains itself"):
        save(Fake(trainable=value).fit(), path)


def test_an_estimator_that_is_not_fitted_is_refused(path):
    with pytest.raises(ValueError, match="not fitted"):
        save(Fake(), path)


def test_other_estimators_are_refused(path):
    class Mine(Fake):
        pass

    with pytest.raises(ValueError, match="got Mine"):
        save(Mine().fit(), path)


def test_an_array_of_another_type_is_refused(path):
    estimator = Fake().fit()
    estimator.arrays_["text"] = np.array(["a"])
    with pytest.raises(ValueError, match="cannot contain the array 'text'"):
        save(estimator, path)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failing_write_leaves_the_old_file_and_nothing_else(path, monkeypatch, call):
    save(Fake(random_state=1).fit(), path)

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space left"):
        save(Fake(random_state=2).fit(), path)
    assert load(path).random_state == 1
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_write_leaves_nothing(path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(Fake().fit(), path)
    assert list(path.parent.iterdir()) == []


def test_file_and_folder_are_synced_around_the_renaming(path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor):
        calls.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def noted_replace(source, target):
        calls.append("rename")
        assert os.path.dirname(source) == os.path.dirname(target)
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    save(Fake().fit(), path)
    assert calls == ["file", "rename", "folder"]


def test_a_new_file_gets_the_mode_of_the_umask(path):
    old = os.umask(0o027)
    try:
        save(Fake().fit(), path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_replaced_file_keeps_its_mode(path):
    path.touch()
    path.chmod(0o600)
    save(Fake().fit(), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_symbolic_link_is_followed(path, tmp_path):
    link = tmp_path / "latest"
    link.symlink_to(path)
    save(Fake().fit(), link)
    assert link.is_symlink() and path.is_file()


@pytest.mark.parametrize("write", [check_writable, lambda path: save(Fake().fit(), path)])
def test_a_path_that_cannot_be_written_is_one_sentence(path, tmp_path, monkeypatch, write):
    with pytest.raises(ValueError, match="No such file or directory; give"):
        write(tmp_path / "absent" / "m.frozenfit")
    with pytest.raises(ValueError, match="it is a folder; give"):
        write(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="Not a directory; give"):
        write(tmp_path / "file" / "m.frozenfit")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ValueError, match="Permission denied; give"):
        write(tmp_path / "m.frozenfit")


def test_checking_a_path_leaves_nothing(path):
    check_writable(path)
    assert list(path.parent.iterdir()) == []


def saved_bytes(folder):
    save(Fake(random_state=5).fit(), folder / "whole")
    return (folder / "whole").read_bytes()


def exact_or_refused(path, data):
    """Load altered bytes: True where that gave the exact model, False where it was refused."""
    path.write_bytes(data)
    try:
        loaded = load(path)
    except StorageError:
        return False
    assert same_estimator(loaded, Fake(random_state=5).fit())
    return True


def test_any_flipped_bit_gives_the_exact_model_or_a_storage_error(path, tmp_path):
    whole = saved_bytes(tmp_path)
    chosen = random.Random(0).sample(range(64, 8 * len(whole)), 400)
    exact = 0
    for bit in [*range(64), *chosen]:
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        exact += exact_or_refused(path, bytes(data))
    assert exact < 10


def test_any_truncation_is_refused(path, tmp_path):
    whole = saved_bytes(tmp_path)
    for size in [*range(20), *random.Random(1).sample(range(20, len(whole)), 150), len(whole) - 1]:
        assert not exact_or_refused(path, whole[:size])


def test_any_addition_is_refused(path, tmp_path):
    whole = saved_bytes(tmp_path)
    for more in (b"\0", b" ", b"x" * 4096):
        assert not exact_or_refused(path, whole + more)


def test_several_changed_bytes_give_the_exact_model_or_a_storage_error(path, tmp_path):
    whole = saved_bytes(tmp_path)
    rng = random.Random(2)
    for _ in range(150):
        data = bytearray(whole)
        for place in rng.sample(range(len(whole)), rng.randint(1, 5)):
            data[place] = rng.randrange(256)
        exact_or_refused(path, bytes(data))
