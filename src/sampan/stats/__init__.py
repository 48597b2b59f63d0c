"""Statistics on plain arrays: intervals, ranking, calibration, distances between distributions, mergeable profiles. Pure; knows no rib."""
