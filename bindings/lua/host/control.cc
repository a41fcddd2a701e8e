#include "host/control.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <list>
#include <nlohmann/json.hpp>

#include "host/host.h"
#include "netlab/files.h"

namespace netlab::lua {

namespace {

constexpr std::size_t line_limit = 1u << 20;
constexpr std::size_t client_limit = 32;

// flock() goes with the process, however it ends, so a lock file that is left over is no lock.
class process_lock {
public:
  static result<std::unique_ptr<process_lock>> take(const std::string& path) {
    int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return system_fail(errno, path, "control");
    auto out = std::unique_ptr<process_lock>(new process_lock(fd));
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      char buffer[32] = {};
      auto n = ::pread(fd, buffer, sizeof buffer - 1, 0);
      std::string pid(buffer, n > 0 ? static_cast<std::size_t>(n) : 0);
      while (!pid.empty() && (pid.back() == '\n' || pid.back() == ' ')) pid.pop_back();
      return fail(errc::exists,
                  "another netlab (process " + (pid.empty() ? "unknown" : pid) + ") runs with " +
                      folder_of(path) + ": stop it, or give this one a state folder of its own",
                  "control");
    }
    auto text = std::to_string(::getpid()) + "\n";
    if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, text.data(), text.size(), 0) < 0)
      return system_fail(errno, path, "control");
    return out;
  }
  ~process_lock() { ::close(fd_); }
  process_lock(const process_lock&) = delete;
  process_lock& operator=(const process_lock&) = delete;

private:
  explicit process_lock(int fd) : fd_(fd) {}
  int fd_;
};

} // namespace

struct control_server::impl {
  struct client {
    std::unique_ptr<stream> connection;
    std::string pending;
  };
  host* owner = nullptr;
  std::string path;
  std::unique_ptr<process_lock> lock;
  std::unique_ptr<listener> socket;
  std::list<client> clients;

  void accept(std::unique_ptr<stream> s) {
    if (clients.size() >= client_limit) return;
    clients.push_back({std::move(s), {}});
    auto at = std::prev(clients.end());
    at->connection->on_data([this, at](byte_view bytes) { read(*at, bytes); });
    at->connection->on_end([this, at](std::optional<error>) { clients.erase(at); });
  }

  void read(client& c, byte_view bytes) {
    c.pending += as_text(bytes);
    for (;;) {
      auto end = c.pending.find('\n');
      if (end == std::string::npos) break;
      auto line = c.pending.substr(0, end);
      c.pending.erase(0, end + 1);
      auto reply = answer(line).dump(-1, ' ', false, json::error_handler_t::replace);
      c.connection->write(reply + "\n");
    }
    if (c.pending.size() <= line_limit) return;
    c.pending.clear();
    c.connection->write("{\"ok\":false,\"error\":\"the line is too long\"}\n");
    c.connection->finish();
  }

  json answer(const std::string& line) {
    auto request = parse_json(line);
    if (!request) return {{"ok", false}, {"error", request.error().message}};
    if (!request->is_object() || !request->contains("verb") || !(*request)["verb"].is_string())
      return {{"ok", false}, {"error", "a request is {\"verb\": …}"}};
    const auto& verbs = owner->control_verbs();
    auto verb = verbs.find((*request)["verb"].get<std::string>());
    if (verb == verbs.end()) {
      json known = json::array();
      for (const auto& [name, fn] : verbs) known.push_back(name);
      return {{"ok", false}, {"error", "unknown verb"}, {"verbs", std::move(known)}};
    }
    auto got = verb->second(*request);
    if (!got) return {{"ok", false}, {"error", got.error().message}, {"code", to_string(got.error().code)}};
    return {{"ok", true}, {"result", std::move(*got)}};
  }
};

control_server::control_server(std::unique_ptr<impl> made) : impl_(std::move(made)) {}

control_server::~control_server() {
  impl_->clients.clear();
  impl_->socket.reset();
  ::unlink(impl_->path.c_str());
}

result<std::unique_ptr<control_server>> control_server::open(host& h, const std::string& path) {
  auto made = std::make_unique<impl>();
  made->owner = &h;
  made->path = path;
  if (auto ok = h.world().files.make_folders(folder_of(path), 0750); !ok) return tl::unexpected(ok.error());
  auto lock = process_lock::take(path + ".pid");
  if (!lock) return tl::unexpected(lock.error());
  made->lock = std::move(*lock);
  ::unlink(path.c_str()); // we hold the lock: whoever made it is gone
  listen_options options;
  options.unix_path = path;
  auto socket = h.world().net.listen(
      options, [raw = made.get()](std::unique_ptr<stream> s) { raw->accept(std::move(s)); });
  if (!socket) return tl::unexpected(socket.error());
  made->socket = std::move(*socket);
  return std::unique_ptr<control_server>(new control_server(std::move(made)));
}

std::string runtime_folder() {
  if (const char* base = std::getenv("XDG_RUNTIME_DIR"); base && *base) return std::string(base) + "/netlab";
  if (::geteuid() == 0) return "/run/netlab";
  return "/tmp/netlab-" + std::to_string(::geteuid());
}

std::string control_socket_path(const std::string& chosen, const std::string& state_folder) {
  if (!chosen.empty()) return chosen;
  return (state_folder.empty() ? runtime_folder() : state_folder) + "/control.sock";
}

result<json> ask_control(const std::string& path, const json& request, int timeout_ms) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return fail(errc::invalid, path + ": longer than a socket's name may be", "control");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  struct descriptor {
    int fd;
    ~descriptor() {
      if (fd >= 0) ::close(fd);
    }
  } socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (socket.fd < 0) return system_fail(errno, "socket", "control");
  if (::connect(socket.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return system_fail(errno, path, "control");
  auto line = request.dump() + "\n";
  if (::send(socket.fd, line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size()))
    return system_fail(errno, path, "control");
  std::string got;
  while (got.find('\n') == std::string::npos) {
    pollfd ready{socket.fd, POLLIN, 0};
    int n = ::poll(&ready, 1, timeout_ms);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail(errc::timeout, path + ": no answer", "control");
    char buffer[65536];
    auto size = ::read(socket.fd, buffer, sizeof buffer);
    if (size <= 0) return fail(errc::closed, path + ": closed without an answer", "control");
    got.append(buffer, static_cast<std::size_t>(size));
  }
  auto answer = parse_json(std::string_view(got).substr(0, got.find('\n')));
  if (!answer) return answer;
  if (!answer->value("ok", false)) return fail(errc::refused, answer->value("error", "refused"), "control");
  return (*answer)["result"];
}

} // namespace netlab::lua
