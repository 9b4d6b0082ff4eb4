"""Talk to the ledger: JSON-RPC, keys, transactions, and the system contracts."""
