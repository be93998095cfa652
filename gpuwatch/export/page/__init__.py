"""The live page at `/`: a tree of elements, which the server writes as HTML and a browser's script brings up to date.

Nothing of it is loaded before somebody looks.
"""
