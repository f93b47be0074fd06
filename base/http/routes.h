// Which handler answers which method and path: exact matches on the parsed target, or a path that ends in
// "/*", whose star stands for one or more characters, slashes too; never Host or a forwarded header. Filled
// once before the server starts, then read by every thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/http/dialect.h"
#include "base/http/error_body.h"

namespace quire::http {

class Exchange;

using Handler = std::function<boost::asio::awaitable<void>(Exchange&)>;
// Of a plane that isn't everybody's: asked before a client is told which paths and methods there are (404,
// 405, 501, OPTIONS); an error is what it gets instead. Handlers see to themselves. On the io threads.
using Guard = std::function<std::optional<ApiError>(Exchange&)>;

class RouteTable {
 public:
  enum class Kind {
    kRequest,
    kProbe,  // asked every few seconds by machines: not logged
  };

  // The handler (and what it captured) must outlive the server. One handler per method and path; GET's
  // answers HEAD too.
  void Add(const std::string& method, const std::string& path, Handler handler, Kind kind = Kind::kRequest);

  // This path and all below it, whether anything is there or not, are answered in that dialect, which must
  // outlive the server.
  void Speak(const std::string& path, const Dialect& dialect);

  struct Match {
    const Handler* handler = nullptr;
    std::string_view path = {};  // the route's own text (a metrics label); empty where no route has this path
    std::string tail = {};       // what the star stood for, percent-decoded
    std::string allow = {};      // with a null handler and a known path: the methods that it takes
    Kind kind = Kind::kRequest;
    const Dialect* dialect = &kUsualDialect;
  };
  // An exact path goes before a star, a longer star before a shorter one.
  Match Find(std::string_view method, std::string_view path) const;
  // The methods that any route takes, for "OPTIONS *".
  std::string AllMethods() const;

  // Calls visit(path) once per path.
  void ForEachPath(const std::function<void(const std::string&)>& visit) const;

 private:
  struct Route {
    std::map<std::string, Handler, std::less<>> methods;
    Kind kind = Kind::kRequest;
  };
  using Routes = std::map<std::string, Route, std::less<>>;  // by path

  Routes::const_iterator FindStar(std::string_view path) const;
  const Dialect& DialectOf(std::string_view path) const;

  Routes routes_;
  std::map<std::string, const Dialect*> dialects_;  // by path
};

}  // namespace quire::http
