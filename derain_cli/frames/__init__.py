"""Pictures and clips: the only code that opens photo files and video files. No torch.

Photos: `images` (by `deep` where 16 bits are), with their `metadata`. Clips in: `containers`, `clip_info` and `video`;
`gaps`, `holes` and `fragments` notice what damage took. Clips out: `encoding`, `segments` and `assembly`. On frames:
`steady`, `select` and `sheets`.
"""
