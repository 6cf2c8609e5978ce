"""Clips in and out.

In: `container` opens the file (`pictures`: numbered pictures and animations; `tables`: with a broken table of times
mended), `info` says what is known of it, `reader` gives its frames, `timing` lets recordings in one file follow each
other, and `damage` notices what is missing. Out: `encoding` says how frames are coded, `segments` codes some of them,
`assembly` joins segments to a clip with what the source has besides its picture (`carried`; `boxes`: what only boxes
of MP4 and QuickTime know).
"""
