"""The command line: parses and prints. Its commands are derived from the rooms' operations; nothing is decided here."""
