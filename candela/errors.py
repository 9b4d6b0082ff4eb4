"""Everything that Candela raises on purpose, each with a number, a reason and the next step."""

from __future__ import annotations


class Error(Exception):
    """Base of all of Candela's errors.

    Args:
        what: what happened, one sentence.
        why: the reason, where it is known.
        fix: what to do next, often a command.
    """

    code = "CND-000"

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        self.what, self.why, self.fix = what, why, fix
        super().__init__(what, why, fix)

    def __str__(self) -> str:
        """One line per part that is known."""
        lines = [f"{self.code}: {self.what}"]
        lines += [f"  why: {self.why}"] if self.why else []
        lines += [f"  fix: {self.fix}"] if self.fix else []
        return "\n".join(lines)


class UsageError(Error, ValueError):
    """An argument makes no sense."""

    code = "CND-100"


class ValueTypeError(Error, TypeError):
    """A value can't travel between machines."""

    code = "CND-101"


class BundleError(Error):
    """A function's source can't be collected or is not acceptable."""

    code = "CND-102"


class NotRunningError(Error, RuntimeError):
    """A function was called outside of ``with app.run()``."""

    code = "CND-103"


class NetworkError(Error, ConnectionError):
    """A node can't be reached, or is not the one that was meant."""

    code = "CND-200"


class RpcError(Error):
    """A node refused a request."""

    code = "CND-201"

    def __init__(self, what: str, *, why: str = "", fix: str = "", rpc_code: int = 0, data: object = None) -> None:
        super().__init__(what, why=why, fix=fix)
        self.rpc_code, self.data = rpc_code, data


class TransactionFailed(Error):  # noqa: N818 - the field's word for it
    """A transaction was included and reverted."""

    code = "CND-202"


class PortTakenError(Error):
    """Another program listens on the port."""

    code = "CND-203"


class DirectoryHeldError(Error):
    """Another process uses the data directory."""

    code = "CND-204"


class KeyFileError(Error):
    """A key file is missing, unreadable or locked."""

    code = "CND-205"


class ProofError(Error):
    """A proof does not show what a node claims.

    Args:
        part: what does not hold: document, header, account or slot.
    """

    code = "CND-206"

    def __init__(self, what: str, *, why: str = "", fix: str = "", part: str = "document") -> None:
        super().__init__(what, why=why, fix=fix)
        self.part = part


class CertificateError(Error):
    """A certificate does not make a block final."""

    code = "CND-207"


class CheckpointError(Error):
    """A checkpoint is malformed, of another chain, or too old to be trusted."""

    code = "CND-208"


class ArtefactError(Error):
    """Content is missing, too large, or not what its hash says."""

    code = "CND-300"


class BudgetError(Error):
    """The job's money is used up, or never sufficed."""

    code = "CND-400"


class NoProviderError(Error):
    """No provider fits the job."""

    code = "CND-401"


class JobEndedError(Error):
    """The job was cancelled or expired before its tasks were done."""

    code = "CND-402"


class TaskLostError(Error):
    """Every host that a task was given to was lost."""

    code = "CND-403"


class TaskTimeoutError(Error, TimeoutError):
    """A task ran longer than its timeout."""

    code = "CND-404"


class TaskLimitError(Error, MemoryError):
    """A task ran into its memory, process or disk limit."""

    code = "CND-405"


class RemoteError(Error):
    """The customer's function raised an exception that has no counterpart here.

    The remote type, message and traceback are in the text.
    """

    code = "CND-406"


class WaitTimeoutError(Error, TimeoutError):
    """A result did not arrive within the time that its caller gave it."""

    code = "CND-408"


class ReceiptError(Error):
    """A receipt does not show what it claims."""

    code = "CND-407"


class SandboxError(Error):
    """No acceptable sandbox can be started on this machine."""

    code = "CND-500"


class RequirementError(Error):
    """The packages that a job names can't be provided."""

    code = "CND-501"


class ProviderError(Error):
    """The provider agent can't do what was asked."""

    code = "CND-502"


class IntensityError(Error):
    """A proof of intensity is false or incomplete, or a device can't make one."""

    code = "CND-503"


class DeviceBusyError(IntensityError):
    """A device's prover ended: what it needs is in use, or it was killed. It may succeed later."""

    code = "CND-504"
