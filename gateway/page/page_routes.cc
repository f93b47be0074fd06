#include "gateway/page/page_routes.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/http/exchange.h"

namespace quire::gateway {
namespace {

using boost::asio::awaitable;

constexpr std::string_view kHtml = ".html";

// Nothing but what this server itself serves; styles and scripts are files, never attributes or elements.
constexpr char kPolicy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

std::string TypeOf(std::string_view name) {
  constexpr std::pair<std::string_view, const char*> kTypes[] = {
      {kHtml, "text/html; charset=utf-8"},
      {".css", "text/css; charset=utf-8"},
      {".js", "text/javascript; charset=utf-8"},
      {".json", "application/json"},
      {".svg", "image/svg+xml"},
  };
  for (const auto& [ending, type] : kTypes) {
    if (name.ends_with(ending)) return type;
  }
  return "application/octet-stream";
}

// RFC 9110, 13.1.2: by the weak comparison.
bool AskerHas(const PageFile& file, const http::RequestHead& head) {
  const std::vector<std::string> tags = head.List("if-none-match");
  return std::any_of(tags.begin(), tags.end(), [&](std::string_view tag) {
    if (tag.starts_with("w/")) tag.remove_prefix(2);  // the list is in lower case
    return tag == "*" || tag == file.etag;
  });
}

awaitable<void> SendFile(const PageFile& file, http::Exchange& exchange) {
  http::Reply reply = PageReply(file, exchange.head());
  co_await exchange.Send(std::move(reply));
}

awaitable<void> SendNamed(std::span<const PageFile> files, http::Exchange& exchange) {
  for (const PageFile& file : files) {
    const bool is_it = file.name == exchange.tail() && !file.name.ends_with(kHtml);
    if (is_it) co_return co_await SendFile(file, exchange);
  }
  co_await exchange.Refuse(http::Rule::kNoRoute);
}

}  // namespace

http::Reply PageReply(const PageFile& file, const http::RequestHead& head) {
  http::Reply reply;
  reply.headers = {{"etag", std::string(file.etag)},
                   {"cache-control", "no-cache"},  // ask whether it is as it was
                   {"content-security-policy", kPolicy},
                   {"x-content-type-options", "nosniff"},
                   {"referrer-policy", "no-referrer"}};
  reply.content_type = TypeOf(file.name);
  if (AskerHas(file, head)) {
    reply.status = 304;
  } else {
    reply.body = std::string(file.content);
  }
  return reply;
}

void AddPageRoutes(http::RouteTable& routes, std::span<const PageFile> files) {
  for (const PageFile& file : files) {
    if (!file.name.ends_with(kHtml)) continue;
    const std::string page(file.name.substr(0, file.name.size() - kHtml.size()));
    routes.Add("GET", page == "index" ? "/" : "/" + page,
               [&file](http::Exchange& e) { return SendFile(file, e); });
  }
  routes.Add("GET", "/page/*", [files](http::Exchange& e) { return SendNamed(files, e); });
}

}  // namespace quire::gateway
