"""Has this machine calibrated once, in the background, so that hovers know how long any config takes here."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from trickster_server.documents import Documents
from trickster_server.lsp.dispatch import RequestError
from trickster_server.lsp.session import Session
from trickster_server.runs.engine_process import run_engine
from trickster_server.runs.interpreter import Interpreters
from trickster_server.runs.registry import RunRegistry
from trickster_server.timing.speeds import Timing

logger = logging.getLogger(__name__)

_COMMAND = ("estimate", "--preset", "pico", "--calibrate", "--json")
#: An editor that has just opened a window is busy for a while, and figures taken beside that would be too low for good.
_SETTLING_SECONDS = 5.0
#: It takes ten seconds on a quiet machine. One that is too busy for that learns from its runs instead.
_LONGEST_SECONDS = 180.0
_LONG = 1e6


@dataclass(eq=False)
class Calibrating:
    """Waits until somebody looks at a config, may run code and trains nothing; then calibrates, once."""

    session: Session
    documents: Documents
    registry: RunRegistry
    interpreters: Interpreters
    timing: Timing
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def look_again(self) -> None:
        """A config was opened, trust was granted, or another interpreter was chosen."""
        self._changed.set()

    async def run_once(self) -> None:
        """Calibrate as soon as it may be done. A failure is logged, and not tried again by this server."""
        await self.registry.ready()
        while True:
            self._changed.clear()
            if self.session.trusted and self.documents.configs() and (python := await self._interpreter()):
                await asyncio.sleep(_SETTLING_SECONDS)
                await self.registry.wait_for(lambda: not self._training(), _LONG)
                if await self.timing.is_calibrated() or await self._calibrate(python):
                    return
            else:
                await self._changed.wait()

    def _training(self) -> bool:
        return any(run.live for run in self.registry.runs())

    async def _interpreter(self) -> str | None:
        try:
            return await self.interpreters.able_to_train(None)
        except RequestError as error:
            logger.debug("Cannot calibrate: %s", error)
            return None

    async def _calibrate(self, python: str) -> bool:
        """Whether it is done, for better or worse; no where training began meanwhile."""
        loop = asyncio.get_running_loop()
        work = loop.create_task(run_engine(python, _COMMAND, gently=True))
        training = loop.create_task(self.registry.wait_for(self._training, _LONG))
        try:
            await asyncio.wait((work, training), timeout=_LONGEST_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over = work.done()
            for task in (work, training):
                task.cancel()
            # The process is gone when this is over.
            await asyncio.gather(work, training, return_exceptions=True)
        if not over:
            if self._training():
                return False
            logger.warning("This machine was not calibrated: it took more than %d seconds.", _LONGEST_SECONDS)
        elif (error := work.exception()) is not None:
            logger.warning("This machine was not calibrated: %s", error)
        else:
            await self.timing.is_calibrated()
            self.session.refresh_figures()
            logger.info("This machine is calibrated: training times can now be estimated for any config.")
        return True
