#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "command_line.h"
#include "host/host.h"
#include "host/real_world.h"
#include "netlab/encoding.h"
#include "netlab/files.h"
#include "netlab/http_client.h"
#include "netlab/simulation.h"

namespace netlab::lua::command {

namespace {

struct outcome {
  std::string file, name, problem;
  double seconds = 0;
  bool passed = false, skipped = false;
};

std::string xml(std::string text) {
  // XML has no way to write these.
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') c = '?';
  return escape_markup(text);
}

std::string junit(const std::vector<outcome>& all) {
  std::size_t failures = 0, skipped = 0;
  double seconds = 0;
  for (const auto& o : all) {
    failures += !o.passed && !o.skipped;
    skipped += o.skipped;
    seconds += o.seconds;
  }
  char numbers[160];
  std::snprintf(numbers, sizeof numbers, "tests=\"%zu\" failures=\"%zu\" skipped=\"%zu\" time=\"%.3f\"",
                all.size(), failures, skipped, seconds);
  std::string out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"netlab\" " +
                    std::string(numbers) + ">\n";
  for (const auto& o : all) {
    std::snprintf(numbers, sizeof numbers, "%.3f", o.seconds);
    out += "  <testcase classname=\"" + xml(o.file) + "\" name=\"" + xml(o.name) + "\" time=\"" + numbers +
           "\">";
    if (o.skipped)
      out += "<skipped message=\"" + xml(o.problem) + "\"/>";
    else if (!o.passed)
      out += "<failure message=\"failed\">" + xml(o.problem) + "</failure>";
    out += "</testcase>\n";
  }
  return out + "</testsuite>\n";
}

void tap(std::size_t number, const outcome& o) {
  std::printf("%s %zu - %s: %s%s\n", o.passed || o.skipped ? "ok" : "not ok", number, o.file.c_str(),
              o.name.c_str(), o.skipped ? (" # SKIP " + o.problem).c_str() : "");
  if (o.passed || o.skipped) return;
  std::printf("  ---\n  message: |\n");
  std::string line;
  for (char c : o.problem + "\n") {
    if (c != '\n') {
      line += c;
      continue;
    }
    std::printf("    %s\n", line.c_str());
    line.clear();
  }
  std::printf("  ...\n");
}

// Counts the exchanges under way, whoever began them.
class counting_client final : public http_client {
public:
  explicit counting_client(http_client& real) : real_(real) {}
  int under_way() const { return *under_way_; }

  std::unique_ptr<http_exchange> send(http_request request,
                                      std::function<void(result<http_response>)> done) override {
    auto out = std::make_unique<counted>();
    out->mark = std::make_shared<one>(under_way_);
    out->exchange = real_.send(std::move(request), [mark = out->mark, done = std::move(done)](auto got) {
      mark->end();
      done(std::move(got));
    });
    return out;
  }

private:
  struct one {
    std::shared_ptr<int> count;
    bool ended = false;
    explicit one(std::shared_ptr<int> c) : count(std::move(c)) { ++*count; }
    void end() {
      if (!ended) --*count;
      ended = true;
    }
  };
  struct counted final : http_exchange {
    std::shared_ptr<one> mark;
    std::unique_ptr<http_exchange> exchange;
    ~counted() override { mark->end(); }
  };
  http_client& real_;
  std::shared_ptr<int> under_way_ = std::make_shared<int>(0);
};

// A runtime whose clock stands still until every task waits for time alone, and then jumps to the next timer.
// Processes, files and exchanges stay real: while a task waits for one of them, time does not move.
class virtual_world {
public:
  explicit virtual_world(real_world& real)
      : real_(real), base_(real.control()),
        http_(base_.http), world_{time_,           time_, base_.random, base_.net,    base_.files,
                                  base_.processes, http_, base_.log,    base_.metrics} {}

  runtime& world() { return world_; }

