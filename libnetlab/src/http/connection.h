#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "connection_engine.h"
#include "netlab/http_server.h"
#include "server.h"

namespace netlab::http {

// One client's stream and its engine. Owned by its server; calls and replies under way hold it weakly.
// Everything runs on the server's loop.
class connection : public std::enable_shared_from_this<connection> {
public:
  connection(server& owner, std::unique_ptr<stream> client);
  void start();

  void tick(boot_time now);
  // Closes when nothing is under way, else lets the response under way be the last.
  void drain();
  // Ends at once; whoever waits for the transfer's end hears why. The server has let go of it already
  // when `owner_gone`.
  void abort(std::string_view why);
  const ip_address& client() const { return peer_.address; }

  // Whether request number `id` still waits for its answer.
  bool waits_for(std::uint64_t id) const {
    return stream_ && !lingering_ && id == request_id_ && engine_.answering() && !sending_;
  }
  void answer(std::uint64_t id, http_reply reply);
  void answer_dropped(std::uint64_t id); // a handler let go of its call
  void answer_asset(std::uint64_t id, result<asset> answered);

private:
  request_parser::taker sink_for(const request& head);
  void receive(byte_view bytes);
  void pump();
  void dispatch();
  void refuse();
  void ask(asset_source& source);
  void send_named_file(const files_route& route, std::string_view rest);
  void call(const http_handler& handler);
  struct representation;
  // What the request wants of it (RFC 9110 §13, §14).
  void send_selected(const representation& all);
  void send_file(const served_file& file, std::string_view content_type);
  void send_text(std::shared_ptr<const std::string> text, std::string_view content_type);
  void send_ready(const http_ready& ready);
  void send_error(int status, bool last = false, const http_headers* headers = nullptr,
                  std::string_view why = {});
  void send_bad_reply();
  void send(response& r, bool last = false);
  // Asks the body that is being sent for its next piece.
  void pull();
  void send_piece(http_body::piece piece, std::uint64_t length);
  void drained();
  void complete(bool whole, std::string_view why);
  void end(std::optional<error> why);
  void close_politely();
  void drop(std::string_view why);
  log_fields fields() const;

  server* server_;
  std::unique_ptr<stream> stream_;
  connection_engine engine_;
  std::shared_ptr<http_sink> sink_; // of the request that is coming in, or waits
  endpoint peer_, local_;
  bool secure_;
  std::uint64_t request_id_ = 0;

  // The response under way.
  bool sending_ = false, close_after_ = false;
  int status_ = 0;
  std::size_t head_size_ = 0;    // with the lines around chunks
  std::uint64_t body_size_ = 0;  // what this response carries
  std::uint64_t whole_size_ = 0; // of the whole representation
  std::function<void(const transfer_report&)> on_done_;
  std::shared_ptr<http_body> growing_; // what is left of it, from next_ to end_
  std::uint64_t next_ = 0, end_ = 0;   // end_: http_body::unknown until it has come
  bool chunked_ = false;
  bool awaits_body_ = false;
  std::size_t last_queued_ = 0;
  boot_time progress_{};

  bool fresh_ = true; // nothing has come yet
  bool paused_ = false, pumping_ = false, lingering_ = false;
  boot_time linger_until_{};
  // The stream must not be destroyed while one of its members runs further up the stack.
  int in_stream_ = 0;
  bool doomed_ = false;
};

} // namespace netlab::http
