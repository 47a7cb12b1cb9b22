"""Hands vectors to the worker and what it makes of them to the event file, in a thread of its own."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Mapping

from tb_netviz.embedding.book import Book
from tb_netviz.embedding.client import WorkerEndedError, WorkerProcess
from tb_netviz.embedding.jobs import Message
from tb_netviz.embedding.track import TURNS, Float32, Job, Plan, Track
from tb_netviz.events import warn
from tb_netviz_plugin.schema.description import Omission
from tb_netviz_plugin.schema.embedding import Method

DRAIN_SECONDS = 30.0
"""Seconds for which a closing run waits for layouts."""
HURRIED_SECONDS = 3.0
"""The same after an interrupt from the keyboard: whoever presses Ctrl+C wants to have the terminal back."""
STARTS = 2
"""Workers that a run has at most, one after another."""
PATIENCE = 5.0
"""Seconds for the last words, once the worker is gone."""
PROJECTOR_BYTES = 256 << 20
"""That the projector's files of a run may take."""


def patience_after(error: BaseException | None) -> float:
    """Return how many seconds a run that `error` has ended waits for layouts."""
    return HURRIED_SECONDS if isinstance(error, KeyboardInterrupt) else DRAIN_SECONDS


class Dispatcher:
    """What a run has of embeddings. The training thread hands over and goes on.

    Of each embedding a few steps wait for their PCA, and one for its t-SNE: where the worker can't keep up, the latest
    wins. Every embedding has had its PCA before one of them has a t-SNE.

    Args:
        folder: Returns that of the run.
    """

    def __init__(self, folder: Callable[[], str]) -> None:
        self._folder = folder
        self._process = os.getpid()
        self._tracks: list[Track] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._worker: WorkerProcess | None = None
        self._starts = 0
        self._busy = False
        self._closing = False
        self._ended = False
        self._cut = False
        self._limit = DRAIN_SECONDS
        self._seconds = 0.0
        self._broken: set[str] = set()  # Libraries of which that was said.

    @property
    def worker_pid(self) -> int | None:
        """Number of the worker's process; None where there is none."""
        return None if self._worker is None else self._worker.pid

    def open(self, book: Book, plan: Plan) -> Track:
        """Follow an embedding."""
        with self._changed:
            track = Track(len(self._tracks), book, plan)
            self._tracks.append(track)
            return track

    def submit(self, track: Track, job: Job) -> None:
        """Hand over vectors, which are not to change any longer."""
        self._hand_over(lambda: track.offer(job))

    def omit(self, track: Track, step: int, omission: Omission) -> None:
        """Hand over what is to be said of an embedding."""
        self._hand_over(lambda: track.notices.append((step, omission)))

    def wait(self, limit: float | None = None) -> bool:
        """Wait until all that was handed over is laid out, `limit` seconds at most; whether it is."""
        if self._strayed:
            return False
        with self._changed:
            return self._changed.wait_for(lambda: self._idle, limit)

    def take_seconds(self) -> float:
        """Return the processor time that was spent here, in the process of the training, since the last call."""
        if self._strayed:
            return 0.0
        with self._changed:
            seconds, self._seconds = self._seconds, 0.0
        return seconds

    def _hand_over(self, give: Callable[[], None]) -> None:
        if self._strayed:
            return
        with self._changed:
            if self._closing:
                return
            give()
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="netviz embeddings", daemon=True)
                self._thread.start()

    @property
    def _strayed(self) -> bool:
        """Whether this is a forked child, which has neither the thread nor a right to the file."""
        return os.getpid() != self._process

    def close(self, limit: float = DRAIN_SECONDS) -> None:
        """Wait for what is under way, `limit` seconds at most, and end. Closing twice is harmless."""
        if self._strayed:
            return
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            thread = self._thread
        if thread is None or thread is threading.current_thread():
            return
        thread.join(limit)
        if thread.is_alive():
            self._cut_off(limit)
            thread.join(PATIENCE)

    def _cut_off(self, limit: float) -> None:
        self._limit, self._cut = limit, True
        worker = self._worker
        if worker is not None:
            worker.kill()

    @property
    def _idle(self) -> bool:
        at_work = self._busy or any(track.waiting or track.unplaced is not None for track in self._tracks)
        return self._ended or not at_work

    def _run(self) -> None:
        try:
            while (turn := self._next()) is not None:
                began = time.thread_time()
                turn()
                with self._changed:
                    self._seconds += time.thread_time() - began
                    self._busy = False
                    self._changed.notify_all()
        except Exception as error:  # Such as a disk that is full: the training has nothing to do with it.
            warn(f"embeddings are no longer recorded, because of {type(error).__name__}: {error}. Training goes on.")
        finally:
            with self._changed:
                self._closing = True
            self._end()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _next(self) -> Callable[[], None] | None:
        """Wait for something to do; None once there is nothing left and the run is closing."""
        with self._changed:
            while not self._cut:
                turn = self._choose()
                if turn is not None:
                    self._busy = True
                    return turn
                if self._closing:
                    return None
                self._changed.wait()
        return None

    def _choose(self) -> Callable[[], None] | None:
        """Return the next turn: some new vectors of each embedding, then one t-SNE, and so on; at the end t-SNEs."""
        unplaced = [track for track in self._tracks if track.unplaced is not None]
        for track in self._tracks:
            if track.notices:
                return track.tell
            if track.waiting and (not unplaced or track.turns < TURNS or self._closing):
                return functools.partial(self._look, track, track.next())
        if not unplaced:
            return None
        for track in self._tracks:
            track.turns = 0
        return functools.partial(self._fit, min(unplaced, key=lambda track: track.fits))

    def _look(self, track: Track, job: Job) -> None:
        """Have vectors looked at."""
        if not track.begin(job):
            return
        worker = self._working(track, job.step)
        asked = track.questions(job, worker) if worker is not None else []
        if asked and all(self._ask(track, job.step, question, job.predictions) for question in asked):
            return
        track.skip(Method.PCA, Method.TSNE)
        if self._cut:
            track.offer(job)

    def _fit(self, track: Track) -> None:
        """Have the vectors that the worker has laid out by t-SNE."""
        assert track.unplaced is not None
        track.fits += 1
        if self._ask(track, track.unplaced, track.fit()):
            track.unplaced = None
        elif not self._cut:
            track.skip(Method.TSNE)

    def _ask(self, track: Track, step: int, question: Message, predictions: Float32 | None = None) -> bool:
        """Ask, and write the answer; whether there was one."""
        if self._worker is None:
            return False
        try:
            answer = self._worker.ask(question)
        except WorkerEndedError as error:
            self._mourn(track, step, str(error))
            return False
        self._complain(answer.values.get("broken", {}))
        track.take(step, question.kind, answer, predictions)
        return True

    def _complain(self, broken: Mapping[str, str]) -> None:
        """Say of each library once that it is broken."""
        for library in broken.keys() - self._broken:
            self._broken.add(library)
            warn(f"{library} {broken[library]}.", stacklevel=2)

    def _working(self, track: Track, step: int) -> WorkerProcess | None:
        """Return the worker, started if need be."""
        if self._worker is None and self._starts < STARTS and not self._cut:
            self._starts += 1
            try:
                self._worker = WorkerProcess(self._folder(), PROJECTOR_BYTES)
            except WorkerEndedError as error:
                self._starts = STARTS
                self._mourn(track, step, str(error))
        return self._worker

    def _mourn(self, track: Track, step: int, how: str) -> None:
        """Say what becomes of the embeddings now that the worker has ended."""
        self._dismiss()
        if self._cut:
            return
        reason = f"the process that lays embeddings out {how} at step {step}"
        for each in self._tracks:
            each.unplaced = None
            if self._starts >= STARTS:
                each.give_up(step, f"{reason}; nothing more is laid out")
        if self._starts < STARTS:
            track.book.omit(step, [Omission("some layouts", reason)])
        more = "No more embeddings are recorded" if self._starts >= STARTS else "Another one takes its place"
        warn(f"{reason}. {more}; training goes on.", stacklevel=2)

    def _dismiss(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def _end(self) -> None:
        for track in self._tracks if self._cut else ():
            track.cut_off(self._limit)
        self._dismiss()
