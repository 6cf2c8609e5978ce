"""What a clip carries besides its picture, and how it comes into the output.

`tracks` are sound, subtitles and data, as they are or (`sound`, `subtitles`) in a kind that the output holds; `covers`
are pictures that stand for the clip; `timecode` counts on.
"""
