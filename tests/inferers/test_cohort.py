"""Many processes, one folder: every case once, the masks of a single run, whoever dies in between and whenever."""

import csv
import json
import os
import random
import shutil
import signal
import threading
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_supmix.errors import InputError
from monai_supmix.inferers import claims, collect, inputs, one_case, predict
from monai_supmix.inferers.claims import Claims, Owner, claim_file
from monai_supmix.inferers.cohort import Cohort
from monai_supmix.inferers.collecting import make_way
from tests.inferers import cohort_workers as workers
from tests.inferers.tiny import scan

NAMES = [f"site {index % 2}/p{index}/ct.nii.gz" for index in range(9)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort") / "data"
    for index, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True)
        nib.save(nib.Nifti1Image(scan(seed=index), np.diag([-0.7, -0.7, 2.5, 1.0])), folder / name)
    return folder


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """What a single run writes."""
    output = tmp_path_factory.mktemp("cohort") / "whole"
    workers.predict(data, output)
    collect(output)
    return output


def tree(folder: Path) -> dict[str, bytes]:
    """All that users see, and what is left hidden, apart from the state of the cohort itself."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name != ".cohort/collected.json"}


def told(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def rows(output: Path, table: str = "cases.csv") -> dict[str, str]:
    with (output / table).open(encoding="utf-8") as file:
        return {row["case"]: row["status"] for row in csv.DictReader(file)}


def test_the_table_of_a_whole_run(whole):
    assert rows(whole) == dict.fromkeys(NAMES, "done")
    summary = told(whole / "summary.json")
    assert [summary[key] for key in ("cases", "done", "failed", "open", "failures")] == [9, 9, 0, 0, []]


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_shards_give_the_tree_of_one_run_in_any_order(data, whole, tmp_path, order):
    written = []
    for done, index in enumerate(order, 1):
        written += workers.predict(data, tmp_path, shard=f"{index}/3").written
        assert collect(tmp_path)["open"] == 9 - 3 * done
    assert len(written) == len(set(written)) == 9
    assert tree(tmp_path) == tree(whole)


@pytest.mark.parametrize(("shards", "readers"), [(("1/3", "2/3", "3/3"), 1), ((None, None), 1), ((None, None), 3)])
def test_at_once_every_case_is_predicted_once(data, whole, tmp_path, shards, readers):
    output = tmp_path / "out"
    results = [tmp_path / f"{number}.json" for number, _ in enumerate(shards)]
    options = [{"shard": shard, "readers": readers} for shard in shards]
    started = [workers.start(data, output, result, **own) for result, own in zip(results, options, strict=True)]
    assert workers.finish(*started) == [0] * len(shards)
    written = [mask for result in results for mask in told(result)["written"]]
    assert sorted(written) == [str(output / name.replace(".nii", "_seg.nii")) for name in sorted(NAMES)]
    collect(output)
    assert tree(output) == tree(whole)


def test_the_processes_of_a_launch_share_the_cases_and_know_all_results(data, whole, tmp_path):
    output, results = tmp_path / "out", [tmp_path / f"{rank}.json" for rank in range(2)]
    ranks = [(rank, 2, tmp_path / "meeting") for rank in range(2)]
    launched = [workers.start(data, output, result, ranks=rank) for result, rank in zip(results, ranks, strict=True)]
    assert workers.finish(*launched) == [0, 0]
    first, second = map(told, results)
    assert first == second and len(first["written"]) == 9
    collect(output)
    assert tree(output) == tree(whole)


def test_a_launch_checks_everything_before_the_first_mask(data, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    (tmp_path / "data" / NAMES[4]).write_bytes(b"no image")
    results = [tmp_path / f"{rank}.json" for rank in range(2)]
    ranks = [(rank, 2, tmp_path / "meeting") for rank in range(2)]
    where = (tmp_path / "data", tmp_path / "out")
    workers.finish(*(workers.start(*where, result, ranks=rank) for result, rank in zip(results, ranks, strict=True)))
    assert all("but is not gzip" in told(result)["error"] for result in results)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("readers", [1, 4])
@pytest.mark.parametrize(
    "at", [("claimed", 0), ("recorded", 0), ("recorded", 3), ("written", 2), ("noted", 1), ("noted", 8)]
)
def test_killed_at_any_step_and_started_again_it_ends_as_if_never_killed(data, whole, tmp_path, at, readers):
    assert workers.finish(workers.start(data, tmp_path, at=at, readers=readers)) == [-signal.SIGKILL]
    assert list((tmp_path / ".cohort").glob("*.member"))  # it had no time to tidy up
    workers.predict(data, tmp_path, readers=readers)
    collect(tmp_path)
    assert tree(tmp_path) == tree(whole)


def test_others_finish_what_a_killed_one_had_begun(data, whole, tmp_path):
    output, result = tmp_path / "out", tmp_path / "result.json"
    doomed = workers.start(data, output, at=("claimed", 2))
    other = workers.start(data, output, result)
    assert workers.finish(doomed, other) == [-signal.SIGKILL, 0]
    assert len(told(result)["written"] + told(result)["skipped"]) == 9
    collect(output)
    assert tree(output) == tree(whole)


@pytest.mark.slow
def test_killed_at_random_again_and_again(data, whole, tmp_path):
    draw, kills = random.Random(0), 0
    while kills < 12:
        started = [workers.start(data, tmp_path, shard=shard) for shard in draw.choice([(None, None), ("1/2", "2/2")])]
        for process in started:
            process.join(timeout=draw.uniform(0, 0.6))  # waits so long, or until it ends
            process.kill()
        kills += sum(status != 0 for status in workers.finish(*started))
        if len(list(tmp_path.rglob("*_seg.nii.gz"))) > 6:  # there must be something left to do
            for mask in tmp_path.rglob("*_seg.nii.gz"):
                mask.unlink()
    assert workers.finish(*(workers.start(data, tmp_path) for _ in range(2))) == [0, 0]
    collect(tmp_path)
    assert tree(tmp_path) == tree(whole)


def test_what_a_killed_process_had_not_written_yet_is_removed(data, whole, tmp_path):
    workers.predict(data, tmp_path)
    folder, token = next(tmp_path.rglob("*_seg.nii.gz")).parent, "0123456789ab"
    (folder / f".ct_seg.claim.{token}.new").touch()
    (folder / f".{'n' * 43}.nii.gz.{token}.tmp").touch()  # the end of a long name, of a map
    (folder / f".ct_seg.nii.gz.{token}.prob").touch()
    collect(tmp_path)
    assert tree(tmp_path) == tree(whole)


def test_what_another_cohort_is_writing_in_a_folder_below_stays(data, tmp_path):
    workers.predict(data, tmp_path)
    half = tmp_path / "again" / ".ct_seg.nii.gz.0123456789ab.tmp"
    with Cohort(tmp_path / "again", {}):
        half.touch()
        collect(tmp_path)
        assert half.exists()
    collect(tmp_path)
    assert not half.exists()


def test_other_settings_at_once_are_refused_and_later_too(data, tmp_path):
    with Cohort(tmp_path, {"weights_sha256": "other"}):
        with pytest.raises(InputError, match=r"is written to with other settings \(.*weights_sha256.*\) by process"):
            workers.predict(data, tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [".cohort"]
    workers.predict(data, tmp_path)
    before = tree(tmp_path)
    with pytest.raises(InputError, match=r"made differently \(inference\)"):
        workers.predict(data, tmp_path, flips=True)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("readers", [1, 3])
def test_a_mask_that_cannot_be_written_is_that_cases_error(data, tmp_path, monkeypatch, readers):
    place, real = tmp_path / NAMES[2].replace(".nii", "_seg.nii"), one_case.write_mask

    def write(mask, image, path, *more):
        if path == place:
            raise InputError(path, "cannot be written", "free some space")
        real(mask, image, path, *more)

    monkeypatch.setattr(one_case, "write_mask", write)
    summary = workers.predict(data, tmp_path, readers=readers, on_error="skip")
    assert [case for case, _ in summary.failed] == [NAMES[2]] and len(summary.written) == 8
    collect(tmp_path)
    assert rows(tmp_path) == {**dict.fromkeys(NAMES, "done"), NAMES[2]: "failed"}
    with pytest.raises(InputError, match="cannot be written"):
        workers.predict(data, tmp_path, readers=readers)
    assert not list(tmp_path.rglob("*.claim*")) and not list((tmp_path / ".cohort").glob("*.member"))


@pytest.mark.parametrize("killed", [False, True])
def test_a_case_that_failed_and_is_predicted_alone_is_done(tmp_path, killed):
    """Also where the process was killed when its mask was there and its record was not."""
    (tmp_path / "data").mkdir()
    for name in "abc":
        nib.save(nib.Nifti1Image(scan(), np.eye(4)), tmp_path / "data" / f"{name}.nii.gz")
    whole = (tmp_path / "data" / "b.nii.gz").read_bytes()
    (tmp_path / "data" / "b.nii.gz").write_bytes(b"broken")
    workers.predict(tmp_path / "data", tmp_path / "out", on_error="skip")
    assert collect(tmp_path / "out")["failed"] == 1
    (tmp_path / "data" / "b.nii.gz").write_bytes(whole)
    workers.predict(tmp_path / "data" / "b.nii.gz", tmp_path / "out")
    for record in (tmp_path / "out/.cohort").glob("*.jsonl") if killed else ():
        record.unlink()
    summary = collect(tmp_path / "out")
    assert [summary[key] for key in ("cases", "done", "failed", "failures")] == [3, 3, 0, []]
    table = (tmp_path / "out" / summary["table"]).read_text(encoding="utf-8")
    assert "b.nii.gz,b_seg.nii.gz,done" in table and "gzip" not in table

    (tmp_path / "data" / "b.nii.gz").write_bytes(b"broken")
    workers.predict(tmp_path / "data", tmp_path / "out", on_error="skip", overwrite=True)
    assert collect(tmp_path / "out")["failed"] == 1 and (tmp_path / "out/b_seg.nii.gz").exists()

    workers.predict(tmp_path / "data" / "a.nii.gz", tmp_path / "alone")
    assert [path.name for path in (tmp_path / "alone").iterdir() if path.is_dir()] == []


def test_while_a_mask_is_written_the_next_image_is_predicted(data, tmp_path, monkeypatch):
    predicted, real = threading.Event(), one_case.write_mask
    second = one_case.CasePrediction.__call__

    def write(mask, image, path, *more):
        assert predicted.wait(60)
        real(mask, image, path, *more)

    def predict(self, case, image):
        result = second(self, case, image)
        if case.name != NAMES[0]:
            predicted.set()
        return result

    monkeypatch.setattr(one_case, "write_mask", write)
    monkeypatch.setattr(one_case.CasePrediction, "__call__", predict)
    assert len(workers.predict(data, tmp_path, readers=2).written) == 9


@pytest.mark.parametrize("readers", [0, True, "2", 1.5])
def test_readers_that_cannot_be(data, tmp_path, readers):
    with pytest.raises(InputError, match="readers: is"):
        workers.predict(data, tmp_path, readers=readers)


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "a/b", "1/0", 2])
def test_a_part_that_cannot_be(data, tmp_path, shard):
    with pytest.raises(InputError, match="shard: is"):
        workers.predict(data, tmp_path / "out", shard=shard)
    assert not (tmp_path / "out").exists()


def test_more_parts_than_cases(data, tmp_path):
    assert workers.predict(data, tmp_path, shard="12/12").written == []


def owner_of(host="elsewhere", process=1, numbers=""):
    return Owner(host, process, numbers)


def test_a_claim_is_kept_by_the_living_and_passes_from_the_dead_once(tmp_path):
    clock = tmp_path / "clock"
    clock.touch()
    now = lambda: claims.touch(clock)  # noqa: E731
    here = Owner.this_process()
    dead = workers.start(tmp_path, tmp_path)
    dead.join()
    gone, mask = Owner(here.host, dead.pid, here.numbers), tmp_path / "a_seg"
    assert Claims(gone, now).take(mask)
    ours, others = Claims(here, now), Claims(Owner.this_process(), now)
    assert ours.take(mask) and not others.take(mask)
    ours.release(mask)
    assert not list(tmp_path.glob(".*")) and others.take(mask)


def test_a_process_elsewhere_is_dead_only_after_a_long_silence(tmp_path):
    clock, mask = tmp_path / "clock", tmp_path / "a_seg"
    clock.touch()
    now = lambda: claims.touch(clock)  # noqa: E731
    here = Owner.this_process()
    for far in (owner_of(process=here.process), Owner(here.host, 1 << 22, "another container")):
        theirs, ours = Claims(far, now), Claims(here, now)
        assert theirs.take(mask) and not ours.take(mask)
        seconds = now() - claims.PATIENCE
        os.utime(claim_file(mask), (seconds + 60, seconds + 60))
        assert not ours.take(mask)
        os.utime(claim_file(mask), (seconds - 60, seconds - 60))
        theirs.touch()
        assert not ours.take(mask)  # it has only been slow
        os.utime(claim_file(mask), (seconds - 60, seconds - 60))
        assert ours.take(mask)
        ours.release(mask)


def test_finished_images_are_recognised_without_reading_them(data, tmp_path, monkeypatch):
    shutil.copytree(data, tmp_path / "data")
    workers.predict(tmp_path / "data", tmp_path / "out")
    hashed = []
    real = inputs.InputCase.sha256
    monkeypatch.setattr(inputs.InputCase, "sha256", lambda case: hashed.append(case) or real(case))
    assert len(workers.predict(tmp_path / "data", tmp_path / "out").skipped) == 9 and hashed == []
    assert len(workers.predict(tmp_path / "data", tmp_path / "out", verify=True).skipped) == 9 and len(hashed) == 9
    # A copy is hashed once, and recognised from then on.
    shutil.copytree(data, tmp_path / "copy")
    del hashed[:]
    for count in (9, 9):
        assert len(workers.predict(tmp_path / "copy", tmp_path / "out").skipped) == 9 and len(hashed) == count


def test_another_image_of_the_same_size_and_time_is_no_finished_one(tmp_path):
    """Archives set times; only the number in the file system and the bytes differ."""
    for seed, folder in enumerate("AB"):
        (tmp_path / folder).mkdir()
        nib.save(nib.Nifti1Image(scan(seed=seed), np.eye(4)), tmp_path / folder / "ct.nii")
        os.utime(tmp_path / folder / "ct.nii", (0, 0))
    workers.predict(tmp_path / "A", tmp_path / "out")
    with pytest.raises(InputError, match="made from another image"):
        workers.predict(tmp_path / "B", tmp_path / "out")


def test_many_inputs_are_checked_when_they_are_read(data, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    shutil.copytree(data, tmp_path / "data")
    (tmp_path / "data" / NAMES[-1]).write_bytes(b"no image")
    monkeypatch.setattr(predict, "CHECKED_FIRST", 8)
    with pytest.raises(InputError, match="is not gzip"):
        workers.predict(tmp_path / "data", tmp_path / "out")
    assert "more than 8 inputs: each is checked when it is read" in caplog.text
    summary = workers.predict(tmp_path / "data", tmp_path / "out", on_error="skip")
    assert len(summary.failed) == 1 and len(summary.skipped + summary.written) == 8
    collected = collect(tmp_path / "out")
    assert [collected[key] for key in ("done", "failed", "open")] == [8, 1, 0]
    assert collected["failures"][0]["such_as"] == NAMES[-1]
    assert str(tmp_path) not in (tmp_path / "out/cases.csv").read_text(encoding="utf-8")
    shutil.copy(data / NAMES[-1], tmp_path / "data" / NAMES[-1])
    workers.predict(tmp_path / "data", tmp_path / "out")
    collect(tmp_path / "out")
    assert rows(tmp_path / "out") == dict.fromkeys(NAMES, "done"), "the latest holds"


def test_a_table_tells_what_is_there_and_leaves_that_of_an_evaluation_alone(data, tmp_path):
    workers.predict(data, tmp_path)
    (record,) = (tmp_path / ".cohort").glob("*.jsonl")
    record.write_text(record.read_text(encoding="utf-8")[:-20], encoding="utf-8")  # killed while it wrote
    (tmp_path / "cases.csv").write_text("case,background_tp\nx,3\n", encoding="utf-8")
    next(tmp_path.rglob("p3/ct_seg.nii.gz")).unlink()
    assert collect(tmp_path)["table"] == "predicted_cases.csv"
    status = rows(tmp_path, "predicted_cases.csv")
    assert status.pop("site 1/p3/ct.nii.gz") == "open" and set(status.values()) == {"done"} and len(status) == 8
    assert (tmp_path / "cases.csv").read_text(encoding="utf-8") == "case,background_tp\nx,3\n"
    assert collect(tmp_path)["open"] == 1
    with pytest.raises(InputError, match="holds no record"):
        collect(data)


def test_the_table_makes_way_for_that_of_an_evaluation(data, tmp_path):
    make_way(tmp_path)  # of which there is none
    workers.predict(data, tmp_path)
    collect(tmp_path)
    before = rows(tmp_path)
    make_way(tmp_path)
    assert not (tmp_path / "cases.csv").exists() and rows(tmp_path, "predicted_cases.csv") == before
    assert told(tmp_path / "summary.json")["table"] == "predicted_cases.csv"
    (tmp_path / "cases.csv").write_text("case,background_tp\nx,3\n", encoding="utf-8")
    make_way(tmp_path)
    assert (tmp_path / "cases.csv").is_file() and collect(tmp_path)["table"] == "predicted_cases.csv"
