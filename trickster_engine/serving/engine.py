"""The thread that the model lives in: texts join and leave its batch between two tokens."""

from __future__ import annotations

import contextlib
import math
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from trickster_engine.errors import TricksterError
from trickster_engine.inference.batched_decoding import Batch, choose_each
from trickster_engine.inference.sampling import require_numbers
from trickster_engine.model.llama import Llama
from trickster_engine.serving.api_error import ApiError, stopping
from trickster_engine.serving.continuation import Continuation, Piece
from trickster_engine.serving.metrics import Metrics


class Job:
    """A request's texts, and where their pieces go.

    `receive` is called in the model's thread with the number of a text and a piece of it, or with what went wrong,
    which ends the job. With `in_pieces` it is told of every piece; without, once for each text, with all of it.
    """

    def __init__(
        self, texts: Sequence[Continuation], receive: Callable[[int, Piece | ApiError], None], in_pieces: bool
    ) -> None:
        self.receive = receive
        self.waiting = deque(enumerate(texts))
        self.texts = len(self.waiting)
        self.running = 0
        self.is_over = False
        self._gathered: dict[int, Piece] | None = None if in_pieces else {}

    def give(self, number: int, piece: Piece) -> None:
        """Pass a piece on, or keep it until its text is whole."""
        if self._gathered is not None:
            self._gathered.setdefault(number, Piece()).extend(piece)
            if piece.finish is None:
                return
            piece = self._gathered.pop(number)
        self.receive(number, piece)


class _Running:
    """A text in the batch, at the row of its place in the list."""

    def __init__(self, job: Job, number: int, text: Continuation) -> None:
        self.job, self.number, self.text = job, number, text


