"""Steps, plans, the cache and the places where steps run. Executors compute; `Engine` alone claims and commits."""
