"""Private parts of pyfd: the boundary to C, files, metadata, arithmetic and more.

Nothing here is public: names and signatures change without notice.
"""

from pyfd._core.checkout import check_extension

check_extension()
