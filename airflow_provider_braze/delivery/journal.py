"""The journal: brings a delivery's intents and outcomes into its ledger, many in one write.

Whatever waits when the ledger is ready goes into the next write, in a thread of its own, since ledgers block. So
durability costs a few per cent of the throughput and not a write per request.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from airflow_provider_braze.delivery.errors import BrazeLedgerError
from airflow_provider_braze.delivery.ledger import Claim, Intent, OpenLedger, Settlement
from airflow_provider_braze.delivery.outcome import Outcome

# A write every 10 ms at most: each costs the API server or the database several milliseconds of work.
LINGER = 0.01
log = logging.getLogger(__name__)


class Journal:
    """The way of one delivery to its ledger; use it as an asynchronous context manager.

    :param ledger: None remembers nothing.
    """

    def __init__(self, ledger: OpenLedger | None) -> None:
        self._ledger = ledger
        self._intents: list[tuple[Intent, asyncio.Future[Claim]]] = []
        self._settlements: list[Settlement] = []
        self._wanted = asyncio.Event()
        self._closing = False
        self.error: BrazeLedgerError | None = None
        self.lost: Counter[Outcome] = Counter()
        """What became of requests that are in doubt in the ledger, since it could not be written."""

    async def intend(self, intent: Intent) -> Claim:
        """Wait until an intent is durable.

        :raises BrazeLedgerError: it will not be; the request must not be sent.
        """
        if self._ledger is None:
            return Claim(free=range(intent.request.people))
        if self.error is not None:
            raise self.error
        claimed: asyncio.Future[Claim] = asyncio.get_running_loop().create_future()
        self._intents.append((intent, claimed))
        self._wanted.set()
        return await claimed

    def settle(self, settlement: Settlement) -> None:
        """Have an outcome written soon."""
        if self._ledger is not None and settlement.ticket is not None:
            self._settlements.append(settlement)
            self._wanted.set()

    async def _write_on(self, ledger: OpenLedger) -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="braze-ledger") as thread:
            while self.error is None:
                await self._wanted.wait()
                if not (self._intents or self._settlements):
                    return
                intents, self._intents = self._intents, []
                settlements, self._settlements = self._settlements, []
                if not self._closing:
                    self._wanted.clear()
                try:
                    claims = await loop.run_in_executor(
                        thread, ledger.write, [intent for intent, _ in intents], settlements
                    )
                except Exception as error:
                    known = error if isinstance(error, BrazeLedgerError) else BrazeLedgerError(f"{error!r}")
                    self._give_up(known, intents, [] if known.settled else settlements)
                    return
                for (_, claimed), claim in zip(intents, claims, strict=True):
                    if not claimed.done():
                        claimed.set_result(claim)
                wrote = settlements or any(claim.ticket is not None for claim in claims)
                if wrote and not self._closing:
                    await asyncio.sleep(LINGER)

    def _give_up(
        self, error: BrazeLedgerError, intents: list[tuple[Intent, asyncio.Future[Claim]]], lost: list[Settlement]
    ) -> None:
        self.error = error
        self._lose(lost)
        if lost:
            log.error("%d outcomes could not be written to the ledger: their requests stay in doubt there.", len(lost))
        for _, claimed in intents + self._intents:
            if not claimed.done():
                claimed.set_exception(error)
        self._intents = []

    def _lose(self, settlements: Sequence[Settlement]) -> None:
        outcomes = (settlement.outcome for settlement in settlements)
        self.lost.update(outcome for outcome in outcomes if outcome is not Outcome.UNKNOWN)

    async def __aenter__(self) -> Self:
        if self._ledger is not None:
            self._writer = asyncio.create_task(self._write_on(self._ledger))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Write what waits, then stop."""
        if self._ledger is not None:
            self._closing = True
            self._wanted.set()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writer
            if self._settlements:
                self._lose(self._settlements)
                log.error("%d outcomes stay in doubt in the ledger, it failed before.", len(self._settlements))
