"""Compute a vault of node shares exactly as ``contracts/compute/Shares.vy`` does: integers, rounded down."""

from __future__ import annotations

from dataclasses import dataclass, field

WEEK = 7 * 24 * 3600
UNBONDING_WEEKS = 7
VIRTUAL_SHARES = 10**6
BASIS_POINTS = 10_000
MIN_COMMISSION, MAX_COMMISSION, COMMISSION_STEP = 500, 2_500, 100


def divide_up(dividend: int, divisor: int) -> int:
    """The quotient, rounded up."""
    return -(-dividend // divisor)


@dataclass
class Claim:
    """What one controller gets in one week: ``shares`` that were asked back, for ``claims`` nit unless slashed."""

    shares: int = 0
    claims: int = 0


@dataclass
class Pool:
    """All claims that mature in one week, and the nit that are left for them."""

    claims: int = 0
    assets: int = 0


@dataclass(frozen=True)
class Slash:
    """What a slash took, and how much of it from the owner's stake."""

    taken: int
    own: int


@dataclass
class Vault:
    """A vault: the caller checks who may do what; the vault computes what it comes to.

    Args:
        owner: who takes the commission.
        commission: in basis points.
    """

    owner: str
    commission: int
    managed: int = 0
    supply: int = 0
    own_shares: int = 0
    balances: dict[str, int] = field(default_factory=dict)
    credits: dict[str, int] = field(default_factory=dict)
    pools: dict[int, Pool] = field(default_factory=dict)
    claims: dict[str, dict[int, Claim]] = field(default_factory=dict)
    own_claims: dict[int, int] = field(default_factory=dict)
    next_commission: int = 0
    next_from: int = 0

    @property
    def balance(self) -> int:
        """Every nit in the vault."""
        claimed = sum(pool.assets for pool in self.pools.values()) + sum(self.own_claims.values())
        return self.managed + claimed + sum(self.credits.values())

    def to_shares(self, assets: int) -> int:
        """Shares for ``assets`` nit."""
        return assets * (self.supply + VIRTUAL_SHARES) // (self.managed + 1)

    def to_assets(self, shares: int) -> int:
        """Nit for ``shares``."""
        return shares * (self.managed + 1) // (self.supply + VIRTUAL_SHARES)

    def price(self, shares: int) -> int:
        """What ``shares`` cost, rounded up."""
        return divide_up(shares * (self.managed + 1), self.supply + VIRTUAL_SHARES)

    def announce(self, commission: int, now: int) -> None:
        """Change the commission at the start of the week after the next."""
        self.settle_commission(now)
        self.next_commission, self.next_from = commission, (now // WEEK + 2) * WEEK

    def settle_commission(self, now: int) -> None:
        """Let an announced commission take effect when its time has come."""
        if self.next_from and now >= self.next_from:
            self.commission, self.next_from = self.next_commission, 0

    def income(self, amount: int, now: int) -> int:
        """Share out ``amount`` nit of job revenue or rewards; the commission on it is returned and credited."""
        rate = self.commission
        if self.next_from and now >= self.next_from:
            rate = min(rate, self.next_commission)
        fee = amount * rate // BASIS_POINTS if self.supply else amount
        self.managed += amount - fee
        self._credit(self.owner, fee)
        self.settle_commission(now)
        return fee

    def deposit(self, holder: str, assets: int, now: int) -> int:
        """Shares that ``holder`` gets for ``assets`` nit."""
        self.settle_commission(now)
        shares = self.to_shares(assets)
        self.balances[holder] = self.balances.get(holder, 0) + shares
        self._enter(assets, shares)
        return shares

    def mint(self, holder: str, shares: int, now: int) -> int:
        """What ``holder`` pays for ``shares``."""
        self.settle_commission(now)
        assets = self.price(shares)
        self.balances[holder] = self.balances.get(holder, 0) + shares
        self._enter(assets, shares)
        return assets

    def stake(self, assets: int, now: int) -> int:
        """Shares that the owner's stake grows by."""
        self.settle_commission(now)
        shares = self.to_shares(assets)
        self.own_shares += shares
        self._enter(assets, shares)
        return shares

    def unstake(self, shares: int, now: int) -> int:
        """Ask back part of the owner's stake; what it comes to unless it is slashed."""
        self.settle_commission(now)
        assets = self._leave(shares)
        self.own_shares -= shares
        week = now // WEEK + UNBONDING_WEEKS
        self.own_claims[week] = self.own_claims.get(week, 0) + assets
        self._free_dust()
        return assets

    def claim_stake(self, now: int) -> int:
        """Nit of the owner's matured claims."""
        return sum(self.own_claims.pop(week) for week in self._matured(self.own_claims, now))

    def transfer(self, sender: str, receiver: str, shares: int) -> None:
        """Give shares away."""
        self.balances[sender] = self.balances.get(sender, 0) - shares
        self.balances[receiver] = self.balances.get(receiver, 0) + shares

    def request(self, holder: str, shares: int, now: int) -> int:
        """Ask shares back; what they come to unless they are slashed."""
        self.settle_commission(now)
        assets = self._leave(shares)
        self.balances[holder] -= shares
        week = now // WEEK + UNBONDING_WEEKS
        claim = self.claims.setdefault(holder, {}).setdefault(week, Claim())
        pool = self.pools.setdefault(week, Pool())
        claim.shares, claim.claims = claim.shares + shares, claim.claims + assets
        pool.claims, pool.assets = pool.claims + assets, pool.assets + assets
        self._free_dust()
        return assets

    def matured(self, holder: str, now: int) -> tuple[int, int]:
        """Shares and nit that ``holder`` can collect."""
        claims = self.claims.get(holder, {})
        ready = [(claims[week], self.pools[week]) for week in self._matured(claims, now)]
        return sum(c.shares for c, _ in ready), sum(c.claims * p.assets // p.claims for c, p in ready)

    def collect(self, holder: str, now: int) -> int:
        """Pay everything that has matured."""
        claims, total = self.claims.get(holder, {}), 0
        for week in self._matured(claims, now):
            claim, pool = claims.pop(week), self.pools[week]
            assets = claim.claims * pool.assets // pool.claims
            pool.claims, pool.assets = pool.claims - claim.claims, pool.assets - assets
            total += assets
        return total

    def collect_credit(self, account: str, now: int) -> int:
        """Pay commission and what rounding left to an account."""
        credit = self.credits.pop(account, 0)
        if credit:
            self.settle_commission(now)
        return credit

    def slash(self, amount: int, now: int) -> Slash:
        """Take from the owner's stake first, then from holders and open claims alike."""
        self.settle_commission(now)
        own = self._take_own(amount, now)
        taken = own + self._take_all(amount - own, now)
        self._free_dust()
        return Slash(taken, own)

    def _enter(self, assets: int, shares: int) -> None:
        self.managed += assets
        self.supply += shares

    def _leave(self, shares: int) -> int:
        assets = self.to_assets(shares)
        self.managed -= assets
        self.supply -= shares
        return assets

    def _take_own(self, amount: int, now: int) -> int:
        taken = 0
        if self.own_shares and amount:
            burned = divide_up(amount * (self.supply + VIRTUAL_SHARES), self.managed + 1)
            taken = amount
            if burned > self.own_shares:
                burned, taken = self.own_shares, self.to_assets(self.own_shares)
            self.own_shares -= burned
            self.supply -= burned
            self.managed -= taken
        for week in self._open_weeks(now):
            part = min(amount - taken, self.own_claims.get(week, 0))
            if part:
                self.own_claims[week] -= part
                taken += part
        return taken

    def _take_all(self, amount: int, now: int) -> int:
        pools = [self.pools[week] for week in self._open_weeks(now) if week in self.pools]
        total = self.managed + sum(pool.assets for pool in pools)
        taken = left = min(amount, total)
        if taken == 0:
            return 0
        part = left * self.managed // total
        total, left, self.managed = total - self.managed, left - part, self.managed - part
        for pool in pools:
            if pool.assets:
                part = left * pool.assets // total
                total, left, pool.assets = total - pool.assets, left - part, pool.assets - part
        return taken

    def _open_weeks(self, now: int) -> range:
        return range(now // WEEK + 1, now // WEEK + 1 + UNBONDING_WEEKS)

    @staticmethod
    def _matured(weeks: dict[int, object] | dict[int, int] | dict[int, Claim], now: int) -> list[int]:
        return [week for week in weeks if week * WEEK <= now]

    def _free_dust(self) -> None:
        if self.supply == 0 and self.managed:
            self._credit(self.owner, self.managed)
            self.managed = 0

    def _credit(self, account: str, amount: int) -> None:
        self.credits[account] = self.credits.get(account, 0) + amount
