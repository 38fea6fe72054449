"""Temporal Segment Networks (Wang et al., ECCV 2016): the library, free of any workflow tool."""
