"""The web UI at /studio: server-rendered pages over the one door, small scripts on top.

Its rule: a page shows and does only what `Dispatcher.acall` answers, and it works without script. What else it needs
(keys for signing in, what wakes it, how a definition is read) its constructor is given by the composition root.
"""
