"""The command line: `python -m audiovq`, or `audiovq`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from audiovq import config as configs
from audiovq import registry, share
from audiovq.config import Config
from audiovq.errors import AudioVQError, ConfigError, PeerError
from audiovq.share import is_follower
from audiovq.train.interrupted import Interrupted


def main() -> None:
    """Run the command line; a caller's mistake is one line on stderr and exit code 2."""
    import typer  # noqa: PLC0415  (importing audiovq must not import it)

    from audiovq.cli import app  # noqa: PLC0415

    # click's UsageError, which typer does not export under a name of its own
    usage_error = cast(type[Exception], typer.BadParameter.__mro__[1])

    def command() -> int | None:
        try:
            return cast("int | None", app(sys.argv[1:] or ["--help"], standalone_mode=False))
        except usage_error as error:
            _fail(_usage(error), quiet=is_follower())
            return 2

    guarded(command)


def guarded(work: Callable[[], int | None]) -> None:
    """Do what a program does, and leave with the exit code of what came of it."""
    try:
        sys.exit(work() or 0)
    except PeerError:
        sys.exit(2)  # said by the process whose error it is
    except AudioVQError as error:
        # All processes of a run are given the same words: one says what is wrong with them.
        _fail(str(error), quiet=is_follower() and isinstance(error, ConfigError))
    except OSError as error:  # a full disk, a folder one may not write to
        what = f"{error.filename}: " if error.filename else ""
        _fail(f"{what}{error.strerror or error}")
    except Interrupted as stop:
        if not is_follower():
            sys.stderr.write(f"{stop}; the same command goes on from there\n")
        sys.exit(stop.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)


def run_recipe(config_class: type[Config], recipe: Callable[[Any], None]) -> None:
    """Run a recipe as a program: `python recipes/NAME.py [CONFIG] key=value ...`."""
    words = sys.argv[1:]

    def program() -> None:
        name = words.pop(0) if words and "=" not in words[0] else ""
        values = configs.read_yaml(share.config_path(name)) if name else {}
        with registry.plugins(None):  # the user typed it, plug-ins included
            config = configs.parse(
                config_class, configs.override(values, words), name or Path(sys.argv[0]).name
            )
        recipe(config)

    guarded(program)


def _usage(error: BaseException) -> str:
    """Return what is wrong with the words typed, and where help is."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "audiovq"
    return f"{error.format_message().rstrip('.')}; see {command} --help"  # type: ignore[attr-defined]


def _fail(message: str, *, quiet: bool = False) -> None:
    if not quiet:
        sys.stderr.write(f"error: {message}\n")
    sys.exit(2)


if __name__ == "__main__":
    main()
