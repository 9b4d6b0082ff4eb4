"""The command ``candela``: results on stdout, everything else on stderr, ``--json`` everywhere.

Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import sys

import cyclopts

app = cyclopts.App(
    name="candela",
    help="Pool other people's GPUs into one computer, and settle every task on a chain.",
    version_flags=["--version", "-V"],
    version=lambda: _version(),
)
for _name, _target in {
    "up": "candela.cli.up:up",
    "run": "candela.cli.run:run",
    "quote": "candela.cli.jobs:quote",
    "ps": "candela.cli.jobs:ps",
    "logs": "candela.cli.jobs:logs",
    "cancel": "candela.cli.jobs:cancel",
    "spend": "candela.cli.jobs:spend",
    "dispute": "candela.cli.audits:dispute",
    "audits": "candela.cli.audits:list_audits",
    "receipt": "candela.cli.receipts:receipt",
    "verify": "candela.cli.receipts:verify",
    "proof": "candela.cli.proofs:proof",
    "light": "candela.cli.light:app",
    "genesis": "candela.cli.genesis:app",
    "validator": "candela.cli.validator:app",
    "shares": "candela.cli.shares:app",
    "keys": "candela.cli.keys:app",
    "provider": "candela.cli.provider:app",
    "doctor": "candela.cli.doctor:doctor",
}.items():
    app.command(_target, name=_name)


def _version() -> str:
    import candela

    return candela.__version__


def main() -> None:
    """Run the command line and turn Candela's errors into an exit status."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        # Spares the quarter of a second that laying out text takes.
        sys.stdout.write(f"{_version()}\n")
        return
    from candela.errors import Error, UsageError

    try:
        app()
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None
    except Error as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        raise SystemExit(130) from None
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        raise SystemExit(0) from None
