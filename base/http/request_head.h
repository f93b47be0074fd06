// The head of a request that passed every check of head_check.h. Plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/http/reply.h"

namespace quire::http {

struct RequestHead {
  std::string method;
  std::string path;   // origin form without the query, as sent
  std::string query;  // after the '?', as sent
  int minor_version = 1;
  Headers headers;  // names in lower case, in the client's order
  bool chunked = false;
  std::optional<uint64_t> content_length;
  bool keep_alive = true;

  // The value of the first header of that (lower-case) name; nullptr where there is none.
  const std::string* Find(std::string_view name) const {
    for (const auto& [key, value] : headers) {
      if (key == name) return &value;
    }
    return nullptr;
  }
  // The elements of all headers of that (lower-case) name, which is one that takes a list: in lower case,
  // empty ones left out.
  std::vector<std::string> List(std::string_view name) const;
  bool has_body() const { return chunked || content_length.value_or(0) > 0; }
};

// One of those that RFC 9110 and 5789 define; methods are case-sensitive.
bool IsKnownMethod(std::string_view method);

}  // namespace quire::http
