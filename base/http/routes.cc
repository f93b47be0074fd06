#include "base/http/routes.h"

#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_join.h"
#include "base/http/target.h"

namespace quire::http {
namespace {

// The path up to its star; the path itself where it has none.
std::string_view Fixed(std::string_view path) { return path.substr(0, path.find('*')); }

std::string AllowOf(const std::map<std::string, Handler, std::less<>>& methods) {
  std::set<std::string> allowed{"OPTIONS"};
  for (const auto& [method, handler] : methods) allowed.insert(method);
  if (allowed.contains("GET")) allowed.insert("HEAD");
  return absl::StrJoin(allowed, ", ");
}

}  // namespace

void RouteTable::Add(const std::string& method, const std::string& path, Handler handler, Kind kind) {
  Route& route = routes_[path];
  route.methods[method] = std::move(handler);
  route.kind = kind;
}

void RouteTable::Speak(const std::string& path, const Dialect& dialect) { dialects_[path] = &dialect; }

const Dialect& RouteTable::DialectOf(std::string_view path) const {
  for (const auto& [root, dialect] : dialects_) {
    const bool is_below = path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '/');
    if (is_below) return *dialect;
  }
  return kUsualDialect;
}

RouteTable::Routes::const_iterator RouteTable::FindStar(std::string_view path) const {
  auto best = routes_.end();
  for (auto it = routes_.begin(); it != routes_.end(); ++it) {
    const std::string_view fixed = Fixed(it->first);
    const bool matches =
        fixed.size() < it->first.size() && path.size() > fixed.size() && path.starts_with(fixed);
    if (matches && (best == routes_.end() || fixed.size() > Fixed(best->first).size())) best = it;
  }
  return best;
}

RouteTable::Match RouteTable::Find(std::string_view method, std::string_view path) const {
  Match match;
  match.dialect = &DialectOf(path);
  auto found = path.find('*') == std::string_view::npos ? routes_.find(path) : routes_.end();
  if (found == routes_.end()) {
    found = FindStar(path);
    if (found == routes_.end()) return match;
    std::optional<std::string> tail = PercentDecode(path.substr(Fixed(found->first).size()));
    if (!tail) return match;
    match.tail = *std::move(tail);
  }
  match.path = found->first;
  match.kind = found->second.kind;
  const auto& methods = found->second.methods;
  auto handler = methods.find(method);
  if (handler == methods.end() && method == "HEAD") handler = methods.find("GET");
  if (handler != methods.end()) {
    match.handler = &handler->second;
  } else {
    match.allow = AllowOf(methods);
  }
  return match;
}

std::string RouteTable::AllMethods() const {
  std::map<std::string, Handler, std::less<>> methods;
  for (const auto& [path, route] : routes_) {
    for (const auto& [method, handler] : route.methods) methods[method] = nullptr;
  }
  return AllowOf(methods);
}

void RouteTable::ForEachPath(const std::function<void(const std::string&)>& visit) const {
  for (const auto& [path, route] : routes_) visit(path);
}

}  // namespace quire::http
