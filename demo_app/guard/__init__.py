"""What stands between a visitor and the machine.

gate, routes, payload, limits: every request, before gradio sees it.
probe, decode, child: an upload's header, then its samples, in a process of its own.
server: the socket and the connections under them.
quota: the folder that visitors' files are in.
"""

from .decode import read
from .words import friendly

__all__ = ["friendly", "read"]
