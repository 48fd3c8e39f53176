"""Brokers and presence stores, each named after its technology."""
