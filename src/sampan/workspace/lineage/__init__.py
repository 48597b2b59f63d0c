"""Up and down the graph: lineage, impact, who; OpenLineage."""
