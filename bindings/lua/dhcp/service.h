#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "boot/service.h"
#include "host/host.h"
#include "netlab/dhcp_import.h"
#include "netlab/dhcp_server.h"
#include "netlab/dhcp_watch.h"
#include "netlab/lease.h"
#include "network/lease_source.h"
#include "network/network.h"

namespace netlab::lua {

class importing_store;

// What dhcp.server and dhcp.proxy make: a DHCP server on the network's interface with its lease store, a
// proxy being one that never gives addresses.
class dhcp_service final : public service, public lease_source {
public:
  dhcp_service();
  ~dhcp_service() override;

  dhcp::server_options settings;
  std::shared_ptr<boot_object> boot;
  std::shared_ptr<network> lan;
  shared_reference on_lease, on_lease_end;
  std::map<std::string, std::string> imports; // what to read → path
  bool proxy = false;                         // dhcp.proxy
  bool automatic = false;                     // mode = "auto": the wire decides whether addresses are given

  std::string default_name() const override;
  result<void> check(host& h) override;
  std::vector<std::string> notes() const override { return notes_; }
  std::vector<claimed_endpoint> endpoints() const override;
  result<void> start(host& h) override;
  void drain(std::function<void()> done) override;
  json status() const override;
  std::vector<reading> readings() const override;

  dhcp::server* running() { return server_.get(); }
  std::vector<lease> current_leases() const override;
  bool is_off() const { return lan && !lan->vpc.empty(); }

private:
  void add_nodes(host& h);
  bool complete(const dhcp::fixed_host& node);
  result<void> open_store(host& h);
  void import(host& h);
  void take(std::vector<lease>& into, dhcp::imported_leases& got);
  void take(std::vector<lease>& into, dhcp::imported_hosts& got);
  void watch(host& h);
  void judged(host& h, const dhcp::network_verdict& verdict);

  std::vector<std::string> notes_;
  std::unique_ptr<lease_store> store_;
  std::unique_ptr<importing_store> merged_;
  std::unique_ptr<dhcp::server> server_;
  std::unique_ptr<dhcp::network_watch> watch_;
  dhcp::mode_choice choice_;
  std::string boots_elsewhere_; // the other boot server that was told last
};

// A lease as recipes see it.
void push_lease(lua_State* L, host& h, const lease& l);

} // namespace netlab::lua
