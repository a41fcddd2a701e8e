#pragma once
#include <optional>
#include <string>

#include "netlab/aws.h"
#include "profile.h"
#include "shapes.h"

namespace netlab::aws {

// What the environment and the shared files say, read once. Control loop; the files are small.
class settings {
public:
  settings(files& disk, const client_options& options);

  std::optional<std::string> variable(const std::string& name) const;
  const std::string& profile_name() const { return profile_; }
  bool profile_was_given() const { return profile_given_; }
  // Settings of a profile: the credentials file's over the config file's. Null when there is no such profile.
  const profile_section* profile(const std::string& name) const;
  const profile_section* session(const std::string& name) const;
  std::string value(const std::string& profile, const std::string& key) const; // empty when absent
  // Why a file could not be read or understood; empty when all is well. A file that is not there is well.
  const std::string& problem() const { return problem_; }
  std::string home() const;

  result<std::string> region() const;
  // "https://ec2.eu-west-1.amazonaws.com", or what the options and variables put in its place.
  struct endpoint {
    std::string url;
    std::string signing_region;
    bool custom = false;
  };
  endpoint endpoint_of(const service_shape& service, const std::string& region) const;

private:
  const client_options& options_;
  std::string profile_;
  bool profile_given_ = false;
  std::string problem_;
  profile_file profiles_, sessions_, services_;
};

} // namespace netlab::aws
