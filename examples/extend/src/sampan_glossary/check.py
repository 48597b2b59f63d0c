"""A rule for data contracts: texts are written without blanks at their ends and without double blanks inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl


class TidyText:
    """The rule `tidy_text`; it takes no parameters."""

    name = "tidy_text"
    level = "warn"

    def describe(self, column: str, parameters: Mapping[str, Any]) -> str:  # noqa: ARG002  # the port's signature
        """Say the rule in words."""
        return f"{column} has no blanks at its ends and no double blanks inside"

    def violations(self, column: str, parameters: Mapping[str, Any]) -> pl.Expr:  # noqa: ARG002  # the port's signature
        """Mark texts with stray blanks; missing texts are no violation."""
        return pl.col(column).cast(pl.String).str.contains(r"^\s|\s$|\s\s").fill_null(value=False)
