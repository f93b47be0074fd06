// A whole HTTP reply as plain data.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace quire::http {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Reply {
  int status = 200;
  std::string body = {};
  std::string content_type = "application/json";
  Headers headers = {};    // besides content-type, content-length, connection, date and x-request-id
  std::string error = {};  // a refusal's code, for the log; not sent
};

}  // namespace quire::http
