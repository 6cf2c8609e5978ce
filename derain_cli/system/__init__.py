"""The machine underneath: files written whole, memory, locks, signals, and where a number came from. No torch."""
