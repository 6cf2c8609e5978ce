"""Photo files and video files, in and out: the only code that opens them. No torch.

`photo` and `clip` do not know each other; what both need are the arrays of `pixels`.
"""
