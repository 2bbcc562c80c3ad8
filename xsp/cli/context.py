"""What every command shares: where the registry is, how to print, how to fail, and the options of a change.

Owns the shape of output: `--json` prints one JSON value and nothing else, `--quiet` nothing, otherwise text for a
person. Errors are two sentences on stderr: what, and what to do.
"""

import functools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer

from xsp.errors import Refused

if TYPE_CHECKING:
    from xsp.database import ChangeOptions
    from xsp.registry import Registry

DEFAULT_DATABASE = "sqlite:////var/lib/anycast-xsp/registry.db"
Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON value and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the audit.")]
IdempotencyKey = Annotated[
    str | None,
    typer.Option("--idempotency-key", metavar="KEY", help="The same command again with this key changes nothing."),
]


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of `xsp` itself."""

    database: str


def registry(context: typer.Context) -> "Registry":
    """The registry named by `--database`. Raises: Refused."""
    from xsp.registry import Registry

    return Registry.open(context.find_object(Settings).database)  # type: ignore[union-attr]


def change_options(dry_run: bool, reason: str, idempotency_key: str | None) -> "ChangeOptions":
    """The options of a change as one value."""
    from xsp.database import ChangeOptions

    return ChangeOptions(dry_run, reason, idempotency_key)


def show(value: Any, text: str, *, as_json: bool, quiet: bool) -> None:
    """Print a result in the form asked for."""
    if as_json:
        print(json.dumps(value, indent=2))
    elif not quiet:
        print(text)


def table(rows: list[dict[str, Any]], empty: str) -> str:
    """Rows as aligned columns for a person; the first row's keys are the heads."""
    if not rows:
        return empty
    cells = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def _cell(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def refusing(command: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """Turn a `Refused` into its two sentences and its exit status."""

    @functools.wraps(command)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
        try:
            return command(*args, **kwargs)
        except Refused as refused:
            print(refused.what.rstrip(".") + ".", file=sys.stderr)
            print(refused.remedy.rstrip(".") + ".", file=sys.stderr)
            raise typer.Exit(int(refused.status)) from refused

    return wrapped
