"""What may be done with data, by whom, and how a person leaves it."""
