"""What nodes tell each other: orders, revocations, and who is where. It travels over the broker."""
