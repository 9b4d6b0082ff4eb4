"""Draw the figures of docs/economics.md from the model that the contracts are tested against: ``make plots``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from candela.economics.rewards import COIN, WINDOWS, capacity_share, covered, device_work, emission
from candela.economics.shares import BASIS_POINTS, Vault
from candela.verification import SLASH_NIT

FOLDER = Path(__file__).with_name("plots")
YEARS, YEAR_DAYS = 20, 365
OPEN_SECONDS = 60
_TERA = 10**12


def reserve_and_share() -> tuple[list[float], list[float], list[float]]:
    """Years, what is left of a reserve of 1, and the capacity share of a day's emission."""
    left, scale = 10**30, 10**30
    years, reserves, shares = [], [], []
    for day in range(YEARS * YEAR_DAYS + 1):
        years.append(day / YEAR_DAYS)
        reserves.append(left / scale)
        shares.append(capacity_share(day) / BASIS_POINTS)
        left -= emission(left, day)
    return years, reserves, shares


def payout_of_a_day(stake: int, candela: int) -> float:
    """Points of a provider with so much stake (nit) and one device of so many candela, in those of 1 CND at 10 cd."""
    work = device_work([candela * _TERA * OPEN_SECONDS] * WINDOWS)
    return min(work, covered(stake, OPEN_SECONDS)) / covered(COIN, OPEN_SECONDS)


def share_price() -> list[float]:
    """Price of a share by week: income of 1 % of the assets, and slashes of a tenth of them in weeks 18 and 36."""
    vault = Vault("owner", commission=1_000)
    vault.stake(75 * COIN, 0)
    vault.deposit("holder", 425 * COIN, 0)
    first, prices = vault.to_assets(COIN), []
    for week in range(53):
        prices.append(vault.to_assets(COIN) / first)
        vault.income(vault.managed // 100, week)
        if week in (18, 36):
            vault.slash(vault.managed // 10, week)
    return prices


def _emission(axes: Axes) -> None:
    years, reserves, shares = reserve_and_share()
    axes.plot(years, reserves, label="reserve that is left")
    axes.plot(years, shares, label="share of a day's emission for capacity")
    axes.set(xlabel="years", ylim=(0, 1.02), title="The reserve never ends")
    axes.legend(frameon=False)


def _cover(axes: Axes) -> None:
    stakes = [each / 10 for each in range(201)]
    for candela in (10, 50, 100):
        axes.plot(
            stakes, [payout_of_a_day(int(each * COIN), candela) for each in stakes], label=f"device of {candela} cd"
        )
    axes.set(xlabel="stake, CND", ylabel="points", title="Stake covers work; neither pays alone")
    axes.legend(frameon=False)


def _deterrence(axes: Axes) -> None:
    prices = [10 ** (each / 50 - 4) for each in range(201)]
    for probability in (0.01, 0.05, 0.25, 1.0):
        losses = [probability * (SLASH_NIT / COIN + price) / price for price in prices]
        axes.plot(prices, losses, label=f"p = {probability:g}")
    axes.axhline(1, color="black", linewidth=0.8, linestyle=":")
    axes.set(xscale="log", yscale="log", xlabel="price of a task, CND", ylabel="p (S + R) / G")
    axes.set_title("Above the line lying does not pay")
    axes.legend(frameon=False)


def _shares(axes: Axes) -> None:
    axes.plot(range(53), share_price())
    axes.set(
        xlabel="weeks",
        ylabel="price of a share",
        title="A slash takes the owner's stake first",
    )


FIGURES: dict[str, Callable[[Axes], None]] = {
    "emission": _emission,
    "cover": _cover,
    "deterrence": _deterrence,
    "shares": _shares,
}


def main() -> None:
    """Write every figure."""
    # Equal inputs give equal files.
    mpl.rcParams |= {"svg.hashsalt": "candela", "svg.fonttype": "none", "font.size": 10, "axes.grid": True}
    mpl.rcParams |= {"grid.alpha": 0.3, "axes.spines.top": False, "axes.spines.right": False}
    for name, draw in FIGURES.items():
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        draw(figure.add_subplot())
        path = FOLDER / f"{name}.svg"
        figure.savefig(path, metadata={"Date": None})
        print(path)


if __name__ == "__main__":
    main()
