// The one client of HTTPS, for all that calls out (webhooks so far): one POST on a connection of its own. The
// name is resolved once, every address that it has must be allowed, and the connection goes to one of just
// those, one after the other; the certificate is checked against the name. No redirect is followed, no proxy
// of the environment asked, of the reply only the status is told. Immutable once made; any thread, each call
// on its coroutine's.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/http/https_url.h"
#include "base/http/reply.h"

namespace quire::http {

struct HttpsPost {
  HttpsUrl url;
  std::string owner = {};  // for whom, where look-ups take turns
  Headers headers;         // besides host, content-length, connection and user-agent
  std::string body;
  // Is given what ends the post at once, to be called on its coroutine's thread (right away, where it is to
  // end already); nothing: there is nothing to end any more. Empty: it has its time.
  std::function<void(std::function<void()> end)> on_end = {};
};

class HttpsClient {
 public:
  using Addresses = std::vector<boost::asio::ip::address>;
  // Of the URL's host, within `limit`, or until the post is ended. A name that there isn't is Unavailable.
  using Resolve = std::function<boost::asio::awaitable<absl::StatusOr<Addresses>>(
      const HttpsPost& post, std::chrono::milliseconds limit)>;
  using MayReach = std::function<bool(const HttpsUrl& url, const boost::asio::ip::address& address)>;

  struct Options {
    std::string ca_file;  // trusted beside the system's authorities; empty: none
    Resolve resolve;
    MayReach may_reach;
  };

  // InvalidArgument: the file holds no certificates.
  static absl::StatusOr<std::unique_ptr<HttpsClient>> Make(Options options);
  ~HttpsClient();

  // The final reply's status. PermissionDenied: an address may not be reached; DeadlineExceeded: not all was
  // done within `limit`; Cancelled: it was ended; Unavailable: the name, the connection, the certificate or
  // the reply's head. What is said holds nothing of the other side's.
  boost::asio::awaitable<absl::StatusOr<int>> Post(HttpsPost post, std::chrono::milliseconds limit) const;

 private:
  struct Tls;
  HttpsClient(Options options, std::unique_ptr<Tls> tls);
  boost::asio::awaitable<absl::StatusOr<Addresses>> Find(const HttpsPost& post,
                                                         std::chrono::milliseconds limit) const;

  const Options options_;
  const std::unique_ptr<Tls> tls_;
};

// The system's own resolver; waits for it. Any thread.
absl::StatusOr<HttpsClient::Addresses> LookUp(const std::string& host);

}  // namespace quire::http
