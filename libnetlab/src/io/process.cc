#include "netlab/process.h"

#include <signal.h>
#include <unistd.h>

#include <cstring>

#include "loop.h"

extern char** environ;

namespace netlab::io {

namespace {

// Everything uv holds pointers to, kept until the child has ended and its pipes are closed.
struct running {
  uv_process_t process{};
  uv_pipe_t input{}, output{}, errors{};
  uv_write_t write{};
  process_options options;
  process_result result;
  std::function<void(process_result)> on_exit;
  int open_handles = 0;
  bool exited = false;
  std::shared_ptr<running*> link; // how others refer to this record; cut when it goes
  char scratch[65536];

  void closed() {
    if (--open_handles > 0) return;
    // Only now is the output complete: the pipes have said that they are at their end.
    auto call = std::move(on_exit);
    auto value = std::move(result);
    *link = nullptr;
    delete this;
    if (call) call(std::move(value));
  }
};

running* of(void* handle) { return static_cast<running*>(static_cast<uv_handle_t*>(handle)->data); }
void close_handle(void* handle) {
  auto* h = static_cast<uv_handle_t*>(handle);
  if (!uv_is_closing(h)) uv_close(h, [](uv_handle_t* closed) { of(closed)->closed(); });
}

void keep(running& r, std::string& target, const char* data, std::size_t length) {
  auto room = r.options.output_limit - std::min(r.options.output_limit, target.size());
  target.append(data, std::min(room, length));
  r.result.dropped += length - std::min(room, length);
}

void start_reading(uv_pipe_t& pipe) {
  uv_read_start(
      reinterpret_cast<uv_stream_t*>(&pipe),
      [](uv_handle_t* h, std::size_t, uv_buf_t* buffer) {
        *buffer = uv_buf_init(of(h)->scratch, sizeof of(h)->scratch);
      },
      [](uv_stream_t* s, ssize_t n, const uv_buf_t* buffer) {
        auto* r = of(s);
        if (n > 0)
          keep(*r, reinterpret_cast<uv_pipe_t*>(s) == &r->output ? r->result.output : r->result.errors,
               buffer->base, static_cast<std::size_t>(n));
        if (n < 0) close_handle(s);
      });
}

class uv_child final : public child_process {
public:
  uv_child(running* r, std::shared_ptr<running*> link) : pid_(r->process.pid), link_(std::move(link)) {}
  ~uv_child() override {
    if (!*link_) return;
    (*link_)->on_exit = nullptr;
    kill(SIGKILL);
  }
  int pid() const override { return pid_; }
  // The child leads its own group, so that what it started goes with it.
  void kill(int signal) override {
    if (*link_ && !(*link_)->exited) ::kill(-pid_, signal);
  }

private:
  int pid_;
  std::shared_ptr<running*> link_; // cleared when the child is gone
};

class uv_processes final : public processes {
public:
  explicit uv_processes(loop& owner) : loop_(owner) {}
  // Children whose handles were dropped were killed; what is left of them here is closed unheard.
  ~uv_processes() override {
    for (const auto& weak : children_) {
      auto link = weak.lock();
      if (!link || !*link) continue;
      auto* r = *link;
      r->on_exit = nullptr;
      for (void* h : {static_cast<void*>(&r->process), static_cast<void*>(&r->input),
                      static_cast<void*>(&r->output), static_cast<void*>(&r->errors)})
        close_handle(h);
    }
  }

  result<std::unique_ptr<child_process>> spawn(const process_options& options,
                                               std::function<void(process_result)> on_exit) override {
    if (options.argv.empty()) return fail(errc::invalid, "nothing to run: argv is empty", "process.spawn");
    auto* r = new running;
    r->options = options;
    auto link = r->link = std::make_shared<running*>(r);
    r->on_exit = std::move(on_exit);

    std::vector<char*> argv;
    argv.reserve(options.argv.size() + 1);
    for (auto& a : r->options.argv) argv.push_back(a.data());
    argv.push_back(nullptr);
    std::vector<std::string> environment;
    for (char** e = environ; *e; ++e) {
      std::string_view entry = *e;
      if (!options.environment.contains(std::string(entry.substr(0, entry.find('=')))))
        environment.emplace_back(entry);
    }
    for (const auto& [key, value] : options.environment) environment.push_back(key + "=" + value);
    std::vector<char*> envp;
    envp.reserve(environment.size() + 1);
    for (auto& e : environment) envp.push_back(e.data());
    envp.push_back(nullptr);

    uv_stdio_container_t stdio[3];
    uv_pipe_t* pipes[] = {&r->input, &r->output, &r->errors};
    for (int i = 0; i < 3; ++i) {
      uv_pipe_init(loop_.uv(), pipes[i], 0);
      pipes[i]->data = r;
      stdio[i].flags =
          static_cast<uv_stdio_flags>(UV_CREATE_PIPE | (i == 0 ? UV_READABLE_PIPE : UV_WRITABLE_PIPE));
      stdio[i].data.stream = reinterpret_cast<uv_stream_t*>(pipes[i]);
    }
    uv_process_options_t o{};
    o.file = argv[0];
    o.args = argv.data();
    o.env = envp.data();
    o.cwd = options.folder.empty() ? nullptr : r->options.folder.c_str();
    o.flags = UV_PROCESS_DETACHED;
    o.stdio_count = 3;
    o.stdio = stdio;
    o.exit_cb = [](uv_process_t* p, std::int64_t status, int signal) {
      auto* child = of(p);
      child->exited = true;
      child->result.signal = signal;
      child->result.exit_code = signal ? 128 + signal : static_cast<int>(status);
      close_handle(p);
      close_handle(&child->input);
    };
    r->process.data = r;
    int code = uv_spawn(loop_.uv(), &r->process, &o);
    r->open_handles = 4;
    if (code != 0) {
      r->on_exit = nullptr;
      for (auto* p : pipes) close_handle(p);
      close_handle(&r->process);
      return system_fail(-code, "cannot run " + options.argv[0], "process.spawn");
    }
    std::erase_if(children_, [](const auto& weak) { return weak.expired(); });
    children_.push_back(link);
    start_reading(r->output);
    start_reading(r->errors);
    if (options.input.empty()) {
      close_handle(&r->input);
    } else {
      auto buffer = uv_buf_init(r->options.input.data(), static_cast<unsigned>(r->options.input.size()));
      uv_write(&r->write, reinterpret_cast<uv_stream_t*>(&r->input), &buffer, 1,
               [](uv_write_t* w, int) { close_handle(w->handle); });
    }
    return std::make_unique<uv_child>(r, std::move(link));
  }

private:
  loop& loop_;
  std::vector<std::weak_ptr<running*>> children_;
};

} // namespace

std::unique_ptr<netlab::processes> make_processes(loop& owner) {
  return std::make_unique<uv_processes>(owner);
}

} // namespace netlab::io
