"""Clips in and out.

In: `container` opens the file, `info` says what is known of it, `reader` gives its frames, and `damage` notices what
is missing. Out: `encoding` says how frames are coded, `segments` codes some of them, `assembly` joins segments to a
clip with the source's sound and subtitles.
"""
