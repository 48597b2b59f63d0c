"""Every verb of Sampan: loads, calls ribs, appends to the ledger. One typed method per operation; every surface is derived from it."""
