"""Runs the agent in this process, and again, with the configuration read again, after each SIGHUP."""

import asyncio
import functools
import logging
import signal
import socket

from tracetail.agent.checked_settings import BadSettingsError
from tracetail.agent.journal.database import JournalError
from tracetail.agent.kafka_settings import KafkaSettingsError
from tracetail.agent.service import Agent
from tracetail.cli import config_sources, configuration
from tracetail.cli.agent_state import state_dirs
from tracetail.cli.denied import denied
from tracetail.cli.errors import BAD_USAGE, fail
from tracetail.cli.service import print_address
from tracetail.contract.access import UnsafeBindError
from tracetail.contract.http_settings import HttpSettingsError
from tracetail.contract.redaction import InvalidPatternError
from tracetail.contract.secret_file import SecretFileError

log = logging.getLogger(__name__)

_BAD_SETTINGS = (BadSettingsError, InvalidPatternError, KafkaSettingsError, HttpSettingsError, SecretFileError)


class AgentRunner:
    """Runs one agent after another: until SIGTERM or SIGINT, each with the configuration of its time."""

    def __init__(self, settings: configuration.Configuration, config_path: str | None) -> None:
        self._settings = settings
        self._config_path = config_path
        self._previous: configuration.Configuration | None = None
        """The configuration to return to if the new one does not work."""
        self._ended = asyncio.Event()
        self._stopped = False
        self._announced = False

    async def run(self) -> None:
        """Return after SIGTERM or SIGINT; exit if the first configuration does not work."""
        # The handlers stay while one agent ends and the next starts, so that no signal is lost.
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, functools.partial(self._end, for_good=True))
        loop.add_signal_handler(signal.SIGHUP, functools.partial(self._end, for_good=False))
        while not self._stopped:
            settings = self._settings
            secret = configuration.secret_file("agent", settings)
            host = socket.gethostname()
            agent = Agent(
                settings.agent, settings.loki, state_dirs(settings), host, secret, settings.kafka, settings.otlp
            )
            self._ended.clear()
            try:
                await agent.run(self._announce, self._ended)
            except (*_BAD_SETTINGS, UnsafeBindError, JournalError, OSError) as error:
                self._restore(error)
                continue
            if not self._stopped:
                self._reload()

    def _end(self, *, for_good: bool) -> None:
        self._stopped = self._stopped or for_good
        self._ended.set()

    def _announce(self, address: str) -> None:
        self._previous = None
        if self._announced:
            log.info("the configuration was read again; listening on %s", address)
        else:
            print_address("agent", address)
        self._announced = True

    def _restore(self, error: Exception) -> None:
        """Return to the previous configuration; exit if there is none."""
        if self._previous is None:
            text = denied(error) if isinstance(error, PermissionError) else str(error)
            fail(text, BAD_USAGE if isinstance(error, _BAD_SETTINGS) else 1)
        log.error("the configuration stays as it was: %s", error)
        self._settings, self._previous = self._previous, None

    def _reload(self) -> None:
        try:
            self._settings, self._previous = configuration.load(self._config_path), self._settings
        except config_sources.ConfigurationError as error:
            log.error("the configuration stays as it was: %s", error)  # noqa: TRY400
