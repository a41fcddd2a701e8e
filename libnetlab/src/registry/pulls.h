#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "netlab/clock.h"
#include "netlab/registry.h"

namespace netlab::registry {

// Requests of one client for one repository, put together: what people call a pull. One that has rested is
// told. No clock of its own; one loop's thread.
class pull_journal {
public:
  // A pull whose client has said nothing for so long is over.
  static constexpr duration rest = std::chrono::seconds(3);

  // `tag`: what the image was asked for by; empty for its parts.
  void begin(const ip_address& client, const std::string& repository, std::string_view tag, boot_time now);
  struct part {
    std::uint64_t bytes = 0;
    bool hit = false;
    bool counts = true; // false: it was no part of the image (an error, a HEAD)
    std::string reason; // why it failed
  };
  void end(const ip_address& client, const std::string& repository, const part& what, boot_time now);
  // Both at once, for what is answered at once.
  void add(const ip_address& client, const std::string& repository, std::string_view tag, const part& what,
           boot_time now);
  // Pulls that are over by now; those that moved nothing are forgotten without a word.
  std::vector<pull> finished(boot_time now);
  bool empty() const { return open_.empty(); }

private:
  struct record {
    pull so_far;
    std::string tag;
    std::size_t active = 0;
    boot_time begun{}, last{};
  };
  using key = std::pair<ip_address, std::string>;
  // Looked up without a copy of the repository's name, which is done for every request.
  struct by_name {
    using is_transparent = void;
    using view = std::pair<const ip_address&, std::string_view>;
    static view of(const key& k) { return {k.first, k.second}; }
    static const view& of(const view& v) { return v; }
    template<class A, class B>
    bool operator()(const A& a, const B& b) const {
      const auto& x = of(a);
      const auto& y = of(b);
      return x.first != y.first ? x.first < y.first : x.second < y.second;
    }
  };
  record& open(const ip_address& client, const std::string& repository, std::string_view tag, boot_time now);
  static void count(record& r, const part& what);
  std::map<key, record, by_name> open_;
};

} // namespace netlab::registry
