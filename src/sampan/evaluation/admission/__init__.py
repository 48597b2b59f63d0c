"""Is a batch of labeled rows good for the model that exists? Signals in files of their own; `judge.py` brings them to a verdict."""
