"""Packages made ready for elsewhere: an image, manifests for a cluster, a unit for systemd, a wheel."""
