/* probe.c - the marker walk up to the first scan, and its segments. */

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  pyfd_segment segments[16];
  pyfd_status status;
  pyfd_header header;
  size_t capacity, i;
  int code;

  if (size < OPTIONS)
    return 0;
  capacity = data[0] % 17;
  code = pyfd_probe(data + OPTIONS, size - OPTIONS, &fuzz_limits, &header,
                    segments, capacity, &status);
  check_status(code, &status);
  read_all(&header, sizeof(header));
  if (code == PYFD_OK) {
    for (i = 0; i < capacity && i < header.num_segments; i++)
      read_all(data + OPTIONS + segments[i].offset, segments[i].size);
  }
  return 0;
}
