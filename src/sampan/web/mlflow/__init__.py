"""The MLflow tracking and registry protocol, so that MLflow clients log to Sampan unchanged: an adapter over the ledger and the catalog."""
