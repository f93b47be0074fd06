#include "base/http/routes.h"

#include <utility>

namespace quire::http {

void RouteTable::Add(const std::string& method, const std::string& path, Handler handler) {
  handlers_[path][method] = std::move(handler);
}

RouteTable::Match RouteTable::Find(std::string_view method, std::string_view path) const {
  Match match;
  const auto methods = handlers_.find(path);
  if (methods == handlers_.end()) return match;
  match.path = methods->first;
  const auto handler = methods->second.find(method);
  if (handler != methods->second.end()) {
    match.handler = &handler->second;
    return match;
  }
  for (const auto& [name, unused] : methods->second) match.allow += (match.allow.empty() ? "" : ", ") + name;
  return match;
}

void RouteTable::ForEachPath(const std::function<void(const std::string&)>& visit) const {
  for (const auto& [path, methods] : handlers_) visit(path);
}

}  // namespace quire::http
