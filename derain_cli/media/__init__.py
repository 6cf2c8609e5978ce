"""Reading and writing of photo and video files; the only code that opens them. No torch.

`photo` and `clip` are independent of each other; both use the arrays of `pixels`.
"""
