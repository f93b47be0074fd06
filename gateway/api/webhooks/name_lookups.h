// Names of webhooks' receivers, looked up by the system's resolver, which blocks for as long as name servers
// are silent: on threads of its own, where accounts take turns and none has all. Nobody waits for longer than
// he wants to: not who asks, not another account, not the end, which leaves threads that are in the resolver
// to it. Any thread; destroyed when nobody is in Find any more.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/http/https_client.h"

namespace quire::gateway {

class NameLookups {
 public:
  using Addresses = http::HttpsClient::Addresses;
  // Blocks; on any of the threads, and after the end of this, so it refers to nothing that may be gone.
  using LookUp = std::function<absl::StatusOr<Addresses>(const std::string& host)>;

  static constexpr size_t kThreads = 16, kThreadsPerAccount = 2;

  explicit NameLookups(LookUp look_up);
  ~NameLookups();
  NameLookups(const NameLookups&) = delete;
  NameLookups& operator=(const NameLookups&) = delete;

  // An HttpsClient::Resolve; the account is the post's owner.
  boost::asio::awaitable<absl::StatusOr<Addresses>> Find(const http::HttpsPost& post,
                                                         std::chrono::milliseconds limit);

 private:
  struct Shared;  // with the threads, for as long as each of them lasts
  static void Serve(Shared& shared);

  const std::shared_ptr<Shared> shared_;
};

}  // namespace quire::gateway
