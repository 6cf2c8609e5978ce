"""Data sets of real rain from clips: rainy, sharp, diverse frames, split by clip.

First every clip is measured, and the results are cached in a hidden folder of the data set: interrupted runs resume
with the next clip, and runs with other options or additional clips measure only what is new. Then frames are selected
from the measurements alone, and finally the selected frames are decoded again and written.

Clips are identified by content, not by path: the same clips give the same names, split and files, whatever their order
and the number of threads.

The stages are `plan` (finds the sources), `study` (measures them), `choice` (selects frames) and `writing`; `layout`
defines the structure of the data set.
"""
