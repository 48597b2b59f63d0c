"""The inference server: transports, scoring, logs, many models."""
