"""Everything a clip contains besides its picture, and its transfer to the output.

`tracks`: sound, subtitles and data, copied or (`sound`, `subtitles`) converted to a codec the output supports;
`covers`: cover pictures; `timecode`: time codes.
"""
