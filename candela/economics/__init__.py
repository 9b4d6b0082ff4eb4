"""Compute what providers, holders and the network earn and lose, in exact integers."""
