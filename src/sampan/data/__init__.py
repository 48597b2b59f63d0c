"""What data promises and whether it keeps it: contracts, their inference and checking, and columns that give the answer away."""
