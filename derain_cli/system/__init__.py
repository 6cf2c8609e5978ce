"""Operating system services: atomic files, memory, locks, signals, and provenance of results. No torch."""
