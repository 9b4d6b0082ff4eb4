"""Measure the ledger and the market: one command, a table and JSON, ratios against peers of the same run."""
