"""The command line: `python -m audiovq`, or `audiovq`."""

import sys


def main() -> None:
    """Run the command line; a caller's mistake is one line on stderr and exit code 2."""
    from audiovq.cli import app  # noqa: PLC0415  (errors must be known before anything heavy)
    from audiovq.errors import AudioVQError  # noqa: PLC0415
    from audiovq.train.signals import Interrupted  # noqa: PLC0415

    try:
        app()
    except AudioVQError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except Interrupted as stop:
        sys.stderr.write(f"{stop}; the same command goes on from there\n")
        sys.exit(stop.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
