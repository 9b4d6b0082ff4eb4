"""Let a key in memory sign for an account: authorized on chain, for a while, up to a limit, to few contracts."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from functools import cached_property

import msgspec

from candela.amounts import NIT_PER_CND, format_cnd
from candela.chain.account import Account, SessionKey
from candela.chain.client import Client
from candela.chain.contract import Contract
from candela.chain.message import Message
from candela.errors import RpcError, TransactionFailed, UsageError
from candela.network.genesis import MARKET, REGISTRY, SESSION_KEYS

MAX_SCOPE = 8
_AUTHORIZE_GAS, _GAS_PER_CALLEE = 100_000, 30_000
_CLOCK_SECONDS = 30
_LOST_SECONDS = 60.0


class SessionTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a session key may do; whatever it may not, the account signs itself."""

    limit: int = NIT_PER_CND
    """Most nit that its transactions move and pay for gas."""
    lifetime_seconds: int = 24 * 3600
    """How long it is good for; the next one is authorized when three quarters have passed."""
    scope: tuple[str, ...] = (MARKET, REGISTRY)
    """The contracts that it calls."""

    def __post_init__(self) -> None:
        """Refuse what the chain would refuse."""
        if not 0 < self.limit < 2**104:
            raise UsageError(f"a session can't have a limit of {self.limit} nit", fix="give one from 1 to 2^104 - 1")
        if not 1 <= len(self.scope) <= MAX_SCOPE:
            raise UsageError(
                f"a session can't have a scope of {len(self.scope)}", fix=f"name 1 to {MAX_SCOPE} contracts"
            )
        if self.lifetime_seconds <= 2 * _CLOCK_SECONDS:
            raise UsageError(
                f"a session can't last {self.lifetime_seconds} s", fix=f"give it more than {2 * _CLOCK_SECONDS} s"
            )


class _Grant(msgspec.Struct):
    """One key with its terms and what has gone from them."""

    key: SessionKey
    expiry: int
    transaction: str = ""
    """The one that authorizes it, once it is submitted."""
    submitted_at: float = 0.0
    spent: int = 0
    """Nit, as the chain knew it when it was last asked."""
    reserved: int = 0
    """Nit that later transactions cost at most."""


class Session:
    """The session keys of one account, one after the other; its :class:`Sender` keeps threads apart.

    Args:
        client: the node.
        account: in whose place the keys sign.
        terms: what they may do.
    """

    def __init__(self, client: Client, account: Account, terms: SessionTerms) -> None:
        self.terms = terms
        self._client, self._account = client, account
        self._scope = {each.lower() for each in terms.scope}
        self._contract = Contract(client, "SessionKeys", SESSION_KEYS)
        self._active: _Grant | None = None
        self._pending: _Grant | None = None
        self._given_up = False

    def authorization(self, messages: Sequence[Message]) -> Message | None:
        """The transaction that authorizes a key, if these messages want one and the time has come for it.

        The account itself signs it and submits it before the messages; :meth:`submitted` is told its hash.
        """
        if not any(self._is_in_scope(each) for each in messages) or not self._supported or self._given_up:
            return None
        self._settle()
        if self._given_up or self._pending or (self._active and not self._is_due(self._active)):
            return None
        grant = _Grant(SessionKey.create(), int(time.time()) + self.terms.lifetime_seconds)
        self._pending = grant
        terms = (grant.key.public, grant.expiry, self.terms.limit, self.terms.scope)
        gas = _AUTHORIZE_GAS + _GAS_PER_CALLEE * len(self.terms.scope)
        return self._contract.message("authorize", *terms, gas=gas)

    def submitted(self, transaction: str) -> None:
        """Note the hash of the last :meth:`authorization`."""
        if self._pending:
            self._pending.transaction, self._pending.submitted_at = transaction, time.monotonic()

    def not_submitted(self) -> None:
        """Forget an :meth:`authorization` that did not reach the node."""
        if self._pending and not self._pending.transaction:
            self._pending = None

    def key_for(self, message: Message, cost: int) -> SessionKey | None:
        """The key that may sign a message of at most ``cost`` nit, gas included; ``None`` when the account must."""
        grant = self._active
        if grant is None or not self._is_in_scope(message) or time.time() > grant.expiry - _CLOCK_SECONDS:
            return None
        if grant.spent + grant.reserved + cost > self.terms.limit:
            return None
        grant.reserved += cost
        return grant.key

    def refused(self, error: RpcError) -> bool:
        """Whether the node refused a session key for what it is; the account then signs until there is another."""
        if "session key" not in error.what or self._active is None:
            return False
        logging.getLogger("candela").info("%s signs itself for now: %s", self._account.address, error.what)
        # The node behind an address may be another than the one that knew the key.
        early = "is not authorized" in error.what and time.monotonic() - self._active.submitted_at < _LOST_SECONDS
        if early and self._pending is None:
            self._pending = self._active
        self._active = None
        return True

    def _is_in_scope(self, message: Message) -> bool:
        return message.to is not None and message.to.lower() in self._scope

    @cached_property
    def _supported(self) -> bool:
        if self._client.call("eth_getCode", SESSION_KEYS, "latest") != "0x":
            return True
        self._say("this network has no session keys: there is no contract at " + SESSION_KEYS)
        return False

    def _say(self, reason: str) -> None:
        logging.getLogger("candela").warning("%s signs every transaction itself: %s", self._account.address, reason)

    def _settle(self) -> None:
        """See what has become of a key that was to be authorized."""
        grant = self._pending
        if grant is None:
            return
        (receipt,) = self._client.receipts([grant.transaction])
        if receipt is None:
            if time.monotonic() - grant.submitted_at > _LOST_SECONDS:
                self._pending = None
            return
        try:
            self._client.check(receipt, "authorizing a session key")
            # A node shows a receipt a moment before it acts on it.
            if not self._contract.read("session", self._account.address, grant.key.public)["expiry"]:
                return
        except RpcError:
            return
        except TransactionFailed as error:
            self._pending, self._given_up = None, True
            self._say(f"{error.what}: {error.why}; set this machine's clock, or start again with other terms")
            return
        self._active, self._pending = grant, None

    def _is_due(self, grant: _Grant) -> bool:
        if time.time() > grant.expiry - self.terms.lifetime_seconds / 4:
            return True
        if grant.spent + grant.reserved <= self.terms.limit // 2:
            return False
        # What was reserved is mostly more than what was spent.
        terms = self._contract.read("session", self._account.address, grant.key.public)
        grant.spent, grant.reserved = terms["spent"], 0
        return grant.spent > self.terms.limit // 2

    def __repr__(self) -> str:
        """Name the account and what its keys may spend."""
        return f"Session({self._account.address}, limit={format_cnd(self.terms.limit)})"
