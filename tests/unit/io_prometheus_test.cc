#include "netlab/prometheus.h"

#include <doctest/doctest.h>

#include <limits>

#include "netlab/process_usage.h"

using namespace netlab;

TEST_CASE("prometheus: the lines of one metric stand together, counters and readings by their suffix") {
  metrics counted;
  counted.get("netlab_x_total", {{"server", "b"}}).add(3);
  counted.get("netlab_x_total", {{"server", "a"}}).add(18446744073709551615ull);
  std::vector<reading> read = {{"netlab_y", {}, 0.25}, {"netlab_a", {{"service", "one"}, {"kind", "k"}}, 7}};
  CHECK(to_prometheus(counted.samples(), read) == "# TYPE netlab_a gauge\n"
                                                  "netlab_a{kind=\"k\",service=\"one\"} 7\n"
                                                  "# TYPE netlab_x_total counter\n"
                                                  "netlab_x_total{server=\"a\"} 18446744073709551615\n"
                                                  "netlab_x_total{server=\"b\"} 3\n"
                                                  "# TYPE netlab_y gauge\n"
                                                  "netlab_y 0.25\n");
  CHECK(to_prometheus({}, {}).empty());
}

TEST_CASE("prometheus: what a name from the network holds adds no line and no label") {
  metrics counted;
  counted.get("netlab x-1", {{"li\"st", "a\\b\"} 1\nnetlab_forged 9"}}).add();
  CHECK(to_prometheus(counted.samples(), {}) == "# TYPE netlab_x_1 gauge\n"
                                                "netlab_x_1{li_st=\"a\\\\b\\\"} 1\\nnetlab_forged 9\"} 1\n");
  CHECK(to_prometheus({}, {{"9lives", {}, 1}}) == "# TYPE _lives gauge\n_lives 1\n");
}

TEST_CASE("prometheus: numbers that are none") {
  constexpr auto infinite = std::numeric_limits<double>::infinity();
  CHECK(to_prometheus({}, {{"a", {}, infinite},
                           {"a", {}, -infinite},
                           {"a", {}, std::numeric_limits<double>::quiet_NaN()}}) ==
        "# TYPE a gauge\na +Inf\na -Inf\na NaN\n");
}

TEST_CASE("process usage: this process is resident, young and has files open") {
  auto used = read_process_usage();
  CHECK(used.resident_bytes > 1u << 20);
  CHECK(used.open_files >= 3);
  CHECK(used.open_files_limit >= used.open_files);
  auto age = std::chrono::system_clock::now() - used.started;
  CHECK(age >= std::chrono::seconds(-1));
  CHECK(age < std::chrono::hours(1));
}