class Engine:
    """Goes on with all texts at once, one token a turn."""

    def __init__(self, model: Llama, vocab_size: int, most: int, metrics: Metrics) -> None:
        """`most` texts are in the batch at once; the others wait. `vocab_size` is the tokenizer's."""
        self._batch = Batch(model, most)
        self._vocab_size = vocab_size
        self._context = model.config.max_seq_len
        self._metrics = metrics
        self._running: list[_Running] = []
        self._jobs: deque[Job] = deque()  # those with texts that wait
        self._changed = threading.Condition()
        self._is_closed = self._has_failed = False
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        metrics.watch(
            running=lambda: len(self._running), waiting=lambda: sum(len(job.waiting) for job in list(self._jobs))
        )

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Take a job on. Raises ApiError where the engine is closed."""
        with self._changed:
            if self._is_closed:
                raise self._closed()
            self._jobs.append(job)
            self._changed.notify()

    def cancel(self, job: Job) -> None:
        """Nobody waits for a job any more: its texts leave the batch before the next token."""
        with self._changed:
            job.is_over = True
            self._changed.notify()

    @property
    def works(self) -> bool:
        """Whether jobs are taken on."""
        return not self._is_closed

    def close(self) -> None:
        """End every job, and the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        has_failed = True
        try:
            self._go_on()
            has_failed = False
        finally:  # also where a turn could not even be given up, as after a fault of a GPU: nobody waits for ever
            with self._changed:
                self._is_closed, self._has_failed = True, has_failed
            refusal = self._closed()
            for job in {id(job): job for job in (*self._jobs, *(one.job for one in self._running))}.values():
                job.receive(0, refusal)

    def _closed(self) -> ApiError:
        if self._has_failed:
            return ApiError(503, "The model's thread has failed: restart the server.", kind="server_error")
        return stopping()

    def _go_on(self) -> None:
        while True:
            with self._changed:
                self._drop_jobs_that_are_over()
                while not (self._is_closed or self._jobs or self._running):
                    self._changed.wait()
                    self._drop_jobs_that_are_over()
                if self._is_closed:
                    return
                joining = self._take()
            try:
                self._turn(joining)
            except Exception as error:  # what one turn cannot do must not end the server
                self._fail(joining, error)

    def _drop_jobs_that_are_over(self) -> None:
        self._jobs = deque(job for job in self._jobs if not job.is_over)
        for row in reversed(range(len(self._running))):
            if self._running[row].job.is_over:
                self._leave(row)

    def _take(self) -> list[_Running]:
        """The texts that join now. Of the jobs that wait, the one with the fewest texts in the batch comes first.

        No more is read of prompts in one turn than a few windows, so that those in the batch do not wait long.
        """
        joining: list[_Running] = []
        free, to_read = self._batch.free, 2 * self._context
        while self._jobs and len(joining) < free and to_read > 0:
            job = min(self._jobs, key=lambda one: one.running)  # the oldest of several
            number, text = job.waiting.popleft()
            job.running += 1
            joining.append(_Running(job, number, text))
            to_read -= text.to_read
            if not job.waiting:
                self._jobs.remove(job)
        return joining

    def _turn(self, joining: list[_Running]) -> None:
        """Read the prompts of those that join, then one token of every text, and draw the next for each."""
        while joining:
            self._join(joining.pop(0))
        if not self._running:
            return
        for row, one in enumerate(self._running):
            again = one.text.slide()
            if again is not None:
                self._batch.read(row, again)
        logits = self._batch.step([one.text.last for one in self._running])[:, : self._vocab_size]
        logits = self._with_numbers(logits)
        texts = [one.text for one in self._running]
        tokens = choose_each(logits, [text.options for text in texts], [text.generator for text in texts])
        self._metrics.drawn(len(tokens))
        for row in reversed(range(len(tokens))):
            one = self._running[row]
            one.text.feed(tokens[row], logits[row])
            self._pass_on(one)
            if one.text.finish is not None:
                self._leave(row)

    def _with_numbers(self, logits: Tensor) -> Tensor:
        """Those of the logits [R, V] that are numbers; where they are not, the text ends, and no other with it."""
        if math.isfinite(float(logits.sum())):
            return logits
        for row in reversed(range(len(logits))):
            try:
                require_numbers(logits[row])
            except TricksterError as error:
                self._refuse(self._running[row], _refusal(error))
                self._leave(row)  # and the last one gets its row
                logits[row] = logits[-1]
                logits = logits[:-1]
        return logits

    def _join(self, one: _Running) -> None:
        self._running.append(one)
        row = self._batch.join()
        ids = one.text.begin()
        if one.text.finish is None or one.text.scores_prompt:
            logits = self._batch.read(row, ids)
            self._metrics.read(len(ids) + 1)
            if one.text.scores_prompt:
                try:
                    one.text.score_prompt(require_numbers(logits[:, : self._vocab_size]))
                except TricksterError as error:
                    self._refuse(one, _refusal(error))
                    self._leave(row)
                    return
        self._pass_on(one)
        if one.text.finish is not None:
            self._leave(row)

    @staticmethod
    def _pass_on(one: _Running) -> None:
        piece = one.text.take()
        if piece is not None and not one.job.is_over:
            one.job.give(one.number, piece)

    def _leave(self, row: int) -> None:
        self._batch.leave(row)
        last = self._running.pop()
        left = self._running[row] if row < len(self._running) else last
        if left is not last:
            self._running[row] = last
        left.job.running -= 1

    @staticmethod
    def _refuse(one: _Running, refusal: ApiError) -> None:
        """End a text's job with an error."""
        if not one.job.is_over:
            one.job.is_over = True
            one.job.receive(one.number, refusal)

    def _fail(self, joining: list[_Running], error: Exception) -> None:
        """Answer every text of this turn with what went wrong, and go on without them."""
        for one in (*self._running, *joining):
            self._refuse(one, _refusal(error))
        while self._running:
            self._leave(len(self._running) - 1)
        if not isinstance(error, TricksterError):
            with contextlib.suppress(OSError, ValueError):  # nobody may read it any more
                traceback.print_exception(error, file=sys.stderr)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _refusal(error: Exception) -> ApiError:
    """What a client is told of an error."""
    if isinstance(error, TricksterError):
        return ApiError(500, error.message, error.code, kind="server_error")
    return ApiError(500, f"The model could not go on: {type(error).__name__}.", kind="server_error")
