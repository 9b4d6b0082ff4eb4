"""The off-chain halves of the market: quotes, matching, receipts."""
