"""Runs: programs watched, logged to, listed and laid side by side."""
