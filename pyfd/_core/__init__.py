"""Private parts of pyfd: the boundary to C, files, metadata, arithmetic and more.

Nothing here is public: names and signatures change without notice.
"""

import logging

from pyfd._core.checkout import check_extension

logging.getLogger("pyfd").addHandler(logging.NullHandler())  # print nothing unasked
check_extension()
