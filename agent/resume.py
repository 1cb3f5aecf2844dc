"""Opens logs where the journal says that they were left."""

import time
from collections.abc import Callable, Sequence
from datetime import tzinfo

from tracetail.agent.followed_log import FollowedLog
from tracetail.agent.journal import queries
from tracetail.agent.journal.database import Journal
from tracetail.agent.parsing.header_cache import HeaderCache
from tracetail.agent.parsing.parser import LineParser
from tracetail.agent.parsing.times import EngineTimes
from tracetail.agent.reading.file_source import FILE_ROWS_MAX
from tracetail.agent.reading.open_files import OpenFiles, descriptor_limits
from tracetail.agent.shipping.journaled_delivery import JournaledDelivery


class Resumer:
    """Loads what the journal holds of logs."""

    def __init__(
        self,
        journal: Journal,
        *,
        zone: tzinfo | None = None,
        structured_metadata: bool = True,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """zone: of times without a zone; None for the machine's."""
        self._journal = journal
        self._zone = zone
        self._cache = HeaderCache(structured_metadata=structured_metadata)
        self._clock_ns = clock_ns

    async def open(self, followed: FollowedLog, delivery: JournaledDelivery) -> None:
        """Deliver what is left of the log's last batch, then load position, counts and the parser's state."""
        source = followed.source
        row = await self._source_row(followed)
        if row.batches:
            await delivery.settle(row.batches)
            row = await self._source_row(followed)
        followed.id = row.id
        followed.lines = row.lines
        followed.bytes = row.bytes
        followed.rejected = row.rejected
        followed.redacted = row.redacted
        followed.parser = LineParser(
            EngineTimes(row.first_seen_ns, self._zone),
            self._cache,
            by_keeper=source.kind == "launch",
            ids_from_lines=source.ids_from_lines,
            plain=source.plain,
            state=row.state,
        )
        source.complete = row.complete
        source.files = row.files
        source.listed_ns = row.listed_ns
        source.asleep = False

    async def _source_row(self, followed: FollowedLog) -> queries.SourceRow:
        source = followed.source
        now_ns = self._clock_ns()
        return await self._journal.write(
            lambda db: queries.open_source(db, source.key, source.kind, source.own_labels, now_ns, source.listed_ns)
        )

    async def completed(self) -> set[str]:
        """Return the keys of the sources that need not be opened any more."""
        return await self._journal.write(queries.completed_sources)

    async def rejected_counts(self, sources: Sequence[int]) -> dict[int, int]:
        """Return, by the id of a source, how many of its lines Loki has refused and not accepted since.

        Raises JournalError.
        """
        return await self._journal.write(lambda db: queries.rejected_counts(db, sources))

    async def unfinished_files(self) -> dict[str, dict[str, str]]:
        """Return path and labels of the sources with files that were not read to their end, or not looked for."""
        return await self._journal.write(queries.unfinished_files)

    def forget_file(self, key: str) -> None:
        """Note that nothing is to be expected at the path of a source any more."""
        self._journal.write_soon(lambda db: queries.forget_file(db, key))

    def note_look(self, listed_ns: int) -> None:
        """Note that each log that a look at this time found was opened."""
        self._journal.write_soon(lambda db: queries.note_look(db, listed_ns))

    async def unfinished_launches(self) -> dict[str, list[int]]:
        """Return launch id and batches of the launches with batches that are not acknowledged."""
        return await self._journal.write(queries.unfinished_launches)

    async def open_files(self, outputs: int = 1) -> OpenFiles:
        """Return which source reads, or has read, which file that no keeper wrote.

        outputs: the number of those that share the process's descriptors.
        """
        open_files = OpenFiles(limits=descriptor_limits(outputs))
        for key, row in await self._journal.write(queries.file_owners):
            open_files.assign(row, key)
        return open_files

    async def finish_files(self, followed: FollowedLog) -> None:
        """Mark the source's finished files as done in the journal, and insert those that go on where they ended."""
        rows = [row.id for row in followed.source.finished]
        followed.source.finished.clear()
        going_on = [row for row in followed.source.files if row.position and not row.id]
        ids = await self._journal.write(
            lambda db: queries.finish_files(db, followed.id, rows, going_on, FILE_ROWS_MAX)
        )
        for row, row_id in zip(going_on, ids, strict=True):
            row.id = row_id
