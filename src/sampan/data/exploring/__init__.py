"""Exploration: what a table is like, what is wrong with it, and what to try; aggregates only, from its profile and a sample of its rows."""