  void pump(host& h) {
    time_.settle();
    bool real_wait = http_.under_way() > 0;
    for (const auto& t : h.tasks().all()) {
      const auto& what = t->waits_for();
      real_wait = real_wait || what.starts_with("process.");
    }
    auto next = time_.until_next();
    if (!real_wait && next != duration::max()) time_.advance(next);
    auto again = [this, &h] { pump(h); };
    if (real_wait || next == duration::max())
      turn_ = real_.loop().scheduler().after(std::chrono::milliseconds(1), again);
    else
      real_.loop().scheduler().post(again);
  }

private:
  real_world& real_;
  runtime base_;
  counting_client http_;
  manual_time time_;
  runtime world_;
  timer turn_;
};

struct test_options {
  std::vector<std::string> files;
  std::string junit;
  bool virtual_time = false;
};

int test(const api& a, const global_options& global, const test_options& wanted) {
  // Whole lines, in order with what recipes log, when both go to one file.
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  std::vector<outcome> all;
  std::printf("TAP version 13\n");
  for (const auto& file : wanted.files) {
    auto add = [&](outcome o) {
      o.file = file;
      all.push_back(std::move(o));
      tap(all.size(), all.back());
    };
    real_world world(2, global.log, global.level);
    {
      virtual_world simulation(world); // outlives the host
      host_options options;
      options.recipe = file;
      options.vm.jit = global.jit;
      // In simulated runs everything shares the one thread that moves time.
      host h(
          wanted.virtual_time ? simulation.world() : world.control(),
          [&](std::size_t which) -> runtime& {
            return wanted.virtual_time ? simulation.world() : world.bytes(which);
          },
          a, options);
      h.on_control("test.result", [&](const json& r) -> result<json> {
        add({file, r.value("name", ""), r.value("problem", ""), r.value("seconds", 0.0),
             r.value("passed", false), r.value("skipped", false)});
        return json(nullptr);
      });
      auto before = all.size();
      h.load();
      h.link();
      if (!h.mistakes().empty()) {
        std::string text;
        for (const auto& line : h.mistakes().lines()) text += line + "\n";
        add({file, "the file loads", text, 0, false, false});
        continue;
      }
      if (auto started = h.start(); !started) {
        add({file, "its services start", started.error().message, 0, false, false});
        world.stop_bytes();
        continue;
      }
      int code = 0;
      h.run([&](int exit_code) {
        code = exit_code;
        world.loop().stop();
      });
      if (wanted.virtual_time) world.loop().scheduler().post([&] { simulation.pump(h); });
      world.loop().run();
      world.stop_bytes();
      if (all.size() == before)
        add({file, "has test cases", "no test.case ran: does the file require \"netlab.test\"?", 0, false,
             false});
      else if (code != 0 && std::all_of(all.begin() + static_cast<long>(before), all.end(),
                                        [](const outcome& o) { return o.passed || o.skipped; }))
        add({file, "ends well", "netlab.main ended with " + std::to_string(code), 0, false, false});
    }
  }
  std::printf("1..%zu\n", all.size());
  std::size_t failures = 0;
  for (const auto& o : all) failures += !o.passed && !o.skipped;
  std::printf("# %zu passed, %zu failed\n", all.size() - failures, failures);
  if (!wanted.junit.empty()) {
    real_world world(2, global.log, global.level);
    if (auto written = world.control().files.write(wanted.junit, junit(all)); !written) {
      std::fprintf(stderr, "netlab: %s\n", written.error().message.c_str());
      return failed;
    }
  }
  return failures == 0 ? ok : failed;
}

} // namespace

void add_test(command_line& all) {
  auto wanted = std::make_shared<test_options>();
  auto& c = all.add(
      "test", "FILE…", "runs recipe tests; TAP on the standard output",
      [&all, wanted](const global_options& global) { return test(all.described(), global, *wanted); });
  c.add_option("FILE", wanted->files, "")->required();
  c.add_option("--junit", wanted->junit, "writes the results there as JUnit's XML too")->option_text("OUT");
  c.add_flag("--virtual-time", wanted->virtual_time, "does not wait for timers: time jumps to the next");
}

} // namespace netlab::lua::command
