"""Private parts of pyfd: the cffi edge, files, metadata, arithmetic and other foundations.

Nothing here is public: names and signatures change without notice.
"""

from pyfd._core.checkout import check_extension

check_extension()
