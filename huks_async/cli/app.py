"""The commands put together, and how each ends."""

import inspect
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from huks_async._version import __version__
from huks_async.cli import attest, console, crypt, demo, doctor, keys, signing
from huks_async.cli.interrupts import Interrupted, drive
from huks_async.model.errors import BusinessError

app = App(
    name="huks",
    help="Keys that never leave their keystore: make them, use them on files and pipes.",
    version=__version__,
    help_format="plaintext",
)
app.command(demo.demo)
app.command(keys.app)
app.command(crypt.encrypt)
app.command(crypt.decrypt)
app.command(signing.sign)
app.command(signing.verify)
for where in (app, keys.app):
    where.command(attest.verify_attestation_command, name="verify-attestation")
app.command(doctor.doctor)
app.command(doctor.algorithms)


def run(arguments: Sequence[str]) -> int:
    """Run one command to its exit code."""
    console.quiet_warnings()
    console.accept_all_text()
    try:
        command, bound, _ = app.parse_args(list(arguments), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        console.report(str(error).strip(), "huks --help, or huks COMMAND --help")
        return console.WRONG_USAGE
    try:
        result = command(*bound.args, **bound.kwargs)
        if inspect.iscoroutine(result):
            result = drive(result)
        console.flush_output()
    except console.CommandError as error:
        console.report(error.message, error.hint)
        return error.status
    except BusinessError as error:
        console.report_business_error(error)
        return console.FAILED
    except BrokenPipeError:
        # the reader has gone
        return console.FAILED
    except OSError as error:
        console.report(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return console.FAILED
    except (Interrupted, KeyboardInterrupt) as signal:
        console.say("interrupted")
        return getattr(signal, "status", 130)
    return result if isinstance(result, int) else 0
