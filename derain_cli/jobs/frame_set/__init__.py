"""Data sets of real rain from clips: rainy, sharp, unlike each other, split by clip.

First every clip is looked at, and what was measured is kept in a hidden folder of the data set: a run that was
stopped goes on with the next clip, and a run with other numbers or further clips looks at what is new only. Then the
choice is made from the measures alone, and last the chosen frames are decoded once more and written.

Clips go by their content, not by where they lie: the same clips give the same names, the same split and the same
files, in whatever order they are named and by however many threads.

In this order: `plan` (which sources there are), `study` (what they are like), `choice` (which frames make the set) and
`writing`; `layout` says what lies where in the set.
"""
