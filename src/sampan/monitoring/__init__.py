"""Monitoring: drift verdicts, performance without labels, alarm rules. Pure functions of arrays and tables."""
