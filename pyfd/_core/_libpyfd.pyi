# cffi has no types for the compiled module: csrc/pyfd.h and csrc/binding.h declare its
# contents, and pyfd/_core/binding is the only package that uses it.
from typing import Any

ffi: Any
lib: Any
