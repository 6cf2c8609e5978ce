"""Reading and writing of clips.

Reading: `container` opens files (`pictures`: numbered pictures and animations; `tables`: repairs broken time tables),
`info` describes them, `reader` yields frames, `timing` joins consecutive recordings in one file, and `damage` detects
missing frames. Writing: `encoding` chooses codec and pixel format, `segments` encodes frames, `assembly` joins segments
and adds everything else from the source (`carried`; `boxes`: metadata that exists only in MP4 and QuickTime boxes).
"""
