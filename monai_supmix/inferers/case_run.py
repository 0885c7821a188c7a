"""What one process does with its cases: read, predict, write, and note what became of each."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.inferers.cohort import Cohort
from monai_supmix.inferers.collecting import CaseRecords
from monai_supmix.inferers.inputs import InputCase
from monai_supmix.inferers.one_case import CasePrediction, Written
from monai_supmix.inferers.outputs import is_there
from monai_supmix.inferers.progress import CaseProgress
from monai_supmix.inferers.reading import read_cases
from monai_supmix.inferers.summary import PredictionSummary


@dataclass
class CaseRun:
    """What becomes of the cases of one process.

    Args:
        predict: predicts a case.
        summary: what is noted of the cases.
        records: what others are told of them.
        on_error: ``"raise"`` or ``"skip"``, see `monai_supmix.inferers.predict_cases`.
        verify: recognise the images of existing masks by their hash.
    """

    predict: CasePrediction
    summary: PredictionSummary
    records: CaseRecords
    on_error: str
    verify: bool

    def is_open(self, case: InputCase) -> bool:
        """Whether a case is to be predicted: neither is its mask there, nor is something wrong with what is there."""
        output_dir = self.predict.output_dir
        with self.reporting(case):
            notes, maps = self.summary.notes, self.predict.map_paths(case)
            if not is_there(case, output_dir, self.predict.made_with(case), notes, self.verify, maps):
                return True
            self.summary.skipped.append(case.output(output_dir))
            self.records.write(case, "done")
        return False

    def work_through(
        self,
        cases: Sequence[InputCase],
        cohort: Cohort,
        progress: CaseProgress,
        only: CaseImage | None = None,
        readers: int = 1,
        look: bool = True,
    ) -> None:
        """Predict the cases that nobody else predicts or has finished.

        Args:
            cases: the cases.
            cohort: this process among the others.
            progress: told of every case.
            only: the image of a single case, if it has been read.
            readers: how many images are read ahead; with more than 1, masks are also written meanwhile.
            look: leave out what others have finished since these cases were listed.
        """
        predicted: list[tuple[InputCase, Callable[[], Written] | None]] = []

        def settle() -> None:
            """Note what was written of the case predicted last, and give it back."""
            while predicted:
                case, write = predicted.pop()
                self._note(case, write, progress)
                cohort.release(case)
                progress.step(failed=len(self.summary.failed))

        def waited_for() -> Iterator[InputCase]:
            """What others give back, who may be waiting for ours."""
            settle()
            for case in cohort.wait():
                yield case
                settle()

        def open_ones(claimed: Iterable[InputCase], look: bool = True) -> Iterator[InputCase]:
            for case in claimed:
                if not look or self.is_open(case):
                    yield case
                else:
                    cohort.release(case)
                    progress.step()

        free = open_ones(cohort.take(cases), look)
        loaded = read_cases(free, readers) if only is None else ((case, only) for case in free)
        with ThreadPoolExecutor(1, "writer") as writer:
            for case, image in itertools.chain(loaded, read_cases(open_ones(waited_for()))):
                try:
                    write = self._predict(case, image)
                finally:
                    settle()
                del image  # before the next is read
                predicted.append((case, writer.submit(write).result if write and readers > 1 else write))
                if readers == 1:
                    settle()
            settle()

    def _predict(self, case: InputCase, image: CaseImage | Exception) -> Callable[[], Written] | None:
        """Predict a case; what writes its results, or ``None`` after an error."""
        with self.reporting(case):
            if isinstance(image, Exception):
                raise image
            return self.predict(case, image)
        return None

    def _note(self, case: InputCase, write: Callable[[], Written] | None, progress: CaseProgress) -> None:
        """Note what was written."""
        if write is None:
            return
        with self.reporting(case):
            dicom, warnings, sure = write()
            self.summary.written.append(case.output(self.predict.output_dir))
            self.summary.dicom += dicom
            self.records.write(case, "done", warnings=warnings, **sure)
            if warnings:
                self.summary.warnings[case.name] = warnings
                progress.warn(case.name, warnings)

    @contextlib.contextmanager
    def reporting(self, case: InputCase) -> Iterator[None]:
        """With ``on_error="skip"``, note an error of this case instead of raising it."""
        try:
            yield
        except Exception as error:
            is_mistake = isinstance(error, InputError)
            subject = error.subject if isinstance(error, InputError) else str(case.path)
            text = str(error) if is_mistake else f"{subject}: {type(error).__name__}: {error}"
            self.records.write(case, "failed", problem=text.removeprefix(f"{subject}: "))
            if self.on_error == "raise":
                raise
            self.summary.failed.append((case.name, text))
