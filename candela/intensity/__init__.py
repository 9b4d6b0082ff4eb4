"""Proof of Intensity, version 1: measure how many exact integer operations a device does, so that anyone can check it.

A device multiplies matrices that a random beacon has just fixed, commits to every 32x32 tile of the products with one
hash, and shows the tiles that a *later* beacon draws. Whoever checks holds nothing and recomputes those tiles alone.
``docs/intensity.md`` says what this proves and what it does not.
"""

from candela.intensity.opening import Opening
from candela.intensity.path import HostPath, Path
from candela.intensity.profile import C1, G1, Profile
from candela.intensity.prover import Prover, Window
from candela.intensity.rails import check_exact
from candela.intensity.sampling import SAMPLES, drawn
from candela.intensity.seed import Context
from candela.intensity.verifier import verify
from candela.intensity.window import Commitment

__all__ = [
    "C1",
    "G1",
    "SAMPLES",
    "Commitment",
    "Context",
    "HostPath",
    "Opening",
    "Path",
    "Profile",
    "Prover",
    "Window",
    "check_exact",
    "drawn",
    "verify",
]
