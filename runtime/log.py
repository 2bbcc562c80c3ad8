"""The log: one event a line on stderr, `time level event key=value ...`, through structlog.

Owns format and level. Levels: error = a human must act; warning = a peer misbehaved; info = state changed; debug =
the rest.
"""

import logging
import sys
from typing import Any

import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure(level: str = "info") -> None:
    """Set up the log of this process; `level` is one of LEVELS."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def get() -> Any:
    """The logger: `get().info("binding accepted", home_address=...)`."""
    return structlog.get_logger()
