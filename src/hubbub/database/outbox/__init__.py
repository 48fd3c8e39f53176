"""The outbox: publications that are rows of a transaction first, and are relayed when it has been committed.

See docs/transactions.md for what is promised, and docs/decisions/2026-11-21-outbox.md for why it is so.
"""
