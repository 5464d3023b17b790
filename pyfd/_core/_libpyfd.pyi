# The compiled cffi module has no types to offer: csrc/pyfd.h declares what is in
# it, and pyfd/_core/binding.py is the only module that looks inside.
from typing import Any

ffi: Any
lib: Any
