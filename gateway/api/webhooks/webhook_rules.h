// Where webhooks may go: to port 443 of any name whose addresses are all public, and to those that the
// operator lists, whatever their addresses are. Immutable; any thread.
#pragma once

#include <boost/asio/ip/address.hpp>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/http/https_url.h"
#include "gateway/api/error_response.h"

namespace quire::gateway {

class WebhookRules {
 public:
  // HOST[:PORT] with commas between; empty: none. InvalidArgument says which is wrong.
  static absl::StatusOr<WebhookRules> Parse(std::string_view allowed);

  // What is wrong with it before its name is looked up.
  std::optional<http::ApiError> Check(const http::HttpsUrl& url) const;
  bool MayReach(const http::HttpsUrl& url, const boost::asio::ip::address& address) const;

 private:
  bool IsListed(const http::HttpsUrl& url) const;

  std::vector<http::HostAndPort> listed_;
};

}  // namespace quire::gateway
