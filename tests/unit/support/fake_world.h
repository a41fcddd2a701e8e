#pragma once
#include <string>
#include <vector>

#include "netlab/runtime.h"
#include "netlab/simulation.h"
#include "support/fake_net.h"

namespace netlab::test {

// Keeps every log line, for tests that ask whether and how something was reported.
class kept_log final : public log_sink {
public:
  struct line {
    log_level level;
    std::string id, text;
  };
  bool enabled(log_level level) const override { return level >= minimum; }
  void write(const log_record& record) override {
    lines.push_back({record.level, std::string(record.id), std::string(record.text)});
  }
  std::size_t count(std::string_view id) const {
    return static_cast<std::size_t>(
        std::count_if(lines.begin(), lines.end(), [&](const line& each) { return each.id == id; }));
  }
  log_level minimum = log_level::trace;
  std::vector<line> lines;
};

class no_files final : public files {
public:
  result<std::string> read(const std::string&, std::size_t) override { return none(); }
  result<void> write(const std::string&, std::string_view, int) override { return none(); }
  result<file_info> info(const std::string&) override { return none(); }
  result<std::vector<file_info>> list(const std::string&) override { return none(); }
  result<void> make_folders(const std::string&, int) override { return none(); }
  result<void> remove(const std::string&) override { return none(); }
  result<std::shared_ptr<void>> watch(const std::string&, std::function<void()>) override { return none(); }

private:
  static tl::unexpected<error> none() { return fail(errc::unsupported, "this world has no files"); }
};

class no_processes final : public processes {
public:
  result<std::unique_ptr<child_process>> spawn(const process_options&,
                                               std::function<void(process_result)>) override {
    return fail(errc::unsupported, "this world has no processes");
  }
};

class no_http final : public http_client {
public:
  std::unique_ptr<http_exchange> send(http_request, std::function<void(result<http_response>)>) override {
    return nullptr;
  }
};

// A host in a network of virtual time, with everything that a room's runtime needs.
struct fake_world {
  fake_world(manual_time& time, fake_host& host)
      : random(1), run{time, time, random, host, files, processes, http, log(logged, time), counters} {}

  std::uint64_t metric(const std::string& name, const metric_labels& labels) {
    return counters.get(name, labels).value();
  }

  seeded_random random;
  no_files files;
  no_processes processes;
  no_http http;
  kept_log logged;
  metrics counters;
  runtime run;
};

} // namespace netlab::test
