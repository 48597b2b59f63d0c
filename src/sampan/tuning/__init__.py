"""The search for a model's parameters: spaces, time-ordered validation, a resumable sequence of trials."""
