#pragma once
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "netlab/result.h"

namespace netlab::aws {

enum class protocol { ec2, query, json, rest_json, rest_xml };

// How one action of a REST service is sent.
struct rest_route {
  std::string method, uri; // "/{Key+}?tagging"
  // The member that is the body and its XML root, or "raw" for bytes. Without a member, the root of all
  // members.
  std::string payload, root;
  std::string output; // the member that takes the whole answer
  bool raw_output = false;
};

// What one service's wire format needs beyond the rules: names are snake_case of the members' names in the
// service's model; a member of an EC2 request that is a list is sent in the singular; an element of an EC2
// answer that ends in "Set" is a list. Immutable, shared, made once.
class service_shape {
public:
  std::string name;
  aws::protocol protocol = protocol::query;
  std::string json_version, version, endpoint, signing, target;

  // "describe_vpcs" → "DescribeVpcs". A name with an upper-case letter is taken as it is.
  std::string action_name(std::string_view snake) const;
  // The wire name of an input member. `parent` is the member that holds it, empty at the top; `list` says
  // that its value is one.
  std::string input_name(std::string_view action, std::string_view parent, std::string_view key,
                         bool list) const;
  // A renamed plural of the query protocol is a list without "member".
  bool flat_input(std::string_view key) const;
  std::string token_member(std::string_view action) const; // the idempotency token's snake name; empty: none
  // Members by their snake_case names, in the member that holds them or, at the top, in the action: maps,
  // whose keys are no members' names, and structures that are called as lists are elsewhere. What is_map is
  // given as `parent` may be the name on the wire as well: every element of an answer asks it, and for nearly
  // all of them the key says no.
  bool is_map(std::string_view action, std::string_view parent, std::string_view key) const;
  bool is_structure(std::string_view action, std::string_view parent, std::string_view key) const;

  // What the entries of a list are called when it is not "item" or "member"; empty when it is.
  std::string entry_of(const std::string& wire) const;

  enum class kind { text, boolean, number, list, flat_list };
  kind output_kind(std::string_view parent, std::string_view wire) const;
  std::string output_name(std::string_view parent, std::string_view wire) const;

  const rest_route* route(const std::string& action) const;
  std::string header_of(std::string_view action,
                        std::string_view key) const; // empty: no header of that action
  // Empty: no query parameter of that action.
  std::string query_of(std::string_view action, std::string_view key) const;
  std::string header_member(const std::string& name) const; // of a response; empty: none
  // "wire>item", "wire*" when flat; empty for no list.
  std::string xml_list(std::string_view action, std::string_view parent, std::string_view key) const;

private:
  friend class shape_reader;
  using words = std::unordered_map<std::string, std::string>;
  // The most particular entry: "Action/context.key", "context.key", "key".
  static const std::string* find(const words& in, std::string_view action, std::string_view parent,
                                 std::string_view key);
  words actions_, in_, out_, tokens_, headers_, queries_, header_members_, items_, entries_, maps_,
      structures_;
  std::unordered_set<std::string> map_keys_; // every key that is a map somewhere
  std::unordered_map<std::string, kind> kinds_;
  std::unordered_map<std::string, rest_route> routes_;
};

// Null when there is no such service; see known_services().
const service_shape* find_service(std::string_view name);
std::string known_services(); // "ec2, autoscaling, …"

// botocore's spelling: "VPCZoneIdentifier" → "vpc_zone_identifier".
std::string snake_case(std::string_view name);
std::string pascal_case(std::string_view snake);

} // namespace netlab::aws
