// Files of the time zone database: read without trouble, and whatever they say an offset is less than two
// days.
#include <cstdlib>

#include "netlab/time_zone.h"

using namespace netlab;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto zone = time_zone::parse({data, size});
  if (!zone) return 0;
  for (std::int64_t t = -8'000'000'000; t < 8'000'000'000; t += 123'456'789)
    if (std::chrono::abs(zone->offset(wall_time(std::chrono::seconds(t)))) > std::chrono::hours(48))
      std::abort();
  return 0;
}
