"""What data may be used for, who is in it, and how they are kept unseen: pure functions over tables, terms and texts."""
