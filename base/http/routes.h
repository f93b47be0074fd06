// Which handler answers which method and path: exact matches on the parsed target, nothing else (never Host
// or a forwarded header). Filled once before the server starts, then read by every thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace quire::http {

class Exchange;

using Handler = std::function<boost::asio::awaitable<void>(Exchange&)>;

class RouteTable {
 public:
  // The handler (and what it captured) must outlive the server. One handler per method and path.
  void Add(const std::string& method, const std::string& path, Handler handler);

  struct Match {
    const Handler* handler = nullptr;
    std::string_view path;  // the route's own text (a metrics label); empty where no route has this path
    std::string allow;      // with a null handler and a known path: the methods it has, for a 405
  };
  Match Find(std::string_view method, std::string_view path) const;

  // Calls visit(path) once per path.
  void ForEachPath(const std::function<void(const std::string&)>& visit) const;

 private:
  std::map<std::string, std::map<std::string, Handler, std::less<>>, std::less<>> handlers_;  // path, method
};

}  // namespace quire::http
