"""Models: judged, signed, packed, made smaller, promoted."""
