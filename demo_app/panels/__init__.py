"""What is on the page, a file per panel: controls, one call into `work`, pictures.

Every panel is a function `build(hall, desk) -> Panel`; nothing is computed here.
"""
